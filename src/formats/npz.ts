/**
 * NumPy's .npz files: a zip archive with one .npy file per array.
 */

import { FormatError, quote } from "../base/errors.ts";
import type { ByteSource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { readNpy, writeNpy } from "./npy.ts";
import type { Tensor } from "./tensor.ts";
import { describeEntry, openZip, writeZip } from "./zip.ts";

const SUFFIX = ".npy";

export interface NpzArchive {
  /** Names of the arrays, without `.npy`. */
  readonly names: readonly string[];
  /** Unpacks one array of at most `bytesMax` bytes; the others stay packed. */
  read(name: string, bytesMax: number): Tensor;
}

/** Opens an archive of arrays, stored or deflated, without reading any. */
export async function openNpz(source: ByteSource): Promise<NpzArchive> {
  const zip = await openZip(source);
  const entries = [...zip.entries.keys()];
  const stranger = entries.find((name) => !name.endsWith(SUFFIX));
  if (stranger !== undefined) {
    throw new FormatError(`entry ${quote(stranger)} is not an array, need only *${SUFFIX}`);
  }
  return {
    names: entries.map((name) => name.slice(0, -SUFFIX.length)),
    read(name, bytesMax) {
      const entry = name + SUFFIX;
      const content = zip.read(entry, bytesMax);
      return describeEntry(entry, () => readNpy(content));
    },
  };
}

/** Reads every array; together they may have `LIMITS.modelBytes`. */
export async function readNpz(source: ByteSource): Promise<Map<string, Tensor>> {
  const { names, read } = await openNpz(source);
  let bytesLeft: number = LIMITS.modelBytes;
  const arrays = new Map<string, Tensor>();
  for (const name of names) {
    const tensor = read(name, bytesLeft);
    bytesLeft -= tensor.data.byteLength;
    arrays.set(name, tensor);
  }
  return arrays;
}

/** Writes the arrays in the order given, as `numpy.savez` does; the same give the same bytes. */
export function writeNpz(arrays: Record<string, Tensor>): Uint8Array {
  const files = Object.entries(arrays).map(([name, tensor]) => [name + SUFFIX, writeNpy(tensor)]);
  return writeZip(Object.fromEntries(files));
}
