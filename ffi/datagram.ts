/**
 * Unix datagram sockets: one message a call, by a path or, with `@`, by a name that no file has.
 */

import { checkCall, libc } from "./libc.ts";
import { send, waitWritable, WOULD_BLOCK } from "./socket.ts";

/** sys/socket.h */
const AF_UNIX = 1;
const DATAGRAM = 2;
const CLOEXEC = 0o2000000;
const NONBLOCK = 0o4000;

/** Opens a socket whose messages go to `name`. Throws NATIVE when nobody is there. */
export function connectDatagram(name: string): number {
  return open("connect", name, libc.connect);
}

/** Opens a socket that messages to `name` come to. */
export function bindDatagram(name: string): number {
  return open("bind", name, libc.bind);
}

function open(call: string, name: string, use: typeof libc.bind): number {
  const fd = checkCall("socket", libc.socket(AF_UNIX, DATAGRAM | CLOEXEC | NONBLOCK, 0));
  const address = encodeName(name);
  try {
    checkCall(call, use(fd, address, address.length));
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Sends one message; one that is not taken within `limitMs` is lost. */
export function sendDatagram(fd: number, text: string, limitMs = 0): void {
  const bytes = new TextEncoder().encode(text);
  const isFull = send(fd, bytes, bytes.length) === WOULD_BLOCK;
  if (isFull && limitMs > 0 && waitWritable(fd, limitMs)) send(fd, bytes, bytes.length);
}

/** struct sockaddr_un; an abstract name begins with a zero and has no other at its end. */
function encodeName(name: string): Buffer {
  const family = Buffer.from(Uint16Array.of(AF_UNIX).buffer);
  const path = name.startsWith("@") ? `\0${name.slice(1)}` : `${name}\0`;
  return Buffer.concat([family, Buffer.from(path)]);
}
