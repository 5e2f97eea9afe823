/**
 * Copies of the files that serve, in memory, which the supervisor has and every engine is given:
 * what was accepted goes on serving, whatever becomes of the files on the disk. They are known by
 * the names that the user gave.
 */

import { closeSync, openSync, writeSync } from "node:fs";
import { createSharedMemory } from "../../ffi/shared_memory.ts";
import { present } from "../base/assert.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { descriptorSource, DISK, type FileSet, openFile } from "../base/files.ts";

const PIECE_BYTES = 1 << 20;

export interface KeptFiles extends Disposable {
  readonly names: readonly string[];
  /** One for each name. */
  readonly fds: readonly number[];
}

/** Copies files. Throws NOT_FOUND for one that is missing, NATIVE for one that cannot be copied. */
export function keepFiles(paths: Iterable<string>): KeptFiles {
  const names = [...new Set(paths)];
  const fds: number[] = [];
  const kept: KeptFiles = {
    names,
    fds,
    [Symbol.dispose]() {
      for (const fd of fds.splice(0)) closeSync(fd);
    },
  };
  try {
    for (const name of names) fds.push(copy(name));
  } catch (error) {
    kept[Symbol.dispose]();
    throw error;
  }
  return kept;
}

function copy(path: string): number {
  using source = openFile(path);
  const fd = createSharedMemory("lite3rl-model", source.size);
  try {
    for (let at = 0; at < source.size; at += PIECE_BYTES) {
      const piece = source.read(at, Math.min(PIECE_BYTES, source.size - at));
      for (let done = 0; done < piece.length;) {
        done += writeSync(fd, piece, done, piece.length - done, at + done);
      }
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw new Lite3Error("NATIVE", `Cannot keep a copy of ${quote(path)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/**
 * The files as an engine was given them: `fds` are its own, closed with the set. Without names
 * they are the disk's. What has no copy is not there.
 */
export function receiveFiles(
  names: readonly string[] | undefined,
  fds: readonly number[],
): FileSet & Disposable {
  if (names === undefined) return { ...DISK, [Symbol.dispose]() {} };
  return {
    has: (path) => names.includes(path),
    open(path) {
      const fd = present(fds[names.indexOf(path)], `a copy of ${path}`);
      // The source closes what it reads, and may be opened again.
      return descriptorSource(openSync(`/proc/self/fd/${fd}`, "r"), path);
    },
    [Symbol.dispose]() {
      for (const fd of fds) closeSync(fd);
    },
  };
}
