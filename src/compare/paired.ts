/**
 * Paired differences with confidence intervals: the same episode on two sides, many times.
 */

import { bisect, errorFunction, mean, sampleStandardDeviation } from "simple-statistics";
import { assert } from "../base/assert.ts";

export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/** How often both, one or none of a pair had something: for proportions that are paired. */
export interface PairCounts {
  readonly both: number;
  readonly onlyA: number;
  readonly onlyB: number;
  readonly neither: number;
}

/**
 * The mean of paired differences with Student's t interval; null for fewer than two, of which no
 * spread is known.
 *
 * @param level of confidence, such as 0.95, on both sides together
 */
export function meanInterval(differences: readonly number[], level: number): Interval | null {
  const count = differences.length;
  if (count < 2) return null;
  const centre = mean([...differences]);
  const spread = sampleStandardDeviation([...differences]) / Math.sqrt(count);
  const half = spread === 0 ? 0 : studentQuantile((1 + level) / 2, count - 1) * spread;
  return { mean: centre, low: centre - half, high: centre + half };
}

/**
 * b's proportion minus a's, with the score interval for paired proportions: method 10 of Newcombe,
 * "Improved confidence intervals for the difference between binomial proportions based on paired
 * data", Statistics in Medicine 17 (1998). It tells something where nothing happened at all: of
 * none in n pairs, how often it may be.
 */
export function proportionInterval(counts: PairCounts, level: number): Interval {
  const { both, onlyA, onlyB, neither } = counts;
  const pairs = both + onlyA + onlyB + neither;
  assert(pairs > 0, "at least one pair");
  const z = normalReach(level);
  const a = wilson(both + onlyA, pairs, z);
  const b = wilson(both + onlyB, pairs, z);
  const phi = correlation(counts);
  const reach = (one: number, other: number): number =>
    Math.sqrt(Math.max(0, one ** 2 - 2 * phi * one * other + other ** 2));
  const difference = b.share - a.share;
  return {
    mean: difference,
    low: difference - reach(b.share - b.low, a.high - a.share),
    high: difference + reach(b.high - b.share, a.share - a.low),
  };
}

/** ±z holds a part `level` of the normal distribution; the library's `probit` has two digits. */
function normalReach(level: number): number {
  return Math.SQRT2 * bisect((x) => errorFunction(x) - level, 0, 6, 100, 1e-12);
}

/** Wilson's score interval of `count` in `of`. */
function wilson(count: number, of: number, z: number) {
  const share = count / of;
  const centre = (count + z ** 2 / 2) / (of + z ** 2);
  const half = (z * Math.sqrt(of * share * (1 - share) + z ** 2 / 4)) / (of + z ** 2);
  return { share, low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}

/** Newcombe's φ, with his correction for continuity; 0 where a margin of the table is empty. */
function correlation({ both, onlyA, onlyB, neither }: PairCounts): number {
  const margins = (both + onlyA) * (onlyB + neither) * (both + onlyB) * (onlyA + neither);
  if (margins === 0) return 0;
  const product = both * neither - onlyA * onlyB;
  const half = (both + onlyA + onlyB + neither) / 2;
  const corrected = product > 0 ? Math.max(product - half, 0) : product;
  return corrected / Math.sqrt(margins);
}

/** The t below which a part `probability` of Student's distribution lies; 0.5 to below 1. */
export function studentQuantile(probability: number, degrees: number): number {
  assert(probability >= 0.5 && probability < 1 && degrees >= 1, "an upper quantile of t");
  const within = 2 * probability - 1;
  // Over the angle, which is bounded where t is not.
  const angle = bisect(
    (theta) => studentWithin(theta, degrees) - within,
    0,
    Math.PI / 2,
    100,
    1e-15,
  );
  return Math.sqrt(degrees) * Math.tan(angle);
}

/**
 * The part of Student's distribution within ±t, t = √degrees · tan θ, for whole degrees of freedom:
 * Abramowitz and Stegun, 26.7.3 and 26.7.4.
 */
function studentWithin(theta: number, degrees: number): number {
  const isOdd = degrees % 2 === 1;
  const square = Math.cos(theta) ** 2;
  let term = isOdd ? Math.cos(theta) : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = isOdd ? 3 : 2; k < degrees; k += 2) {
    term *= ((k - 1) / k) * square;
    sum += term;
  }
  const part = Math.sin(theta) * sum;
  return isOdd ? (2 / Math.PI) * (theta + part) : part;
}
