/**
 * Tar archives of a few regular files, as POSIX ustar: each file a header of 512 bytes and its
 * content, padded, then two empty blocks. The same files give the same bytes, and no others are
 * read: an archive is taken only if it is what `encodeTar` writes of its files. So there are no
 * links, directories, owners or names that lead elsewhere, and nothing between or behind.
 */

import { assert } from "../base/assert.ts";
import { FormatError, quote } from "../base/errors.ts";

const BLOCK = 512;
const NAME_BYTES = 100;
/** Where a header's fields begin, and how many bytes they have (POSIX.1-1988, ustar). */
const FIELDS = {
  name: [0, NAME_BYTES],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  magic: [257, 8],
} as const;
/** Names without directories: nothing is ever written beside where it belongs. */
const NAME = /^\w[\w.-]*$/;

const TYPES: Readonly<Record<string, string>> = {
  "1": "a hard link",
  "2": "a symbolic link",
  "3": "a device",
  "4": "a device",
  "5": "a directory",
  "6": "a pipe",
};

/** Encodes files in the order of the map; sizes below 8 GiB. */
export function encodeTar(files: ReadonlyMap<string, Uint8Array>): Uint8Array<ArrayBuffer> {
  const parts = [...files].flatMap(([name, content]) => {
    assert(NAME.test(name) && name.length <= NAME_BYTES, "a plain name");
    return [header(name, content.length), content, new Uint8Array(padding(content.length))];
  });
  return new Uint8Array(Buffer.concat([...parts, new Uint8Array(2 * BLOCK)]));
}

/** The files by name, in their order. Throws FormatError, naming the first that is not as it must. */
export function parseTar(bytes: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let at = 0;
  while (at + BLOCK <= bytes.length) {
    const head = bytes.subarray(at, at + BLOCK);
    if (head.every((byte) => byte === 0)) break;
    const name = text(head, FIELDS.name);
    checkHead(name, head);
    const size = Number.parseInt(text(head, FIELDS.size), 8);
    const content = bytes.subarray(at + BLOCK, at + BLOCK + size);
    if (!(size >= 0) || content.length !== size) {
      throw new FormatError(`${quote(name)} has ${content.length} of ${size} bytes`);
    }
    if (files.has(name)) throw new FormatError(`${quote(name)} is in it twice`);
    if (!Buffer.from(head).equals(header(name, size))) {
      throw new FormatError(`the header of ${quote(name)} is not as lite3rl writes it`);
    }
    const end = at + BLOCK + size + padding(size);
    const between = bytes.subarray(at + BLOCK + size, end);
    if (between.some((byte) => byte !== 0)) {
      throw new FormatError(`${quote(name)} is followed by bytes that belong to nothing`);
    }
    files.set(name, content);
    at = end;
  }
  const rest = bytes.subarray(at);
  if (rest.length !== 2 * BLOCK || rest.some((byte) => byte !== 0)) {
    throw new FormatError(`it does not end with two empty blocks after ${files.size} files`);
  }
  return files;
}

function checkHead(name: string, head: Uint8Array): void {
  if (!text(head, FIELDS.magic).startsWith("ustar")) {
    throw new FormatError("it is no tar of the ustar format");
  }
  const kind = TYPES[text(head, FIELDS.type)];
  if (kind !== undefined) throw new FormatError(`${quote(name)} is ${kind}, need a file`);
  if (!NAME.test(name)) throw new FormatError(`${quote(name)} is no plain name of a file`);
}

const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

function text(head: Uint8Array, [from, length]: readonly [number, number]): string {
  const field = new TextDecoder("latin1").decode(head.subarray(from, from + length));
  return field.replace(/\0.*$/s, "").trim();
}

/** Root's, readable by all, from 1970: what a file's header says beside name and size. */
function header(name: string, size: number): Uint8Array {
  const head = Buffer.alloc(BLOCK);
  const put = ([from]: readonly [number, number], value: string): void => {
    head.write(value, from, "latin1");
  };
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, "0");
  put(FIELDS.name, name);
  put(FIELDS.mode, `${octal(0o644, 7)}\0`);
  put(FIELDS.uid, `${octal(0, 7)}\0`);
  put(FIELDS.gid, `${octal(0, 7)}\0`);
  put(FIELDS.size, `${octal(size, 11)}\0`);
  put(FIELDS.mtime, `${octal(0, 11)}\0`);
  put(FIELDS.checksum, " ".repeat(8));
  put(FIELDS.type, "0");
  put(FIELDS.magic, "ustar\x0000");
  const sum = head.reduce((total, byte) => total + byte, 0);
  put(FIELDS.checksum, `${octal(sum, 6)}\0 `);
  return head;
}
