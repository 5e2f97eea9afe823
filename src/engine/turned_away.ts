/**
 * Clients over --max-clients. Raw bytes have no way to say that, so they are closed; who speaks the
 * framed protocol is answered busy first, with the reason. For that they may stay for a moment: as
 * descriptors alone, few of them, and the longest there goes when another comes.
 */

import { CLOSED, closeSocket, receive, send, WOULD_BLOCK } from "../../ffi/socket.ts";
import {
  ANSWER_BYTES,
  createAnswerHeader,
  createRequestHeader,
  decodeRequest,
  encodeAnswer,
  hasMagic,
  KIND,
  REASON_BYTES_MAX,
  REQUEST_BYTES,
  STATUS,
} from "../wire/protocol.ts";

/** A client says hello as soon as it is connected; more than a full turn of the loop waits. */
const WAITING_MAX = 64;
const WAIT_US = 1_000_000;
/** What is read of a client before it is closed: a reset would take the answer away from TCP's. */
const READS_MAX = 16;

const input = new Uint8Array(64 << 10);
const inputView = new DataView(input.buffer);
const output = new Uint8Array(ANSWER_BYTES + REASON_BYTES_MAX);
const outputView = new DataView(output.buffer);
const request = createRequestHeader();
const answer = { ...createAnswerHeader(), status: STATUS.busy };
const words = new TextEncoder();

interface Waiting {
  readonly reason: string;
  readonly sinceUs: number;
}

export class TurnedAway {
  /** By file descriptor, the longest there first. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #most: number;
  readonly #release: (fd: number) => void;
  readonly #onTold: () => void;

  /**
   * @param clientsMax who serves few has few descriptors
   * @param release is called before a descriptor is closed
   * @param onTold hears of every answer
   */
  constructor(clientsMax: number, release: (fd: number) => void, onTold: () => void) {
    this.#most = Math.min(WAITING_MAX, clientsMax);
    this.#release = release;
    this.#onTold = onTold;
  }

  /** Keeps a client until it can be told. */
  add(fd: number, reason: string, nowUs: number): void {
    this.expire(nowUs);
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size >= this.#most && oldest !== undefined) this.#close(oldest);
    this.#waiting.set(fd, { reason, sinceUs: nowUs });
  }

  /** Tells a client that has sent something, and closes it; false for who is none of these. */
  handle(fd: number): boolean {
    const waiting = this.#waiting.get(fd);
    if (waiting === undefined) return false;
    const count = receive(fd, input);
    if (count === WOULD_BLOCK) return true;
    if (count >= REQUEST_BYTES && hasMagic(inputView, 0)) this.#tell(fd, waiting.reason);
    for (let i = 0, more = count; i < READS_MAX && more > 0; i++) more = receive(fd, input);
    this.#close(fd);
    return true;
  }

  /** Closes those who have said nothing for too long. */
  expire(nowUs: number): void {
    for (const [fd, { sinceUs }] of this.#waiting) if (nowUs - sinceUs > WAIT_US) this.#close(fd);
  }

  closeAll(): void {
    for (const fd of this.#waiting.keys()) this.#close(fd);
  }

  #tell(fd: number, reason: string): void {
    decodeRequest(inputView, 0, request);
    const { written } = words.encodeInto(reason, output.subarray(ANSWER_BYTES));
    answer.kind = request.kind === KIND.hello ? KIND.helloAnswer : KIND.inferAnswer;
    answer.id = request.id;
    answer.payloadBytes = written;
    encodeAnswer(outputView, 0, answer);
    if (send(fd, output, ANSWER_BYTES + written) !== CLOSED) this.#onTold();
  }

  #close(fd: number): void {
    this.#waiting.delete(fd);
    this.#release(fd);
    closeSocket(fd);
  }
}
