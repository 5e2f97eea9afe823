/**
 * Memory that two processes see: a file in memory, which a child is given as a file descriptor,
 * mapped by both.
 */

import { closeSync, ftruncateSync } from "node:fs";
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { checkCall, errnoText, libc } from "./libc.ts";
import { Lite3Error } from "../src/base/errors.ts";

/** linux/memfd.h */
const MFD_CLOEXEC = 1;
/** sys/mman.h: PROT_READ | PROT_WRITE, and the mapping that other processes see. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

export interface SharedMemory extends Disposable {
  /** Gone once it is disposed of: nothing may look into it then. */
  readonly buffer: ArrayBuffer;
}

/**
 * A file descriptor of `bytes` zeroes; memory lives as long as a descriptor or mapping of it.
 * Throws NATIVE where the system has none, or a limit on files' sizes forbids it.
 */
export function createSharedMemory(name: string, bytes: number): number {
  const fd = checkCall("memfd_create", libc.memfd_create(Buffer.from(`${name}\0`), MFD_CLOEXEC));
  try {
    ftruncateSync(fd, bytes);
    return fd;
  } catch (error) {
    closeSync(fd);
    const { code } = error as NodeJS.ErrnoException;
    const limit = code === "EFBIG" ? ", need ulimit -f unlimited" : "";
    throw new Lite3Error("NATIVE", `Cannot share ${bytes} bytes of memory: ${code}${limit}`, {
      cause: error,
    });
  }
}

/** Maps the first `bytes` of it, to read and write; `fd` may be closed afterwards. */
export function mapSharedMemory(fd: number, bytes: number): SharedMemory {
  const address = Number(libc.mmap(null, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0));
  if (address === -1) {
    throw new Lite3Error("NATIVE", `The system call mmap failed: ${errnoText()}`);
  }
  return {
    buffer: toArrayBuffer(address as Pointer, 0, bytes),
    [Symbol.dispose]() {
      libc.munmap(address as Pointer, bytes);
    },
  };
}
