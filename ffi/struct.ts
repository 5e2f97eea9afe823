/**
 * C structs over bytes: each field's offset is written down once, as the C compiler places it,
 * and read and written from there. Records lie in one Uint8Array, one or several of a kind, as C
 * arrays do; nested pointers are addresses (BigInt) whose buffers the caller keeps alive.
 *
 * Little-endian and LP64: x86_64 and aarch64 Linux alike.
 */

import { type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { assert } from "../src/base/assert.ts";

export interface Field<T> {
  readonly offset: number;
  readonly bytes: number;
  get(view: DataView, at: number): T;
  set(view: DataView, at: number, value: T): void;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;
type ValueOf<F> = F extends Field<infer T> ? T : never;

/** A struct's name in C, its size and its fields. */
export interface Struct<F extends Fields = Fields> {
  readonly name: string;
  readonly bytes: number;
  readonly fields: F;
}

const number =
  (bytes: number, kind: "Uint8" | "Int8" | "Uint32" | "Int32" | "Float32") =>
  (offset: number): Field<number> => ({
    offset,
    bytes,
    get: (view, at) => view[`get${kind}`](at, true),
    set: (view, at, value) => view[`set${kind}`](at, value, true),
  });

export const u8 = number(1, "Uint8");
export const i8 = number(1, "Int8");
export const u32 = number(4, "Uint32");
export const i32 = number(4, "Int32");
export const f32 = number(4, "Float32");

/** u64, also for pointers. */
export const u64 = (offset: number): Field<bigint> => ({
  offset,
  bytes: 8,
  get: (view, at) => view.getBigUint64(at, true),
  set: (view, at, value) => view.setBigUint64(at, value, true),
});

export const i64 = (offset: number): Field<bigint> => ({
  offset,
  bytes: 8,
  get: (view, at) => view.getBigInt64(at, true),
  set: (view, at, value) => view.setBigInt64(at, value, true),
});

/** `uint32_t name[length]`, as a copy. */
export const u32Array = (offset: number, length: number): Field<readonly number[]> => ({
  offset,
  bytes: 4 * length,
  get: (view, at) => Array.from({ length }, (_, i) => view.getUint32(at + 4 * i, true)),
  set(view, at, values) {
    assert(values.length <= length, "too many values");
    for (let i = 0; i < length; i++) view.setUint32(at + 4 * i, values[i] ?? 0, true);
  },
});

/** `char name[length]`: text up to the first zero. */
export const text = (offset: number, length: number): Field<string> => ({
  offset,
  bytes: length,
  get(view, at) {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  },
  set(view, at, value) {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length).fill(0);
    new TextEncoder().encodeInto(value, bytes.subarray(0, length - 1));
  },
});

/** Checks that the fields lie within the struct, in order, without overlap. */
export function defineStruct<const F extends Fields>(
  name: string,
  bytes: number,
  fields: F,
): Struct<F> {
  let end = 0;
  for (const [field, { offset, bytes: size }] of Object.entries(fields)) {
    assert(offset >= end, `${name}.${field} overlaps the field before it`);
    end = offset + size;
  }
  assert(end <= bytes, `${name} has more fields than bytes`);
  return { name, bytes, fields };
}

/** Records of one struct in a row, their own memory. */
export class Records<F extends Fields> {
  readonly struct: Struct<F>;
  readonly count: number;
  /** What a C function is given. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;

  /** Zeroed, or over `memory` of C's. */
  constructor(struct: Struct<F>, count = 1, memory?: ArrayBuffer) {
    this.struct = struct;
    this.count = count;
    this.bytes = new Uint8Array(memory ?? new ArrayBuffer(struct.bytes * count));
    assert(this.bytes.length === struct.bytes * count, `bytes of ${struct.name}`);
    this.#view = new DataView(this.bytes.buffer);
  }

  get<K extends keyof F>(key: K, index = 0): ValueOf<F[K]> {
    const field = this.struct.fields[key] as unknown as Field<ValueOf<F[K]>>;
    return field.get(this.#view, this.#at(field, index));
  }

  set<K extends keyof F>(key: K, value: ValueOf<F[K]>, index = 0): void {
    const field = this.struct.fields[key] as unknown as Field<ValueOf<F[K]>>;
    field.set(this.#view, this.#at(field, index), value);
  }

  #at(field: { readonly offset: number }, index: number): number {
    assert(index >= 0 && index < this.count, `no ${this.struct.name}[${index}]`);
    return index * this.struct.bytes + field.offset;
  }
}

/** The record that C keeps at `address`; valid as long as C leaves it there. */
export function recordAt<F extends Fields>(
  struct: Struct<F>,
  address: Pointer | bigint,
): Records<F> {
  return new Records(struct, 1, memoryAt(address, struct.bytes));
}

/** `bytes` of C's memory at `address`, not a copy. */
export function memoryAt(address: Pointer | bigint, bytes: number): ArrayBuffer {
  return toArrayBuffer(Number(address) as Pointer, 0, bytes) as ArrayBuffer;
}

/** The address of a buffer, for a field of a struct; the caller keeps the buffer alive. */
export function addressOf(buffer: NodeJS.TypedArray): bigint {
  return BigInt(ptr(buffer));
}
