/**
 * Quantiles of times, and how sure a quantile is.
 */

import { mean, quantileSorted } from "simple-statistics";
import { assert, present } from "../base/assert.ts";
import type { MeasuredOf } from "../report/accept_document.ts";

export type Spread = MeasuredOf<"latency">["us"];

/** Of values in ascending order; at least one. */
export function spreadOf(sorted: readonly number[]): Spread {
  assert(sorted.length > 0, "a value");
  const at = (q: number): number => quantileSorted(sorted as number[], q);
  return {
    mean: mean(sorted as number[]),
    p50: at(0.5),
    p90: at(0.9),
    p95: at(0.95),
    p99: at(0.99),
    p999: at(0.999),
    max: present(sorted.at(-1)),
  };
}

/**
 * The value that the p99 is below with 99 % confidence, whatever the distribution: the largest but
 * t, where t or fewer of n values beyond the true p99 have at most 1 % probability (binomial). This
 * is the estimate of MLPerf LoadGen's early stopping, at p99 in place of its p90. Undefined below
 * 459 values, where not even the largest one says so much.
 */
export function p99Above(sorted: readonly number[]): number | undefined {
  const [n, beyond, doubt] = [sorted.length, 0.01, 0.01];
  // Probability of exactly t beyond, as its logarithm: 0.99^n alone is no double for a large n.
  let log = n * Math.log1p(-beyond);
  let total = Math.exp(log);
  let t = -1;
  while (total <= doubt && t < n) {
    t++;
    log += Math.log((n - t) / (t + 1)) + Math.log(beyond / (1 - beyond));
    total += Math.exp(log);
  }
  return t < 0 ? undefined : sorted[n - 1 - t];
}
