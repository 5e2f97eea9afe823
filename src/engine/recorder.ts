/**
 * `--record`: the last observations of the service, as an .npy that `collect` and `convert` read.
 * Rows wait in memory until nobody asks; the file is a ring of bounded size whose header is true
 * after every write. A file that is there is gone on with, if it is such a recording.
 */

import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from "node:fs";
import { lockFile } from "../../ffi/lock.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { encodeNpyHeader } from "../formats/npy.ts";
import { COUNTER, type EnginePage } from "../service/page.ts";

/** Rows that wait in memory: at 1000 Hz a quarter of a second without a moment's rest. */
const WAITING_ROWS = 256;
const HEADER_BYTES = 128;

interface RecordOptions {
  readonly path: string;
  /** Of the ring. */
  readonly rows: number;
  /** Numbers of one observation. */
  readonly size: number;
}

/**
 * Rows that the file has, which is made if it is not there. Throws CONFIG where nothing can be
 * recorded.
 */
export function checkRecording(options: RecordOptions): number {
  const fd = openRecording(options);
  try {
    return countRows(fd, options);
  } finally {
    closeSync(fd);
  }
}

function openRecording({ path }: RecordOptions): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw cannot(path, `it cannot be opened to write (${code}), need a file that can be`, error);
  }
}

/**
 * Rows of a recording, as its header says. There may be more bytes, of an engine that was killed
 * before it said so.
 */
function countRows(fd: number, { path, size }: RecordOptions): number {
  const stat = fstatSync(fd);
  if (stat.isFile() && stat.size === 0) return 0;
  const begin = Buffer.alloc(HEADER_BYTES);
  if (stat.isFile()) readSync(fd, begin, 0, HEADER_BYTES, 0);
  const count = Number(/'shape': \((\d+), /.exec(begin.toString("latin1"))?.[1] ?? NaN);
  const isWhole = stat.size >= HEADER_BYTES + count * size * 4;
  if (isWhole && begin.equals(encodeNpyHeader("float32", [count, size]))) return count;
  throw cannot(path, `it is no recording of ${size} observations, need such a one or a new name`);
}

function cannot(path: string, why: string, cause?: unknown): Lite3Error {
  const message = `Cannot record to ${quote(path)}: ${why}; choose another --record`;
  return new Lite3Error("CONFIG", message, { cause });
}

export class Recorder {
  readonly #options: RecordOptions;
  readonly #page: EnginePage;
  readonly #say: (message: string) => void;
  readonly #waiting: Float32Array;
  readonly #waitingBytes: Uint8Array;
  #waitingRows = 0;
  #fd: number | undefined;
  #count = 0;
  /** The row that is written next. */
  #at = 0;
  /** Writing failed: nothing more is recorded. */
  #hasFailed = false;

  /** @param say hears why the recording ended early */
  constructor(options: RecordOptions, page: EnginePage, say: (message: string) => void) {
    this.#options = options;
    this.#page = page;
    this.#say = say;
    this.#waiting = new Float32Array(WAITING_ROWS * options.size);
    this.#waitingBytes = new Uint8Array(this.#waiting.buffer);
  }

  /** Keeps the first `rows` of `observations`, shape [≥ rows, size]. */
  add(observations: Float32Array, rows: number): void {
    const { size } = this.#options;
    for (let row = 0; row < rows; row++) {
      if (this.#waitingRows === WAITING_ROWS) this.flush();
      // It could not be written, and nothing may wait for a file.
      if (this.#hasFailed || this.#waitingRows === WAITING_ROWS) return this.#lose(rows - row);
      const from = row * size;
      const to = this.#waitingRows * size;
      for (let i = 0; i < size; i++) this.#waiting[to + i] = observations[from + i] as number;
      this.#waitingRows++;
    }
  }

  /** Writes what waits. */
  flush(): void {
    if (this.#waitingRows === 0 || this.#hasFailed) return;
    const rows = this.#waitingRows;
    let done = 0;
    try {
      if (this.#fd !== undefined && !this.#isThere(this.#fd)) {
        this.#say(`${quote(this.#options.path)} was removed or cut: recording begins anew`);
        closeSync(this.#fd);
        this.#fd = undefined;
      }
      // While another engine records to the same file, rows wait.
      if (this.#fd === undefined && !this.#open()) return;
      while (done < rows) done += this.#write(done, rows - done);
    } catch (error) {
      this.#fail(error as Error);
    }
    this.#lose(rows - done);
    this.#waitingRows = 0;
  }

  /** Writes what waits and lets go of the file; more to record opens it again. */
  close(): void {
    this.flush();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Records nothing, and counts what it would have: the file is none to record to. */
  giveUp(): void {
    this.#hasFailed = true;
  }

  /** Does the file still have its name, and all that was written? */
  #isThere(fd: number): boolean {
    const { dev, ino, size } = fstatSync(fd);
    const named = statSync(this.#options.path, { throwIfNoEntry: false });
    return named?.dev === dev && named.ino === ino && size >= this.#bytes;
  }

  /** Of the file, with its header. */
  get #bytes(): number {
    return this.#count === 0 ? 0 : HEADER_BYTES + this.#count * this.#options.size * 4;
  }

  #lose(rows: number): void {
    (this.#page.counters[COUNTER.recordErrors] as number) += rows;
  }

  #open(): boolean {
    const { rows: ring } = this.#options;
    const fd = openRecording(this.#options);
    if (!lockFile(fd)) {
      closeSync(fd);
      return false;
    }
    try {
      this.#count = countRows(fd, this.#options);
    } catch (error) {
      // Another file by this name by now: not ours to cut.
      closeSync(fd);
      throw error;
    }
    this.#fd = fd;
    this.#at = this.#count < ring ? this.#count : 0;
    this.#cutOff();
    return true;
  }

  /** Writes rows that wait, from the `first` on, up to the ring's end; returns how many. */
  #write(first: number, most: number): number {
    const { size, rows: ring } = this.#options;
    const fd = this.#fd as number;
    const rows = Math.min(most, ring - this.#at);
    const rowBytes = size * 4;
    const bytes = this.#waitingBytes.subarray(first * rowBytes, (first + rows) * rowBytes);
    writeWhole(fd, bytes, HEADER_BYTES + this.#at * rowBytes);
    this.#at += rows;
    if (this.#at > this.#count) {
      this.#count = this.#at;
      writeWhole(fd, encodeNpyHeader("float32", [this.#count, size]), 0);
    }
    if (this.#at === ring) this.#at = 0;
    (this.#page.counters[COUNTER.recorded] as number) += rows;
    return rows;
  }

  /** Leaves nothing behind the rows that the header tells of. */
  #cutOff(): void {
    ftruncateSync(this.#fd as number, this.#bytes);
  }

  #fail(error: Error): void {
    this.#hasFailed = true;
    if (this.#fd !== undefined) {
      this.#cutOff();
      closeSync(this.#fd);
      this.#fd = undefined;
    }
    const { code } = error as NodeJS.ErrnoException;
    const why = error instanceof Lite3Error || code === undefined ? error.message : code;
    const path = quote(this.#options.path);
    this.#say(`recording to ${path} ended after ${this.#count} rows: ${why}`);
  }
}

function writeWhole(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
