/**
 * Messages with file descriptors between processes: one SEQPACKET socket pair, both ends
 * non-blocking. A message arrives whole, and with its descriptors, or not at all.
 */

import { ptr } from "bun:ffi";
import { assert } from "../src/base/assert.ts";
import { Lite3Error } from "../src/base/errors.ts";
import { checkCall, ERRNO, errno, errnoText, libc } from "./libc.ts";
import { waitWritable } from "./socket.ts";

/** sys/socket.h, the same numbers on x86_64 and aarch64. */
const AF_UNIX = 1;
const SEQPACKET = 5;
const CLOEXEC = 0o2000000;
const NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG = { CTRUNC: 8, TRUNC: 32, NOSIGNAL: 0x4000, CMSG_CLOEXEC: 0x40000000 } as const;

/** Bytes of one message: well below the 208 KiB that a socket's buffer takes by default. */
export const MESSAGE_BYTES_MAX = 64 << 10;
/** Descriptors of one message; the kernel's own limit is 253. */
const FDS_MAX = 64;

// struct msghdr: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48.
// struct cmsghdr: len u64 0, level 8, type 12, descriptors from 16 on.
const MSGHDR_BYTES = 56;
const CMSG_BYTES = 16;

export interface Message {
  /** The socket's own bytes, until the next `receive`. */
  readonly bytes: Uint8Array;
  /** The receiver's to close. */
  readonly fds: readonly number[];
  /** Descriptors came with it that this process could not open: it has as many as it may. */
  readonly isCut: boolean;
}

/** Two ends of a new pair; no child inherits one by accident. */
export function messagePair(): [ours: number, theirs: number] {
  const pair = new Int32Array(2);
  const type = SEQPACKET | CLOEXEC | NONBLOCK;
  checkCall("socketpair", libc.socketpair(AF_UNIX, type, 0, pair));
  return [pair[0] as number, pair[1] as number];
}

/** What a message that is cut comes to for who cannot do without the descriptors. */
export const noDescriptors = (): Lite3Error =>
  new Lite3Error(
    "NATIVE",
    "Cannot take over a file descriptor: this process may open no more, raise its limit",
  );

/** One end; disposing closes it. */
export class MessageSocket implements Disposable {
  readonly fd: number;
  readonly #bytes = new Uint8Array(MESSAGE_BYTES_MAX);
  readonly #iov = new BigUint64Array(2);
  readonly #control = new Uint8Array(CMSG_BYTES + 4 * FDS_MAX);
  readonly #controlView = new DataView(this.#control.buffer);
  readonly #header = new Uint8Array(MSGHDR_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);

  constructor(fd: number) {
    this.fd = fd;
    this.#iov[0] = BigInt(ptr(this.#bytes));
    this.#headerView.setBigUint64(16, BigInt(ptr(this.#iov)), true);
    this.#headerView.setBigUint64(24, 1n, true);
  }

  /**
   * Sends one message; false when the other end is gone. Waits at most `limitMs` for room, then
   * throws DEADLINE.
   */
  send(bytes: Uint8Array, fds: readonly number[] = [], limitMs = 1000): boolean {
    assert(bytes.length <= MESSAGE_BYTES_MAX && fds.length <= FDS_MAX, "message size");
    this.#bytes.set(bytes);
    this.#iov[1] = BigInt(bytes.length);
    this.#setControl(fds.length === 0 ? 0 : CMSG_BYTES + 4 * fds.length);
    this.#controlView.setBigUint64(0, BigInt(CMSG_BYTES + 4 * fds.length), true);
    this.#controlView.setInt32(8, SOL_SOCKET, true);
    this.#controlView.setInt32(12, SCM_RIGHTS, true);
    for (const [i, fd] of fds.entries()) this.#controlView.setInt32(CMSG_BYTES + 4 * i, fd, true);
    for (;;) {
      if (Number(libc.sendmsg(this.fd, this.#header, MSG.NOSIGNAL)) >= 0) return true;
      const code = errno();
      if (code === ERRNO.EINTR) continue;
      if (code === ERRNO.EPIPE || code === ERRNO.ECONNRESET) return false;
      if (code !== ERRNO.EAGAIN) {
        throw new Lite3Error("NATIVE", `Cannot pass a message on: ${errnoText(code)}`);
      }
      if (!waitWritable(this.fd, limitMs)) {
        throw new Lite3Error(
          "DEADLINE",
          `Cannot pass a message on: nobody read it in ${limitMs} ms`,
        );
      }
    }
  }

  /** Takes one message; undefined when none is there, null when the other end is gone. */
  receive(): Message | undefined | null {
    this.#iov[1] = BigInt(this.#bytes.length);
    this.#setControl(this.#control.length);
    this.#headerView.setInt32(48, 0, true);
    const count = Number(libc.recvmsg(this.fd, this.#header, MSG.CMSG_CLOEXEC));
    if (count < 0) {
      const code = errno();
      return code === ERRNO.EAGAIN || code === ERRNO.EINTR ? undefined : null;
    }
    const fds = this.#receivedFds();
    const bytes = this.#bytes.subarray(0, count);
    if ((this.#headerView.getInt32(48, true) & (MSG.CTRUNC | MSG.TRUNC)) !== 0) {
      for (const fd of fds) libc.close(fd);
      return { bytes, fds: [], isCut: true };
    }
    if (count === 0 && fds.length === 0) return null;
    return { bytes, fds, isCut: false };
  }

  [Symbol.dispose](): void {
    libc.close(this.fd);
  }

  #setControl(bytes: number): void {
    this.#headerView.setBigUint64(32, bytes === 0 ? 0n : BigInt(ptr(this.#control)), true);
    this.#headerView.setBigUint64(40, BigInt(bytes), true);
  }

  #receivedFds(): number[] {
    const given = Number(this.#headerView.getBigUint64(40, true));
    if (given < CMSG_BYTES + 4 || this.#controlView.getInt32(12, true) !== SCM_RIGHTS) return [];
    const end = Number(this.#controlView.getBigUint64(0, true));
    const fds: number[] = [];
    for (let at = CMSG_BYTES; at + 4 <= end; at += 4) {
      fds.push(this.#controlView.getInt32(at, true));
    }
    return fds;
  }
}
