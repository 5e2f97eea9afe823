/**
 * The client of the raw protocol: blocking calls with a deadline, for control loops. What it
 * cannot answer for it refuses: after a missed deadline the stream is out of step, so the
 * connection is closed rather than give an old answer to a new question.
 */

import type { SocketAddress } from "../../ffi/socket.ts";
import { Lite3Error } from "../base/errors.ts";
import { ClientSocket } from "./client_socket.ts";
import { describeAddress } from "./endpoint.ts";

export class RawClient implements Disposable {
  readonly #socket: ClientSocket;
  readonly #timeoutMs: number;
  readonly #observation = new LastBytes();
  readonly #action = new LastBytes();

  /** Connects within `timeoutMs`, which is also the longest wait for one answer. */
  constructor(address: SocketAddress, timeoutMs: number) {
    this.#socket = new ClientSocket(address, timeoutMs);
    this.#timeoutMs = timeoutMs;
  }

  /** Sends one observation and waits for its action; the caller owns both arrays. */
  infer(observation: Float32Array, action: Float32Array): void {
    const deadline = performance.now() + this.#timeoutMs;
    this.#socket.send(this.#observation.of(observation), observation.byteLength, deadline);
    this.receiveExactly(this.#action.of(action), deadline);
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes, bytes.length, performance.now() + this.#timeoutMs);
  }

  /** Are there bytes to read within `withinMs`? An end of the connection counts as bytes. */
  hasBytes(withinMs: number): boolean {
    return this.#socket.hasBytes(withinMs);
  }

  /** Fills `bytes`, waiting until `deadline` on the clock of `performance.now()`. */
  receiveExactly(bytes: Uint8Array, deadline: number): void {
    let done = 0;
    while (done < bytes.length) {
      const count = this.#socket.receive(bytes, done, deadline);
      if (count === 0) {
        throw this.#socket.fail(
          "DEADLINE",
          `did not answer within ${this.#timeoutMs} ms (${done} of ${bytes.length} bytes)`,
        );
      }
      done += count;
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
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

/** The bytes of an array, made once as long as it is the same array: a loop allocates none. */
class LastBytes {
  #values: Float32Array = new Float32Array(0);
  #bytes: Uint8Array = bytesOf(this.#values);

  of(values: Float32Array): Uint8Array {
    if (values !== this.#values) {
      this.#values = values;
      this.#bytes = bytesOf(values);
    }
    return this.#bytes;
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
