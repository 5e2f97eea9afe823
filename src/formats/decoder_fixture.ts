/**
 * For tests of decoders: the error that a decoder gives as plain data, and a seeded fuzz whose
 * property is that hostile bytes give a value or a FormatError, never anything else.
 */

import { FormatError, type ErrorCode } from "../base/errors.ts";
import { type ByteSource, memorySource } from "../base/files.ts";

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
}

/** The FormatError that `decode` throws; any other outcome fails the test. */
export async function failureOf(decode: () => unknown): Promise<Failure> {
  try {
    await decode();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { code: error.code, message: error.message };
  }
  throw new Error("the decoder took what it should refuse");
}

/** Runs `decode` on `cases` damaged copies of `bytes`; reports the case of any other error. */
export async function fuzzDecoder(
  bytes: Uint8Array,
  decode: (damaged: Uint8Array) => unknown,
  { cases = 400, seed = 1 } = {},
): Promise<void> {
  const random = randomIntegers(seed);
  for (let index = 0; index < cases; index++) {
    const damaged = damage(bytes, random);
    try {
      await decode(damaged);
    } catch (error) {
      if (error instanceof FormatError) continue;
      const hex = Buffer.from(damaged).toString("hex").slice(0, 2_000);
      throw new Error(`case ${index} of seed ${seed}: ${hex}`, { cause: error });
    }
  }
}

/** A source that records which bytes were read. */
export function countingSource(bytes: Uint8Array): ByteSource & {
  readonly reads: { readonly offset: number; readonly length: number }[];
} {
  const source = memorySource(bytes);
  const reads: { offset: number; length: number }[] = [];
  return {
    ...source,
    reads,
    read(offset, length) {
      reads.push({ offset, length });
      return source.read(offset, length);
    },
  };
}

/** One to four changed bytes, sometimes a cut end or a repeated piece as well. */
export function damage(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  let damaged = Uint8Array.from(bytes);
  for (let flips = 1 + random(4); flips > 0; flips--) {
    const at = random(damaged.length);
    const extreme = [0x00, 0x7f, 0x80, 0xff][random(4)] ?? 0;
    damaged[at] = random(2) === 0 ? extreme : (damaged[at] ?? 0) ^ (1 << random(8));
  }
  if (random(8) === 0) damaged = damaged.slice(0, random(damaged.length));
  if (random(8) === 0) {
    const from = random(damaged.length + 1);
    const piece = damaged.subarray(from, from + random(64));
    damaged = Uint8Array.from([...damaged.subarray(0, from), ...piece, ...damaged.subarray(from)]);
  }
  return damaged;
}

/** Marsaglia's xorshift32. */
export function randomIntegers(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return below === 0 ? 0 : (state >>> 0) % below;
  };
}
