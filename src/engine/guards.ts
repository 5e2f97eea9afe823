/**
 * What is looked at besides the action itself: its size and change, and whether observations are
 * those that the policy was calibrated for. Only the limit changes anything.
 */

import { COUNTER, type EnginePage } from "../service/page.ts";

export interface Ranges {
  readonly min: readonly number[];
  readonly max: readonly number[];
}

/** Cuts an action to ±limit; true where it did. */
export function limitAction(action: Float32Array, limit: number, page: EnginePage): boolean {
  let isCut = false;
  for (let i = 0; i < action.length; i++) {
    const value = action[i] as number;
    if (Math.abs(value) <= limit) continue;
    action[i] = value > 0 ? limit : -limit;
    isCut = true;
  }
  if (isCut) (page.counters[COUNTER.limited] as number)++;
  return isCut;
}

/** Counts an action that changed by more than `limit` since the last one, and keeps it. */
export function watchChange(
  action: Float32Array,
  last: Float32Array,
  limit: number,
  page: EnginePage,
): void {
  let isFast = false;
  for (let i = 0; i < action.length; i++) {
    const value = action[i] as number;
    // A connection's first action has none before it: NaN is never too far.
    if (Math.abs(value - (last[i] as number)) > limit) isFast = true;
    last[i] = value;
  }
  if (isFast) (page.counters[COUNTER.fastActions] as number)++;
}

/**
 * Looks how far observations are from the calibration set's. `check` counts, per term, the values
 * outside its range, and is true where one is further outside than its range is wide.
 */
export class DriftWatch {
  readonly #min: Float32Array;
  readonly #max: Float32Array;
  readonly #outside: Float64Array;

  constructor({ min, max }: Ranges, page: EnginePage) {
    this.#min = Float32Array.from(min);
    this.#max = Float32Array.from(max);
    this.#outside = page.outside;
  }

  check(observation: Float32Array): boolean {
    let isFar = false;
    for (let i = 0; i < observation.length; i++) {
      const value = observation[i] as number;
      const min = this.#min[i] as number;
      const max = this.#max[i] as number;
      if (value >= min && value <= max) continue;
      if (i < this.#outside.length) (this.#outside[i] as number)++;
      const width = max - min;
      // A term that was constant there has no width to compare with.
      if (width > 0 && (value < min - width || value > max + width)) isFar = true;
    }
    return isFar;
  }
}
