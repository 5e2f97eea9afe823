/**
 * A calibration set in two parts: rows that the conversion may see, and rows that judge it. The
 * same seed gives the same parts everywhere, so that a conversion can be repeated from its record.
 */

import { createRandom } from "../base/random.ts";
import type { Observations } from "./observations.ts";
import { distinctRows, takeRows } from "./rows.ts";

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
 * Splits a set, each part at least one row where the set has two that differ. Rows are drawn with
 * `seed`, repetitions left out, so that no row judges what it calibrated; for a recurrent policy,
 * whose rows are one sequence, the last fifth is held out instead.
 */
export function holdOut({ data, rows }: Observations, seed: number, isSequence: boolean): HeldOut {
  const width = data.length / rows;
  const order = isSequence ? [...Array(rows).keys()] : shuffled(distinctRows(data, width), seed);
  const share = Math.max(1, Math.round(order.length * HELD_OUT_SHARE));
  const first = order.length - share;
  const ascending = (indices: readonly number[]) => indices.toSorted((a, b) => a - b);
  const kept = ascending(order.slice(0, Math.min(first, CALIBRATION_ROWS_MAX)));
  const held = ascending(order.slice(first, first + HELD_OUT_ROWS_MAX));
  return {
    calibration: takeRows(data, width, kept),
    calibrationRows: kept.length,
    heldOut: takeRows(data, width, held),
    heldOutRows: held.length,
  };
}

/** The same numbers in a random order (Fisher and Yates). */
function shuffled(numbers: readonly number[], seed: number): number[] {
  const random = createRandom(seed);
  const order = [...numbers];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}
