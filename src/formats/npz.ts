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

/** Reads every array, stored or deflated; together they may have `LIMITS.modelBytes`. */
export async function readNpz(source: ByteSource): Promise<Map<string, Tensor>> {
  const zip = await openZip(source);
  const arrays = new Map<string, Tensor>();
  let bytesLeft: number = LIMITS.modelBytes;
  for (const { name, bytes } of zip.entries.values()) {
    if (!name.endsWith(SUFFIX)) {
      throw new FormatError(`entry ${quote(name)} is not an array, need only *${SUFFIX}`);
    }
    const content = zip.read(name, bytesLeft);
    bytesLeft -= bytes;
    arrays.set(
      name.slice(0, -SUFFIX.length),
      describeEntry(name, () => readNpy(content)),
    );
  }
  return arrays;
}

/** Writes the arrays in the order given, as `numpy.savez` does; the same give the same bytes. */
export function writeNpz(arrays: Record<string, Tensor>): Uint8Array {
  const files = Object.entries(arrays).map(([name, tensor]) => [name + SUFFIX, writeNpy(tensor)]);
  return writeZip(Object.fromEntries(files));
}
