/**
 * When is enough enough: how much wider the ranges become each time the samples double. A range
 * is what int8 shares out, and a set whose ranges still grow would have been calibrated too narrow.
 */

import { present } from "../base/assert.ts";
import type { ObservationPart } from "../environment/environment.ts";

/** Fewer samples say nothing. */
const FIRST = 64;
/** Ranges that grow by less than this share with the next doubling are settled. */
const SETTLED = 0.01;

export interface Doubling {
  /** The first so many samples, in the order they were recorded. */
  readonly samples: number;
  /** Twice as many. */
  readonly next: number;
  /** The largest share by which a term's range is narrower than with `next` samples. */
  readonly growth: number;
  /** The term with that growth. */
  readonly term: string;
}

export interface RangeGrowth {
  readonly doublings: readonly Doubling[];
  /** Samples from which the ranges stay within 1 %; null when the last doubling still widened. */
  readonly enoughFrom: number | null;
}

export function rangeGrowth(
  data: Float32Array,
  width: number,
  terms: readonly ObservationPart[],
): RangeGrowth {
  const sizes = halves(data.length / width);
  const low = new Float32Array(terms.length).fill(Infinity);
  const high = new Float32Array(terms.length).fill(-Infinity);
  const termOf = terms.flatMap(({ size }, term) => Array<number>(size).fill(term));
  let row = 0;
  const ranges = sizes.map((size) => {
    for (; row < size; row++) {
      for (let i = 0; i < width; i++) {
        const value = data[row * width + i] as number;
        const term = termOf[i] as number;
        if (value < (low[term] as number)) low[term] = value;
        if (value > (high[term] as number)) high[term] = value;
      }
    }
    return terms.map((_, term) => present(high[term]) - present(low[term]));
  });
  const doublings = sizes.slice(1).map((next, i) => {
    const growths = present(ranges[i + 1]).map((range, term) =>
      range === 0 ? 0 : 1 - present(ranges[i]?.[term]) / range,
    );
    const growth = Math.max(...growths);
    const { name: term } = present(terms[growths.indexOf(growth)]);
    return { samples: present(sizes[i]), next, growth, term };
  });
  const lastGrowing = doublings.findLastIndex(({ growth }) => growth > SETTLED);
  return { doublings, enoughFrom: doublings[lastGrowing + 1]?.samples ?? null };
}

/** The whole set, its half and so on, ascending; nothing for a set too small to halve. */
function halves(rows: number): number[] {
  const sizes: number[] = [];
  for (let size = rows; size >= FIRST; size = Math.floor(size / 2)) sizes.unshift(size);
  return sizes;
}
