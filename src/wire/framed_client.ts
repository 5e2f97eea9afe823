/**
 * The client of the framed protocol: blocking calls with a deadline, for control loops. It gives
 * the action of this very request or throws: late answers are dropped by their request's id, and
 * a stream that is out of step is closed. Whether to connect again is the caller's decision.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import type { SocketAddress } from "../../ffi/socket.ts";
import { assert } from "../base/assert.ts";
import { type ErrorCode, FormatError, Lite3Error, quote } from "../base/errors.ts";
import { ClientSocket } from "./client_socket.ts";
import { AnswerFramer } from "./framer.ts";
import {
  type AnswerHeader,
  createRequestHeader,
  encodeRequest,
  FLAG,
  hasAction,
  type Hello,
  HELLO_BYTES_MAX,
  KIND,
  parseHello,
  REQUEST_BYTES,
  type RequestHeader,
  ROWS_MAX,
  STATUS,
  statusName,
} from "./protocol.ts";

export interface InferOptions {
  /** Begin a new episode with this request. */
  readonly reset?: boolean;
  /** After this time the action is of no use: the service is told, and nobody waits longer. */
  readonly deadlineUs?: number;
}

const NO_OPTIONS: InferOptions = {};

/** How an answer without an action fails. */
const FAILURES: Readonly<Record<number, ErrorCode>> = {
  [STATUS.badInput]: "MALFORMED",
  [STATUS.deadlineMissed]: "DEADLINE",
  [STATUS.busy]: "BUSY",
  [STATUS.failed]: "NATIVE",
};

export class FramedClient implements Disposable {
  /** What the service said of itself when the client connected. */
  readonly hello: Hello;
  /** Rows that one request may have. */
  readonly rowsMax: number;
  readonly #socket: ClientSocket;
  readonly #timeoutMs: number;
  readonly #framer: AnswerFramer;
  readonly #request: RequestHeader = createRequestHeader();
  readonly #output: Uint8Array;
  readonly #header: DataView;
  readonly #observations: Float32Array;
  /** Id of the next answer on the stream: that of the oldest request without one. */
  #nextAnswer = 0;

  /**
   * Connects and says hello. Throws UNSUPPORTED when the service does not speak the framed
   * protocol, or nothing within `helloMs`.
   *
   * @param timeoutMs the longest wait for one answer
   */
  constructor(address: SocketAddress, timeoutMs: number, helloMs = timeoutMs) {
    this.#socket = new ClientSocket(address, timeoutMs);
    this.#timeoutMs = timeoutMs;
    this.hello = sayHello(this.#socket, helloMs);
    const { observationSize, actionSize, rowsMax } = this.hello;
    this.rowsMax = Math.min(rowsMax, ROWS_MAX);
    this.#framer = new AnswerFramer(actionSize, this.rowsMax * actionSize * 4);
    const memory = new ArrayBuffer(REQUEST_BYTES + this.rowsMax * observationSize * 4);
    this.#output = new Uint8Array(memory);
    this.#header = new DataView(memory);
    this.#observations = new Float32Array(memory, REQUEST_BYTES);
  }

  /** Of the answer before: its status, times and model generation. */
  get answer(): Readonly<AnswerHeader> {
    return this.#framer.answer;
  }

  /**
   * Sends observations, shape [rows, observationSize], and waits for their actions, [rows,
   * actionSize]; 1 to `rowsMax` rows, the caller owns both arrays. Returns the status: ok,
   * fallback or degraded. Throws without touching `action` when there is none: MALFORMED,
   * DEADLINE, BUSY or NATIVE with the service's reason, on a connection that goes on; WIRE on one
   * that is closed. After DEADLINE the connection goes on too, unless it says otherwise.
   */
  infer(
    observation: Float32Array,
    action: Float32Array,
    { reset = false, deadlineUs = 0 }: InferOptions = NO_OPTIONS,
  ): number {
    const { observationSize, actionSize } = this.hello;
    const rows = observation.length / observationSize;
    assert(rows >= 1 && rows <= this.rowsMax && Number.isInteger(rows), "observation length");
    assert(action.length === rows * actionSize, "action length");
    const request = this.#request;
    request.flags = reset ? FLAG.reset : 0;
    request.rows = rows;
    request.payloadBytes = observation.byteLength;
    request.deadlineUs = deadlineUs;
    request.sentAtUs = deadlineUs === 0 ? 0 : monotonicUs();
    encodeRequest(this.#header, 0, request);
    this.#observations.set(observation);
    const waitMs = deadlineUs === 0 ? this.#timeoutMs : Math.min(this.#timeoutMs, deadlineUs / 1e3);
    const deadline = performance.now() + waitMs;
    this.#socket.send(this.#output, REQUEST_BYTES + request.payloadBytes, deadline);
    const { id } = request;
    request.id = following(id);
    this.#receive(id, deadline, waitMs);
    return this.#takeAction(rows, action);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  /** Reads until the request's own answer is there; those of requests given up are dropped. */
  #receive(id: number, deadline: number, waitMs: number): void {
    const framer = this.#framer;
    for (;;) {
      const taken = framer.next();
      if (taken === "nothing") {
        const count = this.#socket.receive(framer.buffer, framer.filled, deadline);
        if (count === 0) {
          throw this.#socket.error("DEADLINE", `did not answer within ${waitMs} ms`);
        }
        framer.received(count);
        continue;
      }
      if (taken === "fault") throw this.#socket.fail("WIRE", `is out of step: ${framer.fault}`);
      const isNext = framer.answer.id === this.#nextAnswer;
      if (!isNext || framer.answer.kind !== KIND.inferAnswer) throw this.#outOfStep();
      this.#nextAnswer = following(this.#nextAnswer);
      if (framer.answer.id === id) return;
      framer.take();
    }
  }

  #takeAction(rows: number, action: Float32Array): number {
    const { answer } = this.#framer;
    const { status } = answer;
    if (!hasAction(status)) {
      const error = refusal(this.#socket, "gave no action", this.#framer);
      this.#framer.take();
      throw error;
    }
    if (answer.rows !== rows) {
      throw this.#socket.fail("WIRE", `is out of step: it answered ${answer.rows} of ${rows} rows`);
    }
    this.#framer.copyAction(action);
    this.#framer.take();
    return status;
  }

  #outOfStep(): Lite3Error {
    const { id, kind, status } = this.#framer.answer;
    const reason = hasAction(status)
      ? ""
      : `, ${statusName(status)} ${words(this.#framer.payload)}`;
    const found = `answer ${id} of kind ${kind}${reason}, need ${this.#nextAnswer}`;
    return this.#socket.fail("WIRE", `is out of step: ${found}`);
  }
}

const following = (id: number): number => (id + 1) >>> 0;

const words = (bytes: Uint8Array): string => quote(new TextDecoder().decode(bytes));

function refusal(socket: ClientSocket, what: string, framer: AnswerFramer): Lite3Error {
  const { status } = framer.answer;
  const reason = `${statusName(status)}, ${words(framer.payload)}`;
  return socket.error(FAILURES[status] ?? "WIRE", `${what}: ${reason}`);
}

/** Asks the service what it is. Leaves the connection open and with nothing to read. */
function sayHello(socket: ClientSocket, helloMs: number): Hello {
  const framer = new AnswerFramer(0, HELLO_BYTES_MAX);
  const fault = askHello(socket, framer, helloMs);
  if (fault !== undefined) {
    throw socket.fail("UNSUPPORTED", `does not speak the framed protocol: ${fault}`);
  }
  if (!hasAction(framer.answer.status)) {
    socket[Symbol.dispose]();
    throw refusal(socket, "refused a hello", framer);
  }
  try {
    const hello = parseHello(framer.payload);
    framer.take();
    if (framer.isPartial) throw new FormatError("its hello is followed by more bytes");
    return hello;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw socket.fail("WIRE", `cannot be used: ${error.message}`);
  }
}

/** Waits for the answer to a hello; returns why there is none that is framed. */
function askHello(socket: ClientSocket, framer: AnswerFramer, helloMs: number): string | undefined {
  const deadline = performance.now() + helloMs;
  const request = new Uint8Array(REQUEST_BYTES);
  const header = { ...createRequestHeader(), kind: KIND.hello };
  encodeRequest(new DataView(request.buffer), 0, header);
  try {
    socket.send(request, REQUEST_BYTES, deadline);
    while (framer.next() === "nothing") {
      const count = socket.receive(framer.buffer, framer.filled, deadline);
      if (count === 0) return `it did not answer a hello within ${helloMs} ms`;
      framer.received(count);
    }
    return framer.fault;
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    return "it closed the connection at a hello";
  }
}
