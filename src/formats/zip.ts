/**
 * Zip archives: the container of torch checkpoints, .npz and Stable-Baselines3 files.
 *
 * yauzl reads the central directory (zip64, data descriptors), never the local headers' sizes.
 * Entries are then read synchronously and only when asked for, so that one tensor costs one
 * entry. Two readers must not see two different archives: duplicate names and overlapping
 * entries are refused. Physical invariants bound memory: stored bytes are in the file, and
 * deflate cannot gain more than its best ratio.
 */

import { crc32, inflateRawSync } from "node:zlib";
import { zipSync } from "fflate";
import { type Entry, RandomAccessReader, type ZipFile, fromRandomAccessReaderPromise } from "yauzl";
import { FormatError, quote } from "../base/errors.ts";
import type { ByteSource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";

export interface ZipEntry {
  readonly name: string;
  /** Where the entry's data begins in the file, behind its local header. */
  readonly offset: number;
  readonly compressedBytes: number;
  readonly bytes: number;
  readonly stored: boolean;
  readonly crc32: number;
}

export interface ZipArchive {
  /** In the order of the central directory. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /**
   * The content of one entry, its checksum verified.
   * Throws FormatError when it is missing, broken or larger than `bytesMax`.
   */
  read(name: string, bytesMax: number): Uint8Array<ArrayBuffer>;
}

/** Deflate's best: 258 bytes from a 1-bit length code and a 1-bit distance code. */
const DEFLATE_RATIO_MAX = 258 * 4;
/** Fixed part of a central directory record: APPNOTE.TXT 4.3.12. */
const DIRECTORY_RECORD_BYTES = 46;

/** Whether the file begins as a zip archive does: with a local header, or with the empty end. */
export function isZip(source: ByteSource): boolean {
  if (source.size < 4) return false;
  const magic = Buffer.from(source.read(0, 4)).toString("latin1");
  return magic === "PK\x03\x04" || magic === "PK\x05\x06";
}

/** What a clone without Git LFS has in the place of a file (git-lfs, docs/spec.md). */
const LFS_POINTER = "version https://git-lfs";

/** What a file that is none of ours looks like: `it is empty`, `it begins with "<html>"`. */
export function describeStart(source: ByteSource): string {
  if (source.size === 0) return "it is empty";
  const head = source.read(0, Math.min(LFS_POINTER.length, source.size));
  if (Buffer.from(head).toString("latin1") === LFS_POINTER) {
    return "it is a pointer of Git LFS in the file's place (git lfs pull gets the file)";
  }
  const start = Buffer.from(source.read(0, Math.min(16, source.size)));
  const text = start.toString("latin1");
  return `it begins with ${/^[\t\r\n -~]+$/.test(text) ? quote(text) : start.toString("hex")}`;
}

/** Runs `decode` and names the entry in any FormatError it throws. */
export function describeEntry<T>(name: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(`entry ${quote(name)}: ${error.message}`, codeOf(error));
  }
}

/** Reads the directory of an archive; the source stays the caller's and must stay open. */
export async function openZip(source: ByteSource): Promise<ZipArchive> {
  if (!isZip(source)) throw new FormatError(`${describeStart(source)}, need a zip archive`);
  const entries = await readDirectory(source);
  return { entries, read: (name, bytesMax) => readEntry(source, entries, name, bytesMax) };
}

/**
 * Writes an archive as `numpy.savez` does: stored, in the order given. The same files give the
 * same bytes: every entry is dated 1980-01-01, the first day a zip can name.
 */
export function writeZip(files: Record<string, Uint8Array>): Uint8Array {
  return zipSync(files, { level: 0, mtime: new Date(1980, 0, 1) });
}

class SourceReader extends RandomAccessReader {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    super();
    this.#source = source;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    if (position + length > this.#source.size) {
      callback(new Error(`bytes ${position}..${position + length} are outside of the file`));
      return;
    }
    buffer.set(this.#source.read(position, length), offset);
    callback(null);
  }
}

async function readDirectory(source: ByteSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const entries = new Map<string, ZipEntry>();
  const spans: Span[] = [];
  try {
    const zip = await fromRandomAccessReaderPromise(new SourceReader(source), source.size, {
      autoClose: false,
      strictFileNames: true,
    });
    checkEntryCount(zip.entryCount, source.size);
    for await (const record of zip.eachEntry()) {
      const entry = await locateEntry(zip, record);
      if (entries.has(entry.name)) {
        throw new FormatError(
          `entry ${quote(entry.name)} is there twice, at offset ${entry.offset}`,
        );
      }
      entries.set(entry.name, entry);
      spans.push({
        name: entry.name,
        start: record.relativeOffsetOfLocalHeader,
        end: entry.offset + entry.compressedBytes,
      });
    }
  } catch (error) {
    if (error instanceof FormatError) throw error;
    const reason = error instanceof Error ? error.message.replace(/\.$/, "") : String(error);
    throw new FormatError(`zip directory, entry ${entries.size}: ${reason}`);
  }
  checkOverlap(spans);
  return entries;
}

function checkEntryCount(count: number, sourceBytes: number): void {
  if (count > LIMITS.zipEntries) {
    throw new FormatError(
      `the zip directory has ${count} entries, at most ${LIMITS.zipEntries} are taken`,
      "TOO_LARGE",
    );
  }
  if (count * DIRECTORY_RECORD_BYTES > sourceBytes) {
    throw new FormatError(`the zip directory claims ${count} entries in ${sourceBytes} bytes`);
  }
}

async function locateEntry(zip: ZipFile, record: Entry): Promise<ZipEntry> {
  const at = `entry ${quote(record.fileName)} at offset ${record.relativeOffsetOfLocalHeader}`;
  if (record.isEncrypted()) {
    throw new FormatError(`${at} is encrypted, need it in the clear`, "UNSUPPORTED");
  }
  if (record.compressionMethod !== 0 && record.compressionMethod !== 8) {
    throw new FormatError(
      `${at} is compressed by method ${record.compressionMethod}, need 0 (stored) or 8 (deflate)`,
      "UNSUPPORTED",
    );
  }
  const stored = record.compressionMethod === 0;
  const { compressedSize, uncompressedSize } = record;
  if (!stored && uncompressedSize > compressedSize * DEFLATE_RATIO_MAX) {
    throw new FormatError(
      `${at} claims ${uncompressedSize} bytes from ${compressedSize}, ` +
        `but deflate gives at most ${DEFLATE_RATIO_MAX} to 1`,
    );
  }
  const header = await zip
    .readLocalFileHeaderPromise(record, { minimal: true })
    .catch((error: unknown) => {
      throw new FormatError(`${at}: ${error instanceof Error ? error.message : String(error)}`);
    });
  return {
    name: record.fileName,
    offset: header.fileDataStart,
    compressedBytes: compressedSize,
    bytes: uncompressedSize,
    stored,
    crc32: record.crc32,
  };
}

interface Span {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

function checkOverlap(spans: Span[]): void {
  spans.sort((a, b) => a.start - b.start);
  for (const [i, span] of spans.entries()) {
    const before = spans[i - 1];
    if (before !== undefined && span.start < before.end) {
      throw new FormatError(
        `entry ${quote(span.name)} at offset ${span.start} overlaps ${quote(before.name)}, ` +
          `which ends at ${before.end}`,
      );
    }
  }
}

function readEntry(
  source: ByteSource,
  entries: ReadonlyMap<string, ZipEntry>,
  name: string,
  bytesMax: number,
): Uint8Array<ArrayBuffer> {
  const entry = entries.get(name);
  if (entry === undefined) {
    throw new FormatError(`there is no entry ${quote(name)}, there ${listNames(entries)}`);
  }
  const at = `entry ${quote(name)} at offset ${entry.offset}`;
  if (entry.bytes > bytesMax) {
    throw new FormatError(
      `${at} has ${entry.bytes} bytes, at most ${bytesMax} are taken`,
      "TOO_LARGE",
    );
  }
  const raw = source.read(entry.offset, entry.compressedBytes);
  const bytes = entry.stored ? raw : inflate(raw, entry.bytes, at);
  const sum = crc32(bytes);
  if (sum !== entry.crc32) {
    throw new FormatError(
      `${at} has checksum ${hex(sum)}, but the directory says ${hex(entry.crc32)}`,
    );
  }
  return bytes;
}

function inflate(raw: Uint8Array, bytes: number, at: string): Uint8Array<ArrayBuffer> {
  let inflated: Uint8Array;
  try {
    inflated = inflateRawSync(raw, { maxOutputLength: Math.max(1, bytes) });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const found =
      code === "ERR_BUFFER_TOO_LARGE"
        ? `unpacks to more than ${bytes} bytes`
        : `is broken: ${message}`;
    throw new FormatError(`${at} ${found}`);
  }
  if (inflated.length !== bytes) {
    throw new FormatError(
      `${at} unpacks to ${inflated.length} bytes, but the directory says ${bytes}`,
    );
  }
  return new Uint8Array(inflated);
}

/** `is "a"`, `are "a", "b" and 7 more`; an archive without entries `are none`. */
export function listNames(entries: ReadonlyMap<string, ZipEntry>): string {
  const shown = [...entries.keys()].slice(0, 8).map(quote);
  if (shown.length === 0) return "are none";
  const more = entries.size > shown.length ? ` and ${entries.size - shown.length} more` : "";
  return `${entries.size === 1 ? "is" : "are"} ${shown.join(", ")}${more}`;
}

function codeOf(error: FormatError): "MALFORMED" | "TOO_LARGE" | "UNSUPPORTED" {
  return error.code === "TOO_LARGE" || error.code === "UNSUPPORTED" ? error.code : "MALFORMED";
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
