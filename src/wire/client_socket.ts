/**
 * A client's end of a connection: blocking calls with a deadline, on the clock of
 * `performance.now()`. What fails closes it, so that nothing out of step can be read later.
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
import { type ErrorCode, Lite3Error } from "../base/errors.ts";
import { describeAddress } from "./endpoint.ts";

/** Raw bytes have no way to say why, and who is turned away at once hears nothing. */
export const CLOSED_INSTEAD =
  "closed the connection instead of answering; its log says why: it may be full (--max-clients), " +
  "not let this user in (--allow-uid), or have no finite action";

export class ClientSocket implements Disposable {
  readonly address: SocketAddress;
  readonly #timeoutMs: number;
  #fd: number | undefined;

  /** Connects within `timeoutMs`, which errors name as the time that there was. */
  constructor(address: SocketAddress, timeoutMs: number) {
    this.address = address;
    this.#timeoutMs = timeoutMs;
    this.#fd = connectTo(address, timeoutMs);
  }

  /** Sends the first `count` bytes; part of them is never left behind on an open connection. */
  send(bytes: Uint8Array, count: number, deadline: number): void {
    let sent = 0;
    while (sent < count) {
      const fd = this.#open();
      const result = send(fd, sent === 0 ? bytes : bytes.subarray(sent), count - sent);
      if (result >= 0) sent += result;
      else if (result !== WOULD_BLOCK) throw this.fail("WIRE", CLOSED_INSTEAD);
      else if (!waitWritable(fd, deadline - performance.now())) {
        throw this.fail("DEADLINE", `took no request within ${this.#timeoutMs} ms`);
      }
    }
  }

  /** Receives what comes first into `bytes` from `at` on; 0 when the time is over. */
  receive(bytes: Uint8Array, at: number, deadline: number): number {
    for (;;) {
      const fd = this.#open();
      if (!waitReadable(fd, deadline - performance.now())) return 0;
      const count = receive(fd, at === 0 ? bytes : bytes.subarray(at));
      if (count > 0) return count;
      if (count === CLOSED) throw this.fail("WIRE", CLOSED_INSTEAD);
    }
  }

  /** Are there bytes to read within `withinMs`? An end of the connection counts as bytes. */
  hasBytes(withinMs: number): boolean {
    return waitReadable(this.#open(), withinMs);
  }

  /** Closes the connection; returns the error that says why. */
  fail(code: ErrorCode, what: string): Lite3Error {
    this[Symbol.dispose]();
    return this.error(code, what);
  }

  error(code: ErrorCode, what: string): Lite3Error {
    return new Lite3Error(code, `The service at ${describeAddress(this.address)} ${what}`);
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSocket(this.#fd);
    this.#fd = undefined;
  }

  #open(): number {
    if (this.#fd === undefined) throw this.fail("WIRE", "is not connected any more");
    return this.#fd;
  }
}
