/**
 * The client of the raw protocol: blocking calls with a deadline, for control loops. What it
 * cannot answer for it refuses: after a missed deadline the stream is out of step, so the
 * connection is closed rather than give an old answer to a new question.
 */

import {
  CLOSED,
  closeSocket,
  connectTo,
  receive,
  send,
  type SocketAddress,
  waitReadable,
  waitWritable,
  WOULD_BLOCK,
} from "../../ffi/socket.ts";
import { Lite3Error } from "../base/errors.ts";
import { describeAddress } from "./endpoint.ts";

export class RawClient implements Disposable {
  readonly #address: SocketAddress;
  readonly #timeoutMs: number;
  #fd: number | undefined;

  /** Connects within `timeoutMs`, which is also the longest wait for one answer. */
  constructor(address: SocketAddress, timeoutMs: number) {
    this.#address = address;
    this.#timeoutMs = timeoutMs;
    this.#fd = connectTo(address, timeoutMs);
  }

  /** Sends one observation and waits for its action; the caller owns both arrays. */
  infer(observation: Float32Array, action: Float32Array): void {
    const deadline = performance.now() + this.#timeoutMs;
    this.#sendAll(bytesOf(observation), deadline);
    this.receiveExactly(bytesOf(action), deadline);
  }

  sendBytes(bytes: Uint8Array): void {
    this.#sendAll(bytes, performance.now() + this.#timeoutMs);
  }

  /** Are there bytes to read within `withinMs`? An end of the connection counts as bytes. */
  hasBytes(withinMs: number): boolean {
    return waitReadable(this.#open(), withinMs);
  }

  /** Fills `bytes`, waiting until `deadline` on the clock of `performance.now()`. */
  receiveExactly(bytes: Uint8Array, deadline: number): void {
    let done = 0;
    while (done < bytes.length) {
      const fd = this.#open();
      const count = receive(fd, done === 0 ? bytes : bytes.subarray(done));
      if (count > 0) done += count;
      else if (count === CLOSED) {
        throw this.#fail("WIRE", "closed the connection instead of answering");
      } else if (!waitReadable(fd, deadline - performance.now())) {
        throw this.#fail(
          "DEADLINE",
          `did not answer within ${this.#timeoutMs} ms (${done} of ${bytes.length} bytes)`,
        );
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSocket(this.#fd);
    this.#fd = undefined;
  }

  #sendAll(bytes: Uint8Array, deadline: number): void {
    let rest = bytes;
    while (rest.length > 0) {
      const fd = this.#open();
      const count = send(fd, rest, rest.length);
      if (count >= 0) rest = rest.subarray(count);
      else if (count !== WOULD_BLOCK) throw this.#fail("WIRE", "closed the connection");
      else if (!waitWritable(fd, deadline - performance.now())) {
        throw this.#fail("DEADLINE", `took no request within ${this.#timeoutMs} ms`);
      }
    }
  }

  #open(): number {
    if (this.#fd === undefined) throw this.#fail("WIRE", "is not connected any more");
    return this.#fd;
  }

  #fail(code: "WIRE" | "DEADLINE", what: string): Lite3Error {
    this[Symbol.dispose]();
    return new Lite3Error(code, `The service at ${describeAddress(this.#address)} ${what}`);
  }
}

export interface ServiceSizes {
  readonly observationSize: number;
  readonly actionSize: number;
  readonly timeoutMs: number;
}

/** How long a service gets to send what it should not: this, or so many times its first answer. */
const SILENCE_MS = 30;
const SILENCE_ANSWERS = 5;

/**
 * Makes sure, on a connection of its own, that the service takes observations and gives actions
 * of these sizes. The raw protocol does not carry them, and a service with a shorter observation
 * would slide through the stream and give wrong actions.
 *
 * One observation must bring exactly one action; a second one must bring nothing before its last
 * number is sent.
 */
export function probeService(address: SocketAddress, sizes: ServiceSizes): void {
  using client = new RawClient(address, sizes.timeoutMs);
  const refuse = (found: string): Lite3Error =>
    new Lite3Error(
      "WIRE",
      `Cannot use the service at ${describeAddress(address)}: ${found}, need one that takes ` +
        `${sizes.observationSize} numbers and gives ${sizes.actionSize}`,
    );
  const observation = new Float32Array(sizes.observationSize);
  const action = new Float32Array(sizes.actionSize);
  try {
    const started = performance.now();
    client.infer(observation, action);
    const answerMs = performance.now() - started;
    const silenceMs = Math.min(sizes.timeoutMs, Math.max(SILENCE_MS, SILENCE_ANSWERS * answerMs));
    if (client.hasBytes(silenceMs)) throw refuse("it answers one observation with more bytes");
    client.sendBytes(bytesOf(observation.subarray(1)));
    if (client.hasBytes(silenceMs)) throw refuse("it takes shorter observations");
    client.infer(observation.subarray(0, 1), action);
  } catch (error) {
    const isOurs = error instanceof Lite3Error && !error.message.startsWith("Cannot use");
    throw isOurs ? refuse(`it did not answer one observation (${error.message})`) : error;
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
