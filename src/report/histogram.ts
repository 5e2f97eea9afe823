/**
 * Binning for plots. Latencies and errors spread over decades, so bins grow by a constant ratio:
 * a linear histogram would put everything but the worst sample into its first bar.
 */

import { present } from "../base/assert.ts";

export interface Histogram {
  /** Ascending; bin i holds edges[i] ≤ value < edges[i + 1], the last bin its upper edge too. */
  readonly edges: readonly number[];
  readonly counts: readonly number[];
  /** Values that are zero, which a logarithmic axis has no place for. */
  readonly zeros: number;
  /** Values that are negative or not finite. */
  readonly rejected: number;
}

/** Beyond these the edges' own arithmetic would leave what a double can hold. */
const SMALLEST = 1e-300;
const LARGEST = 1e300;

/** One value, or all alike, still need a bar of some width: ±0.5 %. */
const RATIO_MIN = 1.01;

/**
 * Bins of equal ratio over the positive values; every value is counted exactly once, in `counts`,
 * `zeros` or `rejected`. Without positive values there are no bins.
 */
export function logHistogram(values: Iterable<number>, binsMax = 48): Histogram {
  let [zeros, rejected] = [0, 0];
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  const positive: number[] = [];
  for (const value of values) {
    if (!(value >= 0 && value <= LARGEST)) rejected++;
    else if (value < SMALLEST) zeros++;
    else {
      positive.push(value);
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
  }
  if (positive.length === 0) return { edges: [], counts: [], zeros, rejected };

  const edges = logEdges(least, most, binCount(positive.length, binsMax));
  const counts = Array.from({ length: edges.length - 1 }, () => 0);
  for (const value of positive) {
    const bin = binOf(edges, value);
    counts[bin] = present(counts[bin]) + 1;
  }
  return { edges, counts, zeros, rejected };
}

/** About 2·√n: fine enough to see the mode beside a long tail, within what a screen can show. */
function binCount(samples: number, binsMax: number): number {
  return Math.max(1, Math.min(binsMax, Math.ceil(2 * Math.sqrt(samples)) - 1));
}

function logEdges(least: number, most: number, bins: number): number[] {
  const narrow = most / least < RATIO_MIN;
  const low = narrow ? least / Math.sqrt(RATIO_MIN) : least;
  const high = narrow ? most * Math.sqrt(RATIO_MIN) : most;
  const step = Math.log(high / low) / bins;
  const inner = Array.from({ length: bins - 1 }, (_, i) => low * Math.exp(step * (i + 1)));
  return [low, ...inner, high];
}

/** The bin of a value between the first and the last edge, by bisection on the edges themselves. */
function binOf(edges: readonly number[], value: number): number {
  let [low, high] = [0, edges.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (value < present(edges[middle])) high = middle;
    else low = middle;
  }
  return low;
}
