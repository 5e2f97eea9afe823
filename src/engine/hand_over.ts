/**
 * A connection from one engine to the next, over a pair of message sockets: a message with its
 * descriptor and what is known of it, then its bytes in pieces. Nothing is lost or answered twice:
 * the old engine lets go of a connection only once all of it is on its way.
 */

import { MESSAGE_BYTES_MAX, type MessageSocket, noDescriptors } from "../../ffi/message_socket.ts";
import { closeSocket } from "../../ffi/socket.ts";
import { Lite3Error } from "../base/errors.ts";
import type { SavedConnection } from "./connection.ts";

interface Head extends Pick<SavedConnection, "kind" | "protocol" | "ending"> {
  readonly inputBytes: number;
  readonly outputBytes: number;
}

/** Sends one connection; false when the next engine is gone or does not read. */
export function sendConnection(to: MessageSocket, fd: number, saved: SavedConnection): boolean {
  const { input, output, ...rest } = saved;
  const head: Head = { ...rest, inputBytes: input.length, outputBytes: output.length };
  const body = Buffer.concat([input, output]);
  try {
    if (!to.send(Buffer.from(JSON.stringify(head)), [fd])) return false;
    for (let at = 0; at < body.length; at += MESSAGE_BYTES_MAX) {
      if (!to.send(body.subarray(at, at + MESSAGE_BYTES_MAX))) return false;
    }
    return true;
  } catch (error) {
    if (error instanceof Lite3Error) return false;
    throw error;
  }
}

/** The receiving end: whole connections come out of `receive`. */
export class Takeover implements Disposable {
  readonly #from: MessageSocket;
  #fd = -1;
  #head: Head | undefined;
  #body = Buffer.alloc(0);
  #filled = 0;
  /** The old engine has sent all that it had. */
  isOver = false;

  constructor(from: MessageSocket) {
    this.#from = from;
  }

  get fd(): number {
    return this.#from.fd;
  }

  /** The next connection; undefined when there is none now. */
  receive(): { readonly fd: number; readonly saved: SavedConnection } | undefined {
    for (;;) {
      const head = this.#head;
      if (head !== undefined && this.#filled === this.#body.length) return this.#takeWhole(head);
      const message = this.#from.receive();
      if (message === undefined) return undefined;
      if (message === null) {
        this.isOver = true;
        return undefined;
      }
      if (message.isCut) throw noDescriptors();
      if (head === undefined) {
        this.#head = JSON.parse(new TextDecoder().decode(message.bytes)) as Head;
        this.#fd = message.fds[0] ?? -1;
        this.#body = Buffer.alloc(this.#head.inputBytes + this.#head.outputBytes);
        this.#filled = 0;
      } else {
        this.#body.set(message.bytes, this.#filled);
        this.#filled += message.bytes.length;
      }
    }
  }

  /** Closes its end, and a connection of which not all came. */
  [Symbol.dispose](): void {
    if (this.#head !== undefined) closeSocket(this.#fd);
    this.#head = undefined;
    this.#from[Symbol.dispose]();
  }

  #takeWhole({ kind, protocol, ending, inputBytes }: Head) {
    this.#head = undefined;
    const input = this.#body.subarray(0, inputBytes);
    const output = this.#body.subarray(inputBytes);
    return { fd: this.#fd, saved: { kind, protocol, ending, input, output } };
  }
}
