/**
 * Statistics of two sets of actions computed from the same observations.
 */

import { assert } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";

/** The blueprint's gate: MAE of RKNN against ONNX at most this. */
export const MAE_GATE = 1e-3;

export interface OutputDifference {
  readonly name: string;
  readonly mae: number;
  readonly max: number;
}

export interface Comparison {
  readonly samples: number;
  /** Mean absolute error over all samples and outputs. */
  readonly mae: number;
  readonly max: number;
  /** Cosine of the two sets as one vector each; 1 where both are zero. */
  readonly cosine: number;
  readonly perOutput: readonly OutputDifference[];
  /** The sample with the largest single error. */
  readonly worst: { readonly sample: number; readonly output: string; readonly error: number };
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
  const samples = a.length / width;
  const errors = new Float64Array(a.length);
  let dot = 0;
  let squareA = 0;
  let squareB = 0;
  let worstAt = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] as number;
    const y = b[i] as number;
    if (!Number.isFinite(x) || !Number.isFinite(y)) throw notFinite(i, width, names, x, y);
    errors[i] = Math.abs(x - y);
    dot += x * y;
    squareA += x * x;
    squareB += y * y;
    if ((errors[i] as number) > (errors[worstAt] as number)) worstAt = i;
  }
  const norm = Math.sqrt(squareA) * Math.sqrt(squareB);
  return {
    samples,
    mae: mean(errors),
    max: errors[worstAt] as number,
    cosine: norm > 0 ? dot / norm : Number(squareA === squareB),
    perOutput: names.map((name, output) => describeOutput(name, output, errors, width)),
    worst: {
      sample: Math.floor(worstAt / width),
      output: names[worstAt % width] as string,
      error: errors[worstAt] as number,
    },
    errors,
  };
}

function describeOutput(
  name: string,
  output: number,
  errors: Float64Array,
  width: number,
): OutputDifference {
  const own = errors.filter((_, i) => i % width === output);
  return { name, mae: mean(own), max: own.reduce((max, error) => Math.max(max, error), 0) };
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function notFinite(
  index: number,
  width: number,
  names: readonly string[],
  x: number,
  y: number,
): Lite3Error {
  return new Lite3Error(
    "CHECK_FAILED",
    `Sample ${Math.floor(index / width)}, ${names[index % width]}: ` +
      `the actions are ${x} and ${y}, need finite numbers`,
  );
}
