/**
 * Framing without any IO: bytes go in as they come off a socket, requests or answers come out.
 * One framer per connection; its memory is allocated once, and none for a frame.
 */

import { assert } from "../base/assert.ts";
import {
  type AnswerHeader,
  ANSWER_BYTES,
  answerFault,
  createAnswerHeader,
  createRequestHeader,
  decodeAnswer,
  decodeRequest,
  framingFault,
  hasMagic,
  MAGIC_BYTES,
  REASON_BYTES_MAX,
  REQUEST_BYTES,
  type RequestHeader,
  ROWS_MAX,
} from "./protocol.ts";
import { ReceiveBuffer } from "./receive_buffer.ts";

/** What a connection speaks, as its first four bytes say. */
export type Protocol = "unknown" | "raw" | "framed";

/** What `next` came to: "fault" is said once and ends the connection. */
export type Taken = "nothing" | "frame" | "fault";

/**
 * The service's side. A raw observation is a request too: of one row, with id 0, no flag and no
 * deadline.
 */
export class RequestFramer {
  readonly #input: ReceiveBuffer;
  readonly #observations: Float32Array;
  readonly #size: number;
  #protocol: Protocol;
  #fault: string | undefined;
  /** When the first byte that was not taken came, and the last one. */
  #firstUs = 0;
  #lastUs = 0;
  /** Of the request that `next` took. */
  readonly request: RequestHeader = createRequestHeader();
  /** When the first byte of the request came that `next` took, as `received` was told. */
  startedUs = 0;
  /** When its last byte was received. */
  wholeUs = 0;

  /**
   * @param observations the caller's array that `next` fills, shape [ROWS_MAX, observationSize]
   * @param protocol what the connection was found to speak elsewhere, at a hand-over
   */
  constructor(observations: Float32Array, protocol: Protocol = "unknown") {
    assert(observations.length % ROWS_MAX === 0, "observations of ROWS_MAX rows");
    this.#observations = observations;
    this.#size = observations.length / ROWS_MAX;
    this.#input = new ReceiveBuffer(REQUEST_BYTES + observations.byteLength);
    this.#protocol = protocol;
    this.request.rows = 1;
    this.request.payloadBytes = this.#size * 4;
  }

  get protocol(): Protocol {
    return this.#protocol;
  }

  /** Why the framing is bad, once `next` said "fault". */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Receive into `buffer` from `filled` on, then call `received`. */
  get buffer(): Uint8Array {
    return this.#input.bytes;
  }

  /** Where the next bytes belong; `buffer.length` means: take requests out first. */
  get filled(): number {
    return this.#input.filled;
  }

  /** Are bytes of an unfinished request waiting for the rest? */
  get isPartial(): boolean {
    return this.#input.available > 0;
  }

  /** The bytes that were not taken, for a hand-over: a view of `buffer`. */
  get pending(): Uint8Array {
    return this.#input.bytes.subarray(this.#input.taken, this.#input.filled);
  }

  /** Says that `count` bytes were written to `buffer` at `filled`, read at `atUs` of any clock. */
  received(count: number, atUs = 0): void {
    if (this.#input.available === 0) this.#firstUs = atUs;
    this.#lastUs = atUs;
    this.#input.received(count);
  }

  /** Takes the next whole request: its header into `request`, its rows into the caller's array. */
  next(): Taken {
    if (this.#fault !== undefined) return "nothing";
    const input = this.#input;
    if (this.#protocol === "unknown" && input.available >= MAGIC_BYTES) {
      this.#protocol = hasMagic(input.view, input.taken) ? "framed" : "raw";
    }
    const frameBytes = this.#protocol === "framed" ? this.#readHeader() : this.#size * 4;
    if (this.#fault !== undefined) return "fault";
    if (this.#protocol === "unknown" || frameBytes === 0 || input.available < frameBytes) {
      input.compact();
      return "nothing";
    }
    const headerBytes = this.#protocol === "framed" ? REQUEST_BYTES : 0;
    input.copyNumbers(headerBytes, this.#observations, (frameBytes - headerBytes) / 4);
    input.take(frameBytes);
    this.startedUs = this.#firstUs;
    this.wholeUs = this.#lastUs;
    this.#firstUs = this.#lastUs;
    return "frame";
  }

  /** Bytes of the whole frame; 0 while its header is not there or is bad. */
  #readHeader(): number {
    const { view, taken, available } = this.#input;
    if (available < REQUEST_BYTES) return 0;
    decodeRequest(view, taken, this.request);
    this.#fault = hasMagic(view, taken)
      ? framingFault(this.request, this.#size * 4)
      : "the frame does not begin with the magic";
    return this.#fault === undefined ? REQUEST_BYTES + this.request.payloadBytes : 0;
  }
}

/** The client's side: answers of the framed protocol. */
export class AnswerFramer {
  readonly #input: ReceiveBuffer;
  readonly #actionSize: number;
  #fault: string | undefined;
  #payloadBytes = 0;
  /** Of the answer that `next` found. */
  readonly answer: AnswerHeader = createAnswerHeader();

  /**
   * @param actionSize numbers of one action; 0 where it is not known yet, before the hello
   * @param payloadBytesMax the longest payload that is taken
   */
  constructor(actionSize: number, payloadBytesMax: number) {
    this.#actionSize = actionSize;
    this.#input = new ReceiveBuffer(ANSWER_BYTES + Math.max(payloadBytesMax, REASON_BYTES_MAX));
  }

  /** Why the framing is bad, once `next` said "fault". */
  get fault(): string | undefined {
    return this.#fault;
  }

  get buffer(): Uint8Array {
    return this.#input.bytes;
  }

  get filled(): number {
    return this.#input.filled;
  }

  get isPartial(): boolean {
    return this.#input.available > 0;
  }

  received(count: number): void {
    this.#input.received(count);
  }

  /**
   * Finds the next whole answer and reads its header; `take` goes past it, after `copyAction` or
   * `payload` where those are wanted.
   */
  next(): Taken {
    const { view, taken, available } = this.#input;
    if (this.#fault !== undefined) return "nothing";
    if (available >= ANSWER_BYTES) {
      decodeAnswer(view, taken, this.answer);
      const room = this.#input.bytes.length - ANSWER_BYTES;
      this.#fault = hasMagic(view, taken)
        ? answerFault(this.answer, this.#actionSize * 4, room)
        : "its answer does not begin with the magic";
      if (this.#fault !== undefined) return "fault";
      this.#payloadBytes = this.answer.payloadBytes;
      if (available >= ANSWER_BYTES + this.#payloadBytes) return "frame";
    }
    this.#input.compact();
    return "nothing";
  }

  /** Copies the actions of the answer that `next` found into the caller's array. */
  copyAction(action: Float32Array): void {
    assert(action.length * 4 === this.#payloadBytes, "action length");
    this.#input.copyNumbers(ANSWER_BYTES, action, action.length);
  }

  /** The payload of the answer that `next` found: a view, good until `take`. */
  get payload(): Uint8Array {
    const from = this.#input.taken + ANSWER_BYTES;
    return this.#input.bytes.subarray(from, from + this.#payloadBytes);
  }

  /** Goes past the answer that `next` found. */
  take(): void {
    this.#input.take(ANSWER_BYTES + this.#payloadBytes);
  }
}
