/**
 * A protobuf codec driven by tables: wire grammar only, no knowledge of any message.
 *
 * Loss-free both ways: a field that no table names is kept byte for byte, presence is kept (a
 * field is absent or there), and fields are written in the order of their numbers, so whatever an
 * official encoder wrote comes out the same. A singular field that comes twice is refused, as is
 * one of another wire type: readers disagree about them.
 */

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { assert, present } from "../base/assert.ts";
import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";

/** A 64-bit integer: a number when that is exact, else a bigint; either is taken for writing. */
export type Int64 = number | bigint;

/** What a scalar type of a table becomes. */
export interface Scalars {
  readonly int32: number;
  readonly int64: Int64;
  readonly uint64: Int64;
  readonly float: number;
  readonly double: number;
  readonly string: string;
  readonly bytes: Uint8Array;
}

/**
 * Number, type (a scalar or another message's name) and, of repeated fields, how they are
 * written; `packed` and `repeated` are both read.
 */
export type Field = readonly [number: number, type: string, label?: "repeated" | "packed"];

/** Per message its fields by name, in the order of their numbers. */
export type Schema = Readonly<Record<string, Readonly<Record<string, Field>>>>;

/** A field that the schema does not name: its number, and its bytes with the tag. */
export interface UnknownField {
  readonly number: number;
  readonly bytes: Uint8Array;
}

/** A decoded message, untyped; `unknown` holds the unnamed fields in the order of their numbers. */
export type Message = Record<string, unknown>;

interface ScalarCodec {
  readonly wire: WireType;
  read(reader: BinaryReader): unknown;
  write(writer: BinaryWriter, value: never): unknown;
}

const SCALARS: Readonly<Record<keyof Scalars, ScalarCodec>> = {
  int32: scalar(
    WireType.Varint,
    (r) => r.int32(),
    (w, value: number) => w.int32(value),
  ),
  int64: scalar(
    WireType.Varint,
    (r) => exact(r.int64()),
    (w, value: Int64) => w.int64(value),
  ),
  uint64: scalar(
    WireType.Varint,
    (r) => exact(r.uint64()),
    (w, value: Int64) => w.uint64(value),
  ),
  float: scalar(
    WireType.Bit32,
    (r) => r.float(),
    (w, value: number) => w.float(value),
  ),
  double: scalar(
    WireType.Bit64,
    (r) => r.double(),
    (w, value: number) => w.double(value),
  ),
  string: scalar(
    WireType.LengthDelimited,
    (r) => r.string(true),
    (w, value: string) => w.string(value),
  ),
  bytes: scalar(
    WireType.LengthDelimited,
    (r) => r.bytes(),
    (w, value: Uint8Array) => w.bytes(value),
  ),
};

/**
 * Decodes one message that is all of `bytes`; byte fields are views of them.
 * Throws FormatError with the field and the byte offset of its tag.
 */
export function decodeMessage(schema: Schema, type: string, bytes: Uint8Array): Message {
  const reader = new BinaryReader(bytes);
  const decoder: Decoder = { schema, bytes, reader, fields: 0, elements: 0, at: 0, field: type };
  try {
    return decodeFields(decoder, type, bytes.length, 0);
  } catch (error) {
    if (error instanceof FormatError || !(error instanceof Error)) throw error;
    return fail(decoder, error instanceof RangeError ? "the bytes end within it" : error.message);
  }
}

/** Encodes a message; the same message gives the same bytes. */
export function encodeMessage(
  schema: Schema,
  type: string,
  message: Message,
): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  encodeFields(schema, type, message, writer);
  return writer.finish();
}

interface Decoder {
  readonly schema: Schema;
  readonly bytes: Uint8Array;
  readonly reader: BinaryReader;
  /** Fields and packed numbers read so far. */
  fields: number;
  elements: number;
  /** Offset and name of the field being read, for messages. */
  at: number;
  field: string;
}

function fail(decoder: Decoder, problem: string, code?: "TOO_LARGE"): never {
  throw new FormatError(`protobuf ${decoder.field} at byte ${decoder.at}: ${problem}`, code);
}

interface NamedField {
  readonly name: string;
  readonly type: string;
  readonly repeated: boolean;
}

function decodeFields(decoder: Decoder, type: string, end: number, depth: number): Message {
  if (depth > LIMITS.protobufDepth) {
    fail(decoder, `messages are nested deeper than ${LIMITS.protobufDepth}`, "TOO_LARGE");
  }
  const { reader } = decoder;
  const fields = fieldsByNumber(decoder.schema, type);
  const message: Message = {};
  const unknown: UnknownField[] = [];
  while (reader.pos < end) {
    decoder.at = reader.pos;
    decoder.field = type;
    if (++decoder.fields > LIMITS.protobufFields) {
      fail(decoder, `more than ${LIMITS.protobufFields} fields`, "TOO_LARGE");
    }
    const [number, wire] = reader.tag();
    const field = fields.get(number);
    if (field === undefined) {
      const start = decoder.at;
      reader.skip(wire, number, LIMITS.protobufDepth);
      unknown.push({ number, bytes: decoder.bytes.subarray(start, reader.pos) });
    } else {
      decoder.field = `${type}.${field.name}`;
      decodeField(decoder, message, field, wire, depth);
    }
    if (reader.pos > end) fail(decoder, `it goes beyond the end of its message, ${end}`);
  }
  if (unknown.length > 0) message.unknown = unknown.sort((a, b) => a.number - b.number);
  return message;
}

function decodeField(
  decoder: Decoder,
  message: Message,
  field: NamedField,
  wire: WireType,
  depth: number,
): void {
  const { name, type, repeated } = field;
  const list = (message[name] ?? []) as unknown[];
  const isPacked = decodePacked(decoder, field, wire, list);
  if (!isPacked) {
    const needed = wireOf(type);
    if (wire !== needed) fail(decoder, `wire type ${wire}, need ${needed}`);
    if (!repeated && name in message) fail(decoder, "it is there twice");
    list.push(
      isScalar(type) ? SCALARS[type].read(decoder.reader) : decodeNested(decoder, type, depth),
    );
  }
  if (list.length > 0) message[name] = repeated ? list : list[0];
}

/** Reads a packed run onto `list`; false when the field is not one. */
function decodePacked(
  decoder: Decoder,
  { type, repeated }: NamedField,
  wire: WireType,
  list: unknown[],
): boolean {
  const needed = wireOf(type);
  if (!repeated || wire === needed || wire !== WireType.LengthDelimited || !isScalar(type))
    return false;
  const { reader } = decoder;
  const end = readEnd(decoder);
  while (reader.pos < end) {
    if (++decoder.elements > LIMITS.protobufElements) {
      fail(decoder, `more than ${LIMITS.protobufElements} packed numbers`, "TOO_LARGE");
    }
    list.push(SCALARS[type].read(reader));
  }
  if (reader.pos !== end) fail(decoder, `an element goes beyond the end of the run, ${end}`);
  return true;
}

function decodeNested(decoder: Decoder, type: string, depth: number): Message {
  return decodeFields(decoder, type, readEnd(decoder), depth + 1);
}

function readEnd(decoder: Decoder): number {
  const { reader } = decoder;
  const length = reader.uint32();
  const left = reader.len - reader.pos;
  if (length > left) fail(decoder, `it needs ${length} bytes, but ${left} are left`);
  return reader.pos + length;
}

function encodeFields(schema: Schema, type: string, message: Message, writer: BinaryWriter): void {
  const unknown = (message.unknown ?? []) as UnknownField[];
  let next = 0;
  const writeUnknownBelow = (number: number): void => {
    for (let field = unknown[next]; field && field.number < number; field = unknown[++next]) {
      writer.raw(field.bytes);
    }
  };
  for (const [name, field] of Object.entries(present(schema[type], type))) {
    writeUnknownBelow(field[0]);
    if (message[name] !== undefined) encodeField(schema, field, message[name], writer);
  }
  writeUnknownBelow(Infinity);
}

function encodeField(schema: Schema, field: Field, value: unknown, writer: BinaryWriter): void {
  const [number, type, label] = field;
  if (label === "packed") {
    const values = value as never[];
    assert(isScalar(type), "only scalars are packed");
    if (values.length === 0) return;
    writer.tag(number, WireType.LengthDelimited).fork();
    for (const item of values) SCALARS[type].write(writer, item);
    writer.join();
    return;
  }
  for (const item of label === "repeated" ? (value as unknown[]) : [value]) {
    writer.tag(number, wireOf(type));
    if (isScalar(type)) SCALARS[type].write(writer, item as never);
    else {
      writer.fork();
      encodeFields(schema, type, item as Message, writer);
      writer.join();
    }
  }
}

const FIELDS = new WeakMap<Schema, Map<string, ReadonlyMap<number, NamedField>>>();

function fieldsByNumber(schema: Schema, type: string): ReadonlyMap<number, NamedField> {
  let types = FIELDS.get(schema);
  if (types === undefined) FIELDS.set(schema, (types = new Map()));
  let fields = types.get(type);
  if (fields === undefined) {
    const entries = Object.entries(present(schema[type], type));
    fields = new Map(
      entries.map(([name, [number, type, label]]) => [
        number,
        { name, type, repeated: label !== undefined },
      ]),
    );
    types.set(type, fields);
  }
  return fields;
}

function scalar<T>(
  wire: WireType,
  read: (reader: BinaryReader) => T,
  write: (writer: BinaryWriter, value: T) => unknown,
): ScalarCodec {
  return { wire, read, write };
}

function isScalar(type: string): type is keyof Scalars {
  return Object.hasOwn(SCALARS, type);
}

function wireOf(type: string): WireType {
  return isScalar(type) ? SCALARS[type].wire : WireType.LengthDelimited;
}

function exact(value: bigint | string): Int64 {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : BigInt(value);
}
