/**
 * Lock files: held by one process at a time, and freed by the system when that process dies.
 */

import { closeSync, constants, fstatSync, lstatSync, openSync, rmSync } from "node:fs";
import { libc } from "./libc.ts";

/** sys/file.h: exclusive, and without waiting. */
const LOCK_EX_NB = 2 | 4;

/** Takes the lock on an open file, until that is closed; false when another one has it. */
export function lockFile(fd: number): boolean {
  return libc.flock(fd, LOCK_EX_NB) === 0;
}

/**
 * Takes the lock, making its file if need be; undefined when another process has it. Throws what
 * `openSync` throws when the file cannot be made. Disposing removes the file, unless somebody
 * has written to it: a lock is empty, and what is not is theirs.
 */
export function takeLock(path: string): Disposable | undefined {
  for (;;) {
    const { O_CREAT, O_RDWR, O_NOFOLLOW } = constants;
    const fd = openSync(path, O_CREAT | O_RDWR | O_NOFOLLOW, 0o600);
    if (!lockFile(fd)) {
      closeSync(fd);
      return undefined;
    }
    // Its last owner may have removed the file between the two calls: then it guards nothing.
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) {
      return {
        [Symbol.dispose]() {
          if (fstatSync(fd).size === 0) rmSync(path, { force: true });
          closeSync(fd);
        },
      };
    }
    closeSync(fd);
  }
}
