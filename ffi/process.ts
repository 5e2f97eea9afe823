/**
 * What a parent and its child process ask of Linux: a log without a place on disk, an end that
 * follows the parent's, and signals that are the parent's alone.
 */

import { closeSync, openSync } from "node:fs";
import { checkCall, libc } from "./libc.ts";

/** sys/prctl.h and linux/memfd.h */
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9n;
const MFD_CLOEXEC = 1;
/** signal.h */
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15, SIGXFSZ: 25 } as const;
const SIG_IGN = 1n;
/** fcntl.h */
const F = { GETFL: 3, SETFL: 4 } as const;
const NONBLOCK = 0o4000;

/** A file in memory, opened to append and to read; it is gone once it is closed everywhere. */
export function openMemoryFile(): number {
  const fd = checkCall("memfd_create", libc.memfd_create("lite3rl", MFD_CLOEXEC));
  try {
    return openSync(`/proc/self/fd/${fd}`, "a+");
  } finally {
    closeSync(fd);
  }
}

/** From now on this process is killed when the one that started it ends, even while it hangs. */
export function endWithParent(): void {
  checkCall("prctl", libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0n, 0n, 0n));
}

/**
 * The kernel drops these signals from now on. Unlike a handler this leaves system calls that wait
 * undisturbed.
 */
export function ignoreSignals(names: readonly (keyof typeof SIGNALS)[]): void {
  for (const name of names) libc.signal(SIGNALS[name], SIG_IGN);
}

/**
 * Standard output under another descriptor, which is returned and never blocks: what a native
 * library prints on stdout goes to stderr from now on, and cannot get between this program's lines.
 */
export function moveStdout(): number {
  const fd = checkCall("dup", libc.dup(1));
  checkCall("dup2", libc.dup2(2, 1));
  checkCall("fcntl", libc.fcntl(fd, F.SETFL, libc.fcntl(fd, F.GETFL, 0) | NONBLOCK));
  return fd;
}
