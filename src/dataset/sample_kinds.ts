/**
 * Kinds of observations in one set: plausible ones, by which a policy is judged, and those that it
 * is only tried with. Each kind is a block of rows: its errors can be told from the others'.
 */

import { FormatError } from "../base/errors.ts";
import type { Tensor } from "../formats/tensor.ts";
import type { Observations } from "./observations.ts";

export const KINDS = ["plausible", "edge", "adversarial"] as const;
export type Kind = (typeof KINDS)[number];

/** Rows one after another; the blocks are in the order of KINDS and make the whole set. */
export interface KindBlock {
  readonly kind: Kind;
  readonly rows: number;
}

/** The blocks of a set with where each begins; a set without kinds is plausible as a whole. */
export function kindBlocks({ rows, kinds }: Pick<Observations, "rows" | "kinds">) {
  let from = 0;
  return (kinds ?? [{ kind: "plausible" as const, rows }]).map((block) => {
    const placed = { kind: block.kind, rows: block.rows, from };
    from += block.rows;
    return placed;
  });
}

/** The rows by which a policy is judged. */
export function plausibleRows(set: Observations): Observations {
  const [{ rows } = { rows: set.rows }] = set.kinds ?? [];
  const { label, data } = set;
  return { label, rows, data: data.subarray(0, (data.length / set.rows) * rows) };
}

/** One number per row, an index into KINDS, as the array `kinds` of an .npz. */
export function encodeKinds(kinds: readonly KindBlock[]): Tensor {
  const data = Uint8Array.from(
    kinds.flatMap(({ kind, rows }) => Array<number>(rows).fill(KINDS.indexOf(kind))),
  );
  return { dtype: "uint8", shape: [data.length], data };
}

/** Throws FormatError where the array is not one that `encodeKinds()` made for so many rows. */
export function decodeKinds({ data, shape }: Tensor, rows: number): KindBlock[] {
  const values = [...(data as Uint8Array)].map(Number);
  const blocks = KINDS.map((kind, index) => ({
    kind,
    rows: values.filter((value) => value === index).length,
  })).filter((block) => block.rows > 0);
  const isSorted = values.every((value, i) => i === 0 || value >= (values[i - 1] as number));
  const counted = blocks.reduce((sum, block) => sum + block.rows, 0);
  if (isSorted && counted === rows && shape[0] === rows && values[0] === 0) return blocks;
  throw new FormatError('its array "kinds" does not say of each row in order what kind it is');
}
