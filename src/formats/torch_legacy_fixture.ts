/**
 * A small writer of legacy torch checkpoints for tests: five pickles, then the storages.
 */

import { type Code, bool, dict, int, list, pickle, text } from "./pickle_fixture.ts";

export interface LegacyParts {
  readonly root: Code;
  /** Bytes by key, and the number of elements in front of them: one per 4 bytes if absent. */
  readonly storages: Readonly<Record<string, { bytes: Uint8Array; elements?: number }>>;
  /** Keys in the list of storages; those of `storages` if absent. */
  readonly keys?: readonly string[];
  readonly version?: number;
  readonly littleEndian?: boolean;
  readonly protocol?: number;
}

/** `MAGIC_NUMBER` of torch/serialization.py as LONG1. */
const MAGIC: Code = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

export function writeTorchLegacy(parts: LegacyParts): Uint8Array {
  const { root, storages, version = 1001, littleEndian = true, protocol = 2 } = parts;
  const keys = parts.keys ?? Object.keys(storages);
  const system = dict({ protocol_version: int(1001), little_endian: bool(littleEndian) });
  const pickles = [MAGIC, int(version), system, root, list(...keys.map(text))];
  const stored = Object.values(storages).flatMap(({ bytes, elements = bytes.length / 4 }) => {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(elements));
    return [count, bytes];
  });
  return Buffer.concat([...pickles.map((code) => pickle(code, protocol)), ...stored]);
}
