/**
 * A calibration set in two parts: rows that the conversion may see, and rows that judge it. The
 * same seed gives the same parts everywhere, so that a conversion can be repeated from its record.
 */

import { createRandom } from "../base/random.ts";
import type { Observations } from "./observations.ts";

/** Of the set, what the conversion never sees. */
const HELD_OUT_SHARE = 1 / 5;
/**
 * Of a longer set, only so many rows are drawn: the blueprint takes at most 4,000, and with more
 * the search for ranges takes minutes (kl_divergence: 3 ms a row, mmse: 7) and finds the same.
 */
const CALIBRATION_ROWS_MAX = 4096;
const HELD_OUT_ROWS_MAX = 1024;

export interface HeldOut {
  /** In the order of the set, shape [calibrationRows, width]. */
  readonly calibration: Float32Array;
  readonly calibrationRows: number;
  readonly heldOut: Float32Array;
  readonly heldOutRows: number;
}

/**
 * Splits a set, each part at least one row where the set has two. Rows are drawn with `seed`; for
 * a recurrent policy, whose rows are one sequence, the last fifth is held out instead.
 */
export function holdOut({ data, rows }: Observations, seed: number, isSequence: boolean): HeldOut {
  const width = data.length / rows;
  const share = Math.max(1, Math.round(rows * HELD_OUT_SHARE));
  const heldOutRows = Math.min(share, HELD_OUT_ROWS_MAX);
  const order = isSequence ? [...Array(rows).keys()] : shuffled(rows, seed);
  const pick = (indices: readonly number[]): Float32Array => {
    const part = new Float32Array(indices.length * width);
    for (const [i, row] of indices.entries()) {
      part.set(data.subarray(row * width, (row + 1) * width), i * width);
    }
    return part;
  };
  const ascending = (indices: readonly number[]) => indices.toSorted((a, b) => a - b);
  const kept = ascending(order.slice(0, Math.min(rows - share, CALIBRATION_ROWS_MAX)));
  const held = ascending(order.slice(rows - share, rows - share + heldOutRows));
  return {
    calibration: pick(kept),
    calibrationRows: kept.length,
    heldOut: pick(held),
    heldOutRows: held.length,
  };
}

/** The numbers below `count` in a random order (Fisher and Yates). */
function shuffled(count: number, seed: number): number[] {
  const random = createRandom(seed);
  const order = [...Array(count).keys()];
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}
