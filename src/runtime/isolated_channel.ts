/**
 * Messages between `isolated.ts` and its child, one at a time to and fro over a socket pair:
 * u32 kind, u32 bytes of the body, body. Both ends are this same program.
 */

import {
  CLOSED,
  closeSocket,
  receive,
  send,
  waitReadable,
  waitWritable,
} from "../../ffi/socket.ts";
import { NativeError } from "../../ffi/rknn_library.ts";
import { AssertionError } from "../base/assert.ts";
import { ERROR_CODES, type ErrorCode, FormatError, Lite3Error } from "../base/errors.ts";

export const MESSAGE = { OPEN: 1, ACT: 2, CLOSE: 3, DONE: 4, FAILED: 5 } as const;

/** The other end is gone. */
export class ChannelClosed extends Error {}
/** The other end did not answer in time. */
export class ChannelTimeout extends Error {}

const HEADER_BYTES = 8;
/** The socket option that the file descriptor came with: one number for parent and child. */
export const CHILD_FD = 3;
/** One wait of those that have no end: poll(2) takes an int. */
const LONG_MS = 1e9;

export interface Message {
  readonly kind: number;
  /** The channel's own bytes, until the next `receive`. */
  readonly body: Uint8Array<ArrayBuffer>;
}

export class Channel implements Disposable {
  readonly #fd: number;
  #buffer = new Uint8Array(4096);
  readonly #header = new Uint32Array(2);
  #open = true;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Sends the parts as one message. */
  send(kind: number, parts: readonly Uint8Array[], limitMs = Infinity): void {
    if (!this.#open) throw new ChannelClosed();
    const deadline = performance.now() + limitMs;
    this.#header[0] = kind;
    this.#header[1] = parts.reduce((sum, { length }) => sum + length, 0);
    const total = HEADER_BYTES + this.#header[1];
    this.#reserve(total);
    let at = HEADER_BYTES;
    this.#buffer.set(new Uint8Array(this.#header.buffer));
    for (const part of parts) {
      this.#buffer.set(part, at);
      at += part.length;
    }
    for (let done = 0; done < total;) {
      const rest = this.#buffer.subarray(done, total);
      const count = send(this.#fd, rest, rest.length);
      if (count === CLOSED) throw new ChannelClosed();
      if (count >= 0) done += count;
      else this.#wait(waitWritable, deadline);
    }
  }

  /** Is there something to receive within that time? */
  hasAnswer(limitMs: number): boolean {
    return waitReadable(this.#fd, limitMs);
  }

  /** Waits for one whole message. */
  receive(limitMs = Infinity): Message {
    const deadline = performance.now() + limitMs;
    let done = 0;
    for (;;) {
      const count = receive(this.#fd, this.#buffer.subarray(done));
      if (count === CLOSED) throw new ChannelClosed();
      if (count > 0) {
        done += count;
        if (done < HEADER_BYTES) continue;
        const view = new DataView(this.#buffer.buffer);
        const total = HEADER_BYTES + view.getUint32(4, true);
        if (done === total) {
          return {
            kind: view.getUint32(0, true),
            body: this.#buffer.subarray(HEADER_BYTES, total),
          };
        }
        this.#reserve(total);
      } else {
        this.#wait(waitReadable, deadline);
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#open) closeSocket(this.#fd);
    this.#open = false;
  }

  #wait(until: typeof waitReadable, deadline: number): void {
    const leftMs = deadline - performance.now();
    if (!until(this.#fd, Math.min(leftMs, LONG_MS)) && leftMs <= LONG_MS)
      throw new ChannelTimeout();
  }

  #reserve(bytes: number): void {
    if (this.#buffer.length >= bytes) return;
    const larger = new Uint8Array(2 * bytes);
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}

export const encodeJson = (value: unknown): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(value));

export const decodeJson = (body: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(body));

/** The bytes of numbers, not a copy. */
export const bytesOf = (values: Float32Array | Float64Array | Uint32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** An error as it goes over the channel. */
interface SentError {
  readonly name: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly native?: Pick<NativeError, "call" | "status" | "because" | "cure">;
}

export function encodeError(error: unknown): Uint8Array {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const code = error instanceof Lite3Error ? error.code : "BUG";
  const sent: SentError = { name, code, message };
  if (!(error instanceof NativeError)) return encodeJson(sent);
  const { call, status, because, cure } = error;
  return encodeJson({ ...sent, native: { call, status, because, cure } });
}

/** The same error on this side; `said` is the library's last line. */
export function decodeError(body: Uint8Array, said: string | undefined): Error {
  const { name, code, message, native } = decodeJson(body) as SentError;
  if (native !== undefined) return new NativeError(native.call, native.status, { ...native, said });
  if (!Object.hasOwn(ERROR_CODES, code) || code === "BUG") return new AssertionError(message);
  if (name !== "FormatError") return new Lite3Error(code, message);
  return new FormatError(message, code as "MALFORMED" | "TOO_LARGE" | "UNSUPPORTED");
}
