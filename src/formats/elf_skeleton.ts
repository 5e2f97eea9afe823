/**
 * Writes what `parseElf` reads: a library's facts as an ELF file without code, in which every
 * address is an offset. A library that must not be passed on is described by it.
 */

import { FormatError } from "../base/errors.ts";
import { type ElfLibrary, type ElfVersion, ELF_TAGS as DT, MACHINE_NUMBERS } from "./elf.ts";

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;

/** `remark` is kept behind everything, as a string that can be found in the bytes. */
export function encodeElf(library: ElfLibrary, remark = ""): Uint8Array<ArrayBuffer> {
  const machine = MACHINE_NUMBERS[library.machine];
  if (machine === undefined) throw new FormatError(`no number for machine ${library.machine}`);
  const strings = stringTable();
  const body: Buffer[] = [];
  const start = HEADER_BYTES + 2 * SEGMENT_BYTES;
  let end = start;
  const place = (part: Buffer): number => {
    const at = end;
    const padding = Buffer.alloc(-part.length & 7);
    body.push(part, padding);
    end += part.length + padding.length;
    return at;
  };
  const entries: [tag: number, value: number][] = [
    ...library.needed.map((name): [number, number] => [DT.NEEDED, strings.add(name)]),
    [DT.SYMTAB, place(symbolTable(library.symbols, strings.add))],
    [DT.HASH, place(words(1, library.symbols.length + 1))],
    [DT.VERNEED, place(versionsNeeded(library.versionsNeeded, strings.add))],
    [DT.VERNEEDNUM, new Set(library.versionsNeeded.map(({ file }) => file)).size],
    [DT.VERDEF, place(versionsDefined(library.versionsDefined, strings.add))],
    [DT.VERDEFNUM, library.versionsDefined.length],
  ];
  const text = strings.bytes();
  entries.push([DT.STRTAB, place(text)], [DT.STRSZ, text.length], [0, 0]);
  const dynamic = Buffer.alloc(entries.length * 16);
  for (const [i, [tag, value]] of entries.entries()) {
    dynamic.writeBigUInt64LE(BigInt(tag), i * 16);
    dynamic.writeBigUInt64LE(BigInt(value), i * 16 + 8);
  }
  const dynamicAt = place(dynamic);
  place(Buffer.from(`${remark}\0`));
  return Uint8Array.from(
    Buffer.concat([
      header(machine),
      segment(1, 0, end),
      segment(2, dynamicAt, dynamic.length),
      ...body,
    ]),
  );
}

/** A shared object (ET_DYN) with two segments behind the header. */
function header(machine: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write("\x7fELF\x02\x01\x01", "latin1");
  bytes.writeUInt16LE(3, 16);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeUInt32LE(HEADER_BYTES, 32);
  bytes.writeUInt16LE(HEADER_BYTES, 52);
  bytes.writeUInt16LE(SEGMENT_BYTES, 54);
  bytes.writeUInt16LE(2, 56);
  return bytes;
}

function segment(type: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(SEGMENT_BYTES);
  bytes.writeUInt32LE(type, 0);
  for (const [at, value] of [
    [8, offset],
    [16, offset],
    [24, offset],
    [32, length],
    [40, length],
  ] as const) {
    bytes.writeBigUInt64LE(BigInt(value), at);
  }
  return bytes;
}

function symbolTable(names: readonly string[], add: (text: string) => number): Buffer {
  const bytes = Buffer.alloc((names.length + 1) * 24);
  for (const [i, name] of names.entries()) {
    const at = (i + 1) * 24;
    bytes.writeUInt32LE(add(name), at);
    // A global function in section 1.
    bytes.writeUInt8(0x12, at + 4);
    bytes.writeUInt16LE(1, at + 6);
  }
  return bytes;
}

function versionsNeeded(versions: readonly ElfVersion[], add: (text: string) => number): Buffer {
  const files = [...new Set(versions.map(({ file }) => file))];
  const parts = files.map((file, i) => {
    const own = versions.filter((version) => version.file === file);
    const bytes = Buffer.alloc(16 + own.length * 16);
    bytes.writeUInt16LE(1, 0);
    bytes.writeUInt16LE(own.length, 2);
    bytes.writeUInt32LE(add(file), 4);
    bytes.writeUInt32LE(16, 8);
    bytes.writeUInt32LE(i + 1 === files.length ? 0 : bytes.length, 12);
    for (const [j, { version }] of own.entries()) {
      bytes.writeUInt32LE(add(version), 16 + j * 16 + 8);
      bytes.writeUInt32LE(j + 1 === own.length ? 0 : 16, 16 + j * 16 + 12);
    }
    return bytes;
  });
  return Buffer.concat(parts);
}

function versionsDefined(versions: readonly string[], add: (text: string) => number): Buffer {
  const parts = versions.map((version, i) => {
    const bytes = Buffer.alloc(28);
    bytes.writeUInt16LE(1, 0);
    bytes.writeUInt16LE(1, 6);
    bytes.writeUInt32LE(20, 12);
    bytes.writeUInt32LE(i + 1 === versions.length ? 0 : 28, 16);
    bytes.writeUInt32LE(add(version), 20);
    return bytes;
  });
  return Buffer.concat(parts);
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, i * 4);
  return bytes;
}

interface StringTable {
  add(text: string): number;
  bytes(): Buffer;
}

function stringTable(): StringTable {
  const places = new Map<string, number>([["", 0]]);
  let text = "\0";
  return {
    add(word) {
      const known = places.get(word);
      if (known !== undefined) return known;
      const at = text.length;
      places.set(word, at);
      text += `${word}\0`;
      return at;
    },
    bytes: () => Buffer.from(text, "latin1"),
  };
}
