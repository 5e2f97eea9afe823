/**
 * For tests: zip archives whose claims can be false.
 */

import { crc32, deflateRawSync } from "node:zlib";

export interface Part {
  readonly name: string;
  readonly data: Uint8Array;
  /** 0 stores, 8 deflates. */
  readonly method?: number;
  readonly flags?: number;
  /** Claims of the central directory that differ from the truth. */
  readonly bytes?: number;
  readonly compressedBytes?: number;
  readonly crc?: number;
  readonly headerOffset?: number;
  /** Sizes after the data, zeros before, as a stream writer does. */
  readonly descriptor?: boolean;
  /** Sizes and offset in a zip64 extra field. */
  readonly zip64?: boolean;
}

/** A zip archive, byte by byte, so that each of its claims can be false. */
export function buildZip(
  parts: readonly Part[],
  { entryCount = parts.length, comment = "" } = {},
): Buffer {
  const locals: Buffer[] = [];
  const records: Buffer[] = [];
  let offset = 0;
  for (const part of parts) {
    const raw = part.method === 8 ? deflateRawSync(part.data) : Buffer.from(part.data);
    const sum = crc32(part.data);
    const flags = (part.flags ?? 0) | (part.descriptor ? 8 : 0);
    const known = part.descriptor ? [0, 0, 0] : [sum, raw.length, part.data.length];
    const descriptor = part.descriptor ? u32(0x08074b50, sum, raw.length, part.data.length) : [];
    const local = Buffer.from([
      ...u32(0x04034b50),
      ...u16(20, flags, part.method ?? 0, 0, 0x21),
      ...u32(...known),
      ...u16(part.name.length, 0),
      ...Buffer.from(part.name),
      ...raw,
      ...descriptor,
    ]);
    const claims = [part.compressedBytes ?? raw.length, part.bytes ?? part.data.length];
    const at = part.headerOffset ?? offset;
    const extra = part.zip64 ? [...u16(1, 24), ...u64(claims[1] ?? 0, claims[0] ?? 0, at)] : [];
    records.push(
      Buffer.from([
        ...u32(0x02014b50),
        ...u16(20, 20, flags, part.method ?? 0, 0, 0x21),
        ...u32(part.crc ?? sum, ...(part.zip64 ? [0xffffffff, 0xffffffff] : claims)),
        ...u16(part.name.length, extra.length, 0, 0, 0),
        ...u32(0, part.zip64 ? 0xffffffff : at),
        ...Buffer.from(part.name),
        ...extra,
      ]),
    );
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(records);
  const end = [
    ...u32(0x06054b50),
    ...u16(0, 0, entryCount & 0xffff, entryCount & 0xffff),
    ...u32(directory.length, offset),
    ...u16(comment.length),
    ...Buffer.from(comment),
  ];
  return Buffer.concat([...locals, directory, Buffer.from(end)]);
}

export function u16(...values: number[]): number[] {
  return values.flatMap((value) => [value & 255, (value >> 8) & 255]);
}

export function u32(...values: number[]): number[] {
  return values.flatMap((value) => u16(value & 0xffff, value >>> 16));
}

export function u64(...values: number[]): number[] {
  return values.flatMap((value) => u32(value >>> 0, Math.floor(value / 2 ** 32)));
}
