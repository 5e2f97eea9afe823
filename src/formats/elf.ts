/**
 * Shared libraries (ELF) as far as a loader cares: for which machine, what they need, what they
 * export. Read through the dynamic segment, as the loader does, since the section table may be
 * stripped. Nothing is loaded or executed. `elf_skeleton.ts` writes the same facts.
 *
 * Layouts: System V ABI, gABI chapters 4 and 5; symbol versions as in the Linux Standard Base,
 * "Symbol Versioning".
 */

import { FormatError } from "../base/errors.ts";

/** `e_machine` of the machines that can be met on a robot or beside it. */
export const MACHINE_NUMBERS: Readonly<Record<string, number>> = {
  i386: 3,
  arm: 40,
  x86_64: 62,
  aarch64: 183,
  riscv: 243,
};
/** `p_type`. */
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
/** `d_tag`. */
export const ELF_TAGS = {
  NEEDED: 1,
  HASH: 4,
  STRTAB: 5,
  SYMTAB: 6,
  STRSZ: 10,
  GNU_HASH: 0x6ffffef5,
  VERDEF: 0x6ffffffc,
  VERDEFNUM: 0x6ffffffd,
  VERNEED: 0x6ffffffe,
  VERNEEDNUM: 0x6fffffff,
} as const;
const SEGMENT_BYTES = 56;
const SYMBOL_BYTES = 24;
/** Symbols and versions of one library: libc has some 3,000. A table that claims more is broken. */
const ENTRIES_MAX = 200_000;

export interface ElfVersion {
  /** The library that has to define it: `libc.so.6`. */
  readonly file: string;
  readonly version: string;
}

export interface ElfLibrary {
  readonly machine: string;
  readonly needed: readonly string[];
  /** Symbols that it defines, in the file's order. */
  readonly symbols: readonly string[];
  readonly versionsNeeded: readonly ElfVersion[];
  readonly versionsDefined: readonly string[];
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

/** Reads a 64-bit little-endian ELF file with a dynamic segment. Throws FormatError. */
export function parseElf(bytes: Uint8Array): ElfLibrary {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    return parseFile(file);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new FormatError(`it is cut short at ${bytes.length} bytes, need a whole ELF file`);
  }
}

function parseFile(file: Buffer): ElfLibrary {
  if (file.toString("latin1", 0, 4) !== "\x7fELF") {
    throw new FormatError(`it begins with ${describeBytes(file)}, need an ELF file`);
  }
  const number = file.readUInt16LE(18);
  const known = Object.entries(MACHINE_NUMBERS).find(([, value]) => value === number)?.[0];
  const machine = known ?? `machine ${number}`;
  if (file[4] !== 2 || file[5] !== 1) {
    const width = file[4] === 2 ? "big-endian" : "32-bit";
    throw new FormatError(
      `it is a ${width} ELF file for ${machine}, need a 64-bit little-endian one`,
      "UNSUPPORTED",
    );
  }
  const segments = readSegments(file);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) {
    throw new FormatError("it has no dynamic segment, need a shared library", "UNSUPPORTED");
  }
  const entries = readDynamic(file, dynamic);
  const first = (tag: number): number | undefined => entries.find(([key]) => key === tag)?.[1];
  const place = (tag: number): number | undefined => {
    const address = first(tag);
    return address === undefined ? undefined : offsetOf(segments, address);
  };
  const strings = place(ELF_TAGS.STRTAB);
  if (strings === undefined) throw new FormatError("its dynamic segment names no string table");
  const text = (at: number): string => {
    const end = file.indexOf(0, strings + at);
    if (end < 0 || at < 0) throw new RangeError("string outside of the file");
    return file.toString("latin1", strings + at, end);
  };
  return {
    machine,
    needed: entries.filter(([tag]) => tag === ELF_TAGS.NEEDED).map(([, at]) => text(at)),
    symbols: readSymbols(file, place(ELF_TAGS.SYMTAB), countSymbols(file, place), text),
    versionsNeeded: readVersionsNeeded(
      file,
      place(ELF_TAGS.VERNEED),
      first(ELF_TAGS.VERNEEDNUM) ?? 0,
      text,
    ),
    versionsDefined: readVersionsDefined(
      file,
      place(ELF_TAGS.VERDEF),
      first(ELF_TAGS.VERDEFNUM) ?? 0,
      text,
    ),
  };
}

function readSegments(file: Buffer): Segment[] {
  const table = readWord(file, 32);
  return Array.from({ length: file.readUInt16LE(56) }, (_, i) => {
    const at = table + i * SEGMENT_BYTES;
    return {
      type: file.readUInt32LE(at),
      offset: readWord(file, at + 8),
      address: readWord(file, at + 16),
      bytes: readWord(file, at + 32),
    };
  });
}

function readDynamic(file: Buffer, { offset, bytes }: Segment): [tag: number, value: number][] {
  const entries: [number, number][] = [];
  for (let at = offset; at + 16 <= offset + bytes; at += 16) {
    const tag = readWord(file, at);
    if (tag === 0) break;
    entries.push([tag, readWord(file, at + 8)]);
    checkCount(entries.length);
  }
  return entries;
}

/** Of the symbol table, which does not say it itself: from either of the hash tables. */
function countSymbols(file: Buffer, place: (tag: number) => number | undefined): number {
  const hash = place(ELF_TAGS.HASH);
  if (hash !== undefined) return file.readUInt32LE(hash + 4);
  const gnu = place(ELF_TAGS.GNU_HASH);
  if (gnu === undefined) return 0;
  const buckets = file.readUInt32LE(gnu);
  const firstHashed = file.readUInt32LE(gnu + 4);
  const bucketsAt = gnu + 16 + file.readUInt32LE(gnu + 8) * 8;
  checkCount(buckets);
  let last = 0;
  for (let i = 0; i < buckets; i++) last = Math.max(last, file.readUInt32LE(bucketsAt + i * 4));
  if (last < firstHashed) return firstHashed;
  // The lowest bit of a hash ends its bucket's chain.
  const chainsAt = bucketsAt + buckets * 4;
  while ((file.readUInt32LE(chainsAt + (last - firstHashed) * 4) & 1) === 0) last++;
  return last + 1;
}

function readSymbols(
  file: Buffer,
  table: number | undefined,
  count: number,
  text: (at: number) => string,
): string[] {
  if (table === undefined) return [];
  checkCount(count);
  const names: string[] = [];
  for (let i = 1; i < count; i++) {
    const at = table + i * SYMBOL_BYTES;
    const binding = file.readUInt8(at + 4) >> 4;
    // Global or weak, and defined in a section of this file.
    if ((binding === 1 || binding === 2) && file.readUInt16LE(at + 6) !== 0) {
      names.push(text(file.readUInt32LE(at)));
    }
  }
  return names;
}

function readVersionsNeeded(
  file: Buffer,
  table: number | undefined,
  count: number,
  text: (at: number) => string,
): ElfVersion[] {
  const versions: ElfVersion[] = [];
  if (table === undefined) return versions;
  checkCount(count);
  for (let i = 0, at = table; i < count; i++) {
    const name = text(file.readUInt32LE(at + 4));
    let entry = at + file.readUInt32LE(at + 8);
    for (let j = 0; j < file.readUInt16LE(at + 2); j++) {
      versions.push({ file: name, version: text(file.readUInt32LE(entry + 8)) });
      checkCount(versions.length);
      entry += file.readUInt32LE(entry + 12);
    }
    at += file.readUInt32LE(at + 12);
  }
  return versions;
}

function readVersionsDefined(
  file: Buffer,
  table: number | undefined,
  count: number,
  text: (at: number) => string,
): string[] {
  if (table === undefined) return [];
  checkCount(count);
  const versions: string[] = [];
  for (let i = 0, at = table; i < count; i++) {
    // The first is the file's own name (VER_FLG_BASE).
    if ((file.readUInt16LE(at + 2) & 1) === 0) {
      versions.push(text(file.readUInt32LE(at + file.readUInt32LE(at + 12))));
    }
    at += file.readUInt32LE(at + 16);
  }
  return versions;
}

/** Where the bytes of a virtual address are in the file. */
function offsetOf(segments: readonly Segment[], address: number): number {
  const segment = segments.find(
    ({ type, address: start, bytes }) =>
      type === PT_LOAD && address >= start && address < start + bytes,
  );
  if (segment === undefined) {
    throw new FormatError(`its address 0x${address.toString(16)} is in none of its segments`);
  }
  return segment.offset + address - segment.address;
}

/** A u64; one that no file can have is too large for every later read. */
const readWord = (file: Buffer, at: number): number => Number(file.readBigUInt64LE(at));

function checkCount(count: number): void {
  if (count > ENTRIES_MAX) {
    throw new FormatError(`a table claims ${count} entries, at most ${ENTRIES_MAX} are taken`);
  }
}

function describeBytes(file: Buffer): string {
  const start = file.toString("latin1", 0, 40).split("\n")[0] ?? "";
  return file.length === 0 ? "nothing" : JSON.stringify(start);
}
