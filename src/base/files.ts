/**
 * Files at the border: inputs with clear errors, outputs that appear whole or not at all.
 */

import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { Lite3Error, quote } from "./errors.ts";
import { ownerMark, removeAbandoned } from "./owner.ts";

/** Bytes that can be read in pieces; `read` returns exactly `length` bytes or throws RangeError. */
export interface ByteSource extends Disposable {
  readonly size: number;
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
}

/** Opens a file for reading in pieces. Throws NOT_FOUND for what is missing or not a file. */
export function openFile(path: string): ByteSource {
  return descriptorSource(openInput(path), path);
}

/** A file that is open, which is closed with the source; `path` names it in errors. */
export function descriptorSource(fd: number, path: string): ByteSource {
  const size = fstatSync(fd).size;
  return {
    size,
    read(offset, length) {
      checkRange(offset, length, size);
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const count = readSync(fd, bytes, done, length - done, offset + done);
        if (count === 0) throw new RangeError(`${quote(path)} became shorter while it was read`);
        done += count;
      }
      return bytes;
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** A `ByteSource` over bytes in memory; `read` copies. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read(offset, length) {
      checkRange(offset, length, bytes.length);
      return Uint8Array.from(bytes.subarray(offset, offset + length));
    },
    [Symbol.dispose]() {},
  };
}

/** Where inputs are found by their names. */
export interface FileSet {
  has(path: string): boolean;
  /** Throws NOT_FOUND for what is not there. */
  open(path: string): ByteSource;
}

export const DISK: FileSet = { has: existsSync, open: openFile };

/** Reads a whole file of at most `bytesMax` bytes. */
export function readFile(
  path: string,
  bytesMax: number,
  files: FileSet = DISK,
): Uint8Array<ArrayBuffer> {
  using source = files.open(path);
  if (source.size > bytesMax) {
    throw new Lite3Error(
      "TOO_LARGE",
      `Cannot read ${quote(path)}: it has ${source.size} bytes, at most ${bytesMax} are taken`,
    );
  }
  return source.read(0, source.size);
}

/**
 * Writes a file so that a reader sees the old content or the new, never a part: a temporary file
 * in the same directory, synced, then renamed. Missing directories are made; a link is written
 * through, not replaced.
 *
 * @param flag by which another place can be named
 */
export function writeFileAtomic(path: string, bytes: Uint8Array | string, flag = "--output"): void {
  using staged = stageFile(path, bytes, flag);
  staged.publish();
}

/**
 * Writes a file and what describes it, by the file's digest. Nothing changes unless both could be
 * written. The description is published first: cut off between the two, it stands beside a file
 * that it evidently does not describe, while a new file without a description says nothing.
 */
export function writeDescribedFile(
  path: string,
  bytes: Uint8Array,
  description: { readonly path: string; readonly text: string },
): void {
  using file = stageFile(path, bytes);
  using words = stageFile(description.path, description.text);
  words.publish();
  file.publish();
}

/**
 * Refuses, before any work, a place where `writeFileAtomic` could not write: it makes a temporary
 * file there and removes it. A directory that is to be made is tried by the one above it.
 */
export function checkWritable(path: string, flag?: string): void {
  const target = existsSync(path) ? realpathSync(path) : path;
  let folder = dirname(target);
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  const temporary = join(folder, `.${basename(target)}.${ownerMark()}.tmp`);
  try {
    closeSync(openSync(temporary, "wx"));
    rmSync(temporary);
  } catch (error) {
    throw cannotWrite(path, error, flag);
  }
}

/** Removes a file that may not be there. */
export function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

interface StagedFile extends Disposable {
  /** Gives the file its name; without it nothing is left. */
  publish(): void;
}

function stageFile(path: string, bytes: Uint8Array | string, flag?: string): StagedFile {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  const target = existsSync(path) ? realpathSync(path) : path;
  const begin = `.${basename(target)}.`;
  const temporary = join(dirname(target), `${begin}${ownerMark()}.tmp`);
  const discard = (): void => {
    if (existsSync(temporary)) rmSync(temporary, { force: true });
  };
  try {
    if (existsSync(target) && !statSync(target).isFile()) {
      throw new Error("something that is not a file has that name");
    }
    if (target.endsWith("/")) throw new Error("only a directory can have that name");
    mkdirSync(dirname(target), { recursive: true });
    removeAbandoned(
      dirname(target),
      (name) => name.startsWith(begin) && /^[\da-f-]+\.tmp$/.test(name.slice(begin.length)),
    );
    writeSynced(temporary, data);
  } catch (error) {
    discard();
    throw cannotWrite(path, error, flag);
  }
  return {
    publish() {
      try {
        renameSync(temporary, target);
      } catch (error) {
        throw cannotWrite(path, error, flag);
      }
    },
    [Symbol.dispose]: discard,
  };
}

/**
 * Makes a directory of a name of its own: `<place>/<prefix>XXXXXX`, private to the user. Throws
 * NATIVE with `cure` where that cannot be.
 */
export function makeTemporaryDirectory(place: string, prefix: string, cure = TMPDIR_CURE): string {
  return make(place, cure, () => mkdtempSync(join(place, prefix)));
}

/** Makes a directory with those above it, where it is not there. Throws NATIVE with `cure`. */
export function makeDirectory(path: string, cure: string): void {
  make(path, cure, () => mkdirSync(path, { recursive: true }));
}

const TMPDIR_CURE = "name a directory that can be written with TMPDIR";

function make<T>(path: string, cure: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const found = REASONS[code] ?? (error as Error).message;
    throw new Lite3Error("NATIVE", `Cannot make a directory in ${quote(path)}: ${found}; ${cure}`, {
      cause: error,
    });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such directory",
  ENOTDIR: "there is a file in its place",
  EEXIST: "there is a file in its place",
  EACCES: "no permission",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left",
};

function writeSynced(path: string, data: Uint8Array): void {
  const fd = openSync(path, "w");
  try {
    let done = 0;
    while (done < data.length) done += writeSync(fd, data, done);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function cannotWrite(path: string, error: unknown, flag = "--output"): Lite3Error {
  const { code = "" } = error as NodeJS.ErrnoException;
  // The system's own sentence names the temporary file.
  const reason = REASONS[code] ?? (error instanceof Error ? error.message : String(error));
  return new Lite3Error(
    "NATIVE",
    `Cannot write ${quote(path)}: ${reason}; name a place that can be written with ${flag}`,
    { cause: error },
  );
}

/**
 * Refuses, before any work, an output that is a directory, lies below a file, or is one of the
 * inputs (links count): writing it would destroy what was given.
 */
export function checkOutput(path: string, inputs: readonly (string | undefined)[]): void {
  const refuse = (found: string): Lite3Error =>
    new Lite3Error("CONFIG", `Cannot write ${quote(path)}: ${found}`);
  let folder = dirname(path);
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  if (existsSync(folder) && !statSync(folder).isDirectory()) {
    throw refuse(`${quote(folder)} is a file, need a directory there`);
  }
  const place = existsSync(path) ? statSync(path) : undefined;
  if (place === undefined) return;
  if (!place.isFile()) {
    const found = place.isDirectory() ? "it is a directory" : "it is not a regular file";
    throw refuse(`${found}, name a file`);
  }
  for (const input of inputs) {
    const found = input !== undefined && existsSync(input) ? statSync(input) : undefined;
    if (found?.ino === place.ino && found.dev === place.dev) {
      throw refuse(`it is the input ${quote(input)}, name another output`);
    }
  }
}

/**
 * Refuses, before any work, to replace a file of another kind than the output: a name that was
 * mistyped would destroy it. A file of no bytes is nobody's.
 */
export function checkReplaces(
  path: string,
  isKind: (head: Uint8Array) => boolean,
  kind: string,
  flag = "--output",
): void {
  if (!existsSync(path)) return;
  using file = openFile(path);
  if (file.size === 0 || isKind(file.read(0, Math.min(file.size, HEAD_BYTES)))) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot write ${quote(path)}: the file that is there is no ${kind}, name another with ${flag}`,
  );
}

/** Enough to know a kind of file by its first bytes. */
const HEAD_BYTES = 512;

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** SHA-256 of a whole source, read in pieces of 1 MiB. */
export function sha256Source(source: ByteSource): string {
  const hash = createHash("sha256");
  for (let at = 0; at < source.size; at += 1 << 20) {
    hash.update(source.read(at, Math.min(1 << 20, source.size - at)));
  }
  return hash.digest("hex");
}

function openInput(path: string): number {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) {
      const found = stat.isDirectory() ? "a directory" : "not a regular file";
      throw new Lite3Error("NOT_FOUND", `Cannot read ${quote(path)}: it is ${found}, need a file`);
    }
    return openSync(path, "r");
  } catch (error) {
    if (error instanceof Lite3Error) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const found =
      code === "ENOENT" ? "there is no such file" : code === "EACCES" ? "no permission" : code;
    throw new Lite3Error("NOT_FOUND", `Cannot read ${quote(path)}: ${found}, need a file`, {
      cause: error,
    });
  }
}

function checkRange(offset: number, length: number, size: number): void {
  if (offset < 0 || length < 0 || offset + length > size) {
    throw new RangeError(`bytes ${offset}..${offset + length} are outside of ${size}`);
  }
}
