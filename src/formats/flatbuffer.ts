/**
 * Reads FlatBuffers without a schema's compiler: tables by field number, vectors, strings.
 *
 * Every offset is checked against the bytes that are there, so that a damaged buffer gives a
 * FormatError and never a number from beside it. Format: flatbuffers.dev/internals, where a field
 * numbered n is found at 4 + 2n in its table's list of offsets.
 */

import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";

/** A table, or a place where one is refused: fields that are absent have their default. */
export interface FlatTable {
  /** Where it begins in the buffer. */
  readonly position: number;
  int8(field: number): number;
  int32(field: number): number;
  string(field: number): string;
  /** A view of the bytes; empty if absent. */
  bytes(field: number): FlatBytes;
  int32s(field: number): number[];
  float32s(field: number): number[];
  tables(field: number): FlatTable[];
}

export interface FlatBytes {
  /** In the buffer. */
  readonly offset: number;
  readonly data: Uint8Array;
}

/** The root table. Throws FormatError, now or when a field is read, for offsets that lead out. */
export function readFlatBuffer(buffer: Uint8Array): FlatTable {
  const source = createSource(buffer);
  return createTable(source, source.follow(0));
}

interface Source {
  readonly buffer: Uint8Array;
  readonly view: DataView;
  /** Asserts that `length` bytes begin at `offset`, and gives the offset back. */
  at(offset: number, length: number): number;
  /** Where the relative offset at `position` leads. */
  follow(position: number): number;
}

function createSource(buffer: Uint8Array): Source {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  const at = (offset: number, length: number): number => {
    if (offset >= 0 && offset + length <= buffer.length) return offset;
    throw new FormatError(
      `the FlatBuffer refers to ${length} bytes at ${offset}, but has ${buffer.length}`,
    );
  };
  return {
    buffer,
    view,
    at,
    follow: (position) => at(position + view.getUint32(at(position, 4), true), 4),
  };
}

function createTable(source: Source, position: number): FlatTable {
  const { buffer, view, at, follow } = source;
  const list = position - view.getInt32(at(position, 4), true);
  const listBytes = view.getUint16(at(list, 4), true);
  const place = (field: number): number | undefined => {
    const entry = 4 + 2 * field;
    if (entry + 2 > listBytes) return undefined;
    const offset = view.getUint16(at(list + entry, 2), true);
    return offset === 0 ? undefined : position + offset;
  };
  const vector = (field: number, itemBytes: number): { start: number; count: number } => {
    const start = place(field);
    if (start === undefined) return { start: 0, count: 0 };
    const head = follow(start);
    const count = view.getUint32(head, true);
    at(head + 4, count * itemBytes);
    return { start: head + 4, count };
  };
  const items = <T>(field: number, countMax: number, read: (offset: number) => T): T[] => {
    const { start, count } = vector(field, 4);
    if (count > countMax) {
      throw new FormatError(
        `a vector of the FlatBuffer has ${count} items, at most ${countMax} are taken`,
        "TOO_LARGE",
      );
    }
    return Array.from({ length: count }, (_, i) => read(start + 4 * i));
  };
  const bytes = (field: number): FlatBytes => {
    const { start, count } = vector(field, 1);
    return { offset: start, data: buffer.subarray(start, start + count) };
  };
  const scalar = (field: number, length: number, read: (offset: number) => number): number => {
    const offset = place(field);
    return offset === undefined ? 0 : read(at(offset, length));
  };
  return {
    position,
    int8: (field) => scalar(field, 1, (offset) => view.getInt8(offset)),
    int32: (field) => scalar(field, 4, (offset) => view.getInt32(offset, true)),
    string: (field) => {
      const { data } = bytes(field);
      return new TextDecoder().decode(data.subarray(0, LIMITS.flatBufferText));
    },
    bytes,
    int32s: (field) => items(field, LIMITS.tensorRank, (at) => view.getInt32(at, true)),
    float32s: (field) => items(field, LIMITS.tensorRank, (at) => view.getFloat32(at, true)),
    tables: (field) =>
      items(field, LIMITS.flatBufferTables, (at) => createTable(source, follow(at))),
  };
}
