/**
 * libc through FFI: the calls of the serving and control loops, and errno.
 *
 * The same file serves x86_64 and aarch64; the one layout that differs, `epoll_event`, is in
 * `epoll.ts`. Buffers are passed as `buffer`, never as addresses, so that a wrong argument throws
 * instead of being taken for a pointer.
 */

import { dlopen, FFIType, toArrayBuffer } from "bun:ffi";
import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import { present } from "../src/base/assert.ts";
import { Lite3Error } from "../src/base/errors.ts";

export const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  socketpair: { args: ["i32", "i32", "i32", "buffer"], returns: "i32" },
  bind: { args: ["i32", "buffer", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  connect: { args: ["i32", "buffer", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "buffer", "buffer"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "buffer", "buffer"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "buffer", "u32"], returns: "i32" },
  recv: { args: ["i32", "buffer", FFIType.u64_fast, "i32"], returns: FFIType.i64_fast },
  send: { args: ["i32", "buffer", FFIType.u64_fast, "i32"], returns: FFIType.i64_fast },
  sendmsg: { args: ["i32", "buffer", "i32"], returns: FFIType.i64_fast },
  recvmsg: { args: ["i32", "buffer", "i32"], returns: FFIType.i64_fast },
  ppoll: { args: ["buffer", FFIType.u64_fast, "buffer", "ptr"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  memfd_create: { args: ["cstring", "u32"], returns: "i32" },
  mmap: { args: ["ptr", FFIType.u64_fast, "i32", "i32", "i32", FFIType.i64_fast], returns: "i64" },
  munmap: { args: ["ptr", FFIType.u64_fast], returns: "i32" },
  mlockall: { args: ["i32"], returns: "i32" },
  sched_setaffinity: { args: ["i32", FFIType.u64_fast, "buffer"], returns: "i32" },
  sched_setscheduler: { args: ["i32", "i32", "buffer"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  signal: { args: ["i32", "u64"], returns: "u64" },
  dup: { args: ["i32"], returns: "i32" },
  dup2: { args: ["i32", "i32"], returns: "i32" },
  flock: { args: ["i32", "i32"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "buffer"], returns: "i32" },
  epoll_wait: { args: ["i32", "buffer", "i32", "i32"], returns: "i32" },
  clock_gettime: { args: ["i32", "buffer"], returns: "i32" },
  clock_nanosleep: { args: ["i32", "i32", "buffer", "ptr"], returns: "i32" },
  __errno_location: { args: [], returns: "ptr" },
}).symbols;

/** errno.h, the same numbers on x86_64 and aarch64. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EAGAIN: 11,
  ENOMEM: 12,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EPIPE: 32,
  EADDRINUSE: 98,
  ECONNRESET: 104,
  ECONNREFUSED: 111,
  EINPROGRESS: 115,
} as const;

// errno belongs to a thread: this view is valid on the thread that loads this file, read straight
// after the call.
const errnoView = new Int32Array(toArrayBuffer(present(libc.__errno_location()), 0, 4));

/** errno of the last call. */
export function errno(): number {
  return present(errnoView[0]);
}

/** `EACCES, permission denied` for the last call. */
export function errnoText(code = errno()): string {
  try {
    return `${getSystemErrorName(-code)}, ${getSystemErrorMessage(-code)}`;
  } catch {
    return `errno ${code}`;
  }
}

/** Returns `result` unless it is negative, which throws NATIVE with the call and its errno. */
export function checkCall(call: string, result: number): number {
  if (result >= 0) return result;
  throw new Lite3Error("NATIVE", `The system call ${call} failed: ${errnoText()}`);
}
