/**
 * Statistics of two sets of actions computed from the same observations.
 */

import { quantileSorted } from "simple-statistics";
import { assert } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";

/** The blueprint's gate: MAE of RKNN against ONNX at most this. */
export const MAE_GATE = 1e-3;

/** Quantiles that every comparison has, as parts of one. */
const QUANTILES = { p50: 0.5, p90: 0.9, p99: 0.99, p999: 0.999 } as const;
/** How many of the worst samples are listed: a page's worth. */
const WORST = 10;

/** Of |a − b|, in the actions' own unit. */
export interface ErrorStatistics {
  readonly mae: number;
  readonly rmse: number;
  readonly max: number;
  readonly quantiles: Readonly<Record<keyof typeof QUANTILES, number>>;
  /** Cosine of the two sets as one vector each; 1 where both are zero. */
  readonly cosine: number;
  /**
   * Signal to quantization noise, 20·log10(‖a‖ / ‖a − b‖) in dB, `a` being the signal; null where
   * nothing differs, and where the signal is zero.
   */
  readonly sqnrDb: number | null;
}

export interface OutputDifference extends ErrorStatistics {
  readonly name: string;
}

export interface WorstSample {
  readonly sample: number;
  /** The output with its largest error. */
  readonly output: string;
  readonly error: number;
}

export interface Comparison extends ErrorStatistics {
  readonly samples: number;
  readonly perOutput: readonly OutputDifference[];
  /** The sample with the largest single error. */
  readonly worst: WorstSample;
  /** The samples with the largest errors, the worst first; at most ten. */
  readonly worstSamples: readonly WorstSample[];
  /** |a − b|, row-major, shape [samples, width]. */
  readonly errors: Float64Array;
}

/**
 * Compares two sets of actions, both [samples, names.length] row-major. No samples, lengths that
 * differ and numbers that are not finite are failures, never a vacuous pass.
 */
export function compareActions(
  a: Float32Array,
  b: Float32Array,
  names: readonly string[],
): Comparison {
  const width = names.length;
  assert(width > 0, "at least one output");
  if (a.length === 0 || a.length !== b.length || a.length % width !== 0) {
    throw new Lite3Error(
      "CHECK_FAILED",
      `Cannot compare actions: there are ${a.length} and ${b.length} numbers, ` +
        `need as many of both, above zero and ${width} per sample`,
    );
  }
  const errors = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) {
    const x = a[i] as number;
    const y = b[i] as number;
    if (!Number.isFinite(x) || !Number.isFinite(y))
      throw notFinite(`Sample ${Math.floor(i / width)}, ${names[i % width]}`, x, y);
    errors[i] = Math.abs(x - y);
  }
  const worstSamples = findWorst(errors, names);
  return {
    samples: a.length / width,
    ...describeErrors(a, b, errors),
    perOutput: names.map((name, output) => {
      const column = (_: number, i: number): boolean => i % width === output;
      const own = describeErrors(a.filter(column), b.filter(column), errors.filter(column));
      return { name, ...own };
    }),
    worst: worstSamples[0] as WorstSample,
    worstSamples,
    errors,
  };
}

/** The quantile `q`, from 0 to 1, of the errors; between two of them in proportion; NaN of none. */
export function errorQuantile({ errors }: Pick<Comparison, "errors">, q: number): number {
  if (errors.length === 0) return Number.NaN;
  return quantileSorted(errors.toSorted() as unknown as number[], q);
}

/** Of two vectors and |a − b|, all of one length above zero. */
export function describeErrors(
  a: Float32Array,
  b: Float32Array,
  errors: Float64Array,
): ErrorStatistics {
  let [sum, square, dot, squareA, squareB] = [0, 0, 0, 0, 0];
  for (let i = 0; i < errors.length; i++) {
    const [x, y, error] = [a[i] as number, b[i] as number, errors[i] as number];
    sum += error;
    square += error * error;
    dot += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  const sorted = errors.toSorted() as unknown as number[];
  const norm = Math.sqrt(squareA) * Math.sqrt(squareB);
  const quantiles = Object.entries(QUANTILES).map(([name, q]) => [name, quantileSorted(sorted, q)]);
  return {
    mae: sum / errors.length,
    rmse: Math.sqrt(square / errors.length),
    max: sorted[sorted.length - 1] as number,
    quantiles: Object.fromEntries(quantiles) as ErrorStatistics["quantiles"],
    cosine: norm > 0 ? dot / norm : Number(squareA === squareB),
    // Of numbers that are not finite it is not known, rather than without noise.
    sqnrDb: square === 0 || squareA === 0 ? null : 10 * Math.log10(squareA / square),
  };
}

/** The samples by their largest error, the first of equal ones first. */
function findWorst(errors: Float64Array, names: readonly string[]): WorstSample[] {
  const width = names.length;
  const largest = Array.from({ length: errors.length / width }, (_, sample): WorstSample => {
    const row = errors.subarray(sample * width, (sample + 1) * width);
    const error = row.reduce((max, value) => Math.max(max, value), 0);
    return { sample, output: names[row.indexOf(error)] as string, error };
  });
  return largest.sort((one, other) => other.error - one.error).slice(0, WORST);
}

function notFinite(place: string, x: number, y: number): Lite3Error {
  return new Lite3Error(
    "CHECK_FAILED",
    `${place}: the actions are ${x} and ${y}, need finite numbers`,
  );
}
