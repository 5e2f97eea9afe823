/**
 * What a parent and its child process ask of Linux: a log without a place on disk, and an end that
 * follows the parent's.
 */

import { closeSync, openSync } from "node:fs";
import { checkCall, libc } from "./libc.ts";

/** sys/prctl.h and linux/memfd.h */
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9n;
const MFD_CLOEXEC = 1;

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
