/**
 * Rows of a set of observations: which of them differ, and some of them as a set of their own.
 */

/** Indices, ascending, of the rows of [rows, width] that equal no earlier row bit for bit. */
export function distinctRows(data: Float32Array, width: number): number[] {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const first = new Map<string, number>();
  for (let row = 0; row < data.length / width; row++) {
    const key = bytes.toString("latin1", 4 * row * width, 4 * (row + 1) * width);
    if (!first.has(key)) first.set(key, row);
  }
  return [...first.values()];
}

/** The rows at `indices`, in that order, shape [indices.length, width]. */
export function takeRows(
  data: Float32Array,
  width: number,
  indices: readonly number[] | Int32Array,
): Float32Array<ArrayBuffer> {
  const taken = new Float32Array(indices.length * width);
  for (const [i, row] of indices.entries()) {
    taken.set(data.subarray(row * width, (row + 1) * width), i * width);
  }
  return taken;
}
