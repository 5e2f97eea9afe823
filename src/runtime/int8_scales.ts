/**
 * The scales of a file's int8 weights. The file holds them only as uint16 multipliers, known up
 * to one factor per layer, so they are found beside the ONNX's weights: as the toolkit's
 * `normal` and `kl_divergence` choose them (min and max per output, or per layer), or, where it
 * chose otherwise (`mmse`), as the one scale of which every weight is the nearest step.
 */

import { present } from "../base/assert.ts";
import type { RknnBias, RknnMatrix } from "../formats/rknn_weights.ts";
import { affineOf } from "./calibration.ts";
import type { NpuLayer } from "./npu_form.ts";

export interface RowScale {
  readonly scale: number;
  /** How far the true scale may be from it, as a share. */
  readonly uncertainty: number;
}

/** A multiplier is rounded to a whole number, and so is what the others say of the factor. */
const MULTIPLIER_STEPS = 1.5;
/** Of a scale that is computed as the toolkit does: what float32 loses. */
const EXACT = 2 ** -22;

/** The scale of each output's weights, shape [outputs]. */
export function findScales(layer: NpuLayer, matrix: RknnMatrix, bias: RknnBias): RowScale[] {
  const zeroPoints = present(bias.channels, "channels of an int8 bias").zeroPoints;
  const whole = rangeOf(layer.weight);
  const found = Array.from({ length: layer.outputs }, (_, row) => {
    const weights = layer.weight.subarray(row * layer.inputs, (row + 1) * layer.inputs);
    const steps = stepsOf(matrix, row, present(zeroPoints[row]));
    return bestScale(weights, steps, [rangeOf(weights), whole]);
  });
  return heldToMultipliers(found, present(bias.channels).multipliers);
}

/** q − zeroPoint of one output's weights; what is at an end of int8 may have been clipped. */
export interface Steps {
  readonly steps: Int16Array;
  readonly clipped: (index: number) => boolean;
}

export function stepsOf(matrix: RknnMatrix, row: number, zeroPoint: number): Steps {
  const q = matrix.values.subarray(row * matrix.inputs, (row + 1) * matrix.inputs);
  return {
    steps: Int16Array.from(q, (value) => value - zeroPoint),
    clipped: (index) => q[index] === -128 || q[index] === 127,
  };
}

/** Is `weight` nearest to this step, up to `slack` of a step? */
export function isOwnStep(
  weight: number,
  step: number,
  isClipped: boolean,
  { scale, uncertainty }: RowScale,
): boolean {
  const error = weight - step * scale;
  if (isClipped && Math.sign(error) === Math.sign(step)) return true;
  return Math.abs(error) <= scale * (0.5 + 1e-3) + Math.abs(weight) * uncertainty;
}

const rangeOf = (weights: Float32Array): number =>
  affineOf({
    min: weights.reduce((low, w) => Math.min(low, w), 0),
    max: weights.reduce((high, w) => Math.max(high, w), 0),
  }).scale;

/** The candidate with the fewest weights that are not their own step. */
function bestScale(weights: Float32Array, steps: Steps, known: readonly number[]): RowScale {
  const candidates: RowScale[] = known.map((scale) => ({ scale, uncertainty: EXACT }));
  let best: RowScale | undefined;
  let fewest = Infinity;
  const attempt = (candidate: RowScale): void => {
    const wrong = weights.reduce(
      (count, w, i) =>
        count + Number(!isOwnStep(w, present(steps.steps[i]), steps.clipped(i), candidate)),
      0,
    );
    if (wrong < fewest) [best, fewest] = [candidate, wrong];
  };
  candidates.forEach(attempt);
  if (fewest > 0) impliedScales(weights, steps).forEach(attempt);
  return present(best);
}

/** Least squares, and the middle of the scales that make every weight its own step. */
function impliedScales(weights: Float32Array, { steps, clipped }: Steps): RowScale[] {
  let [dot, square, low, high] = [0, 0, 0, Infinity];
  weights.forEach((w, i) => {
    const step = present(steps[i]);
    const [size, along] = [Math.abs(step), step < 0 ? -w : w];
    if (size === 0) {
      low = Math.max(low, 2 * Math.abs(w));
      return;
    }
    dot += step * w;
    square += step * step;
    high = Math.min(high, along / (size - 0.5));
    if (!clipped(i)) low = Math.max(low, along / (size + 0.5));
  });
  if (square === 0) return [];
  const fitted = { scale: Math.abs(dot / square), uncertainty: 1e-3 };
  if (!(low > 0 && high >= low && high < Infinity)) return [fitted];
  return [{ scale: (low + high) / 2, uncertainty: (high - low) / (low + high) + EXACT }, fitted];
}

/** Where a multiplier is not its scale's share, the scale is what the multiplier says. */
function heldToMultipliers(scales: readonly RowScale[], multipliers: Uint16Array): RowScale[] {
  const factors = scales.map(({ scale }, row) => present(multipliers[row]) / scale);
  const factor = present(factors.toSorted((a, b) => a - b)[Math.floor(factors.length / 2)]);
  return scales.map((one, row) => {
    const multiplier = present(multipliers[row]);
    const slack = MULTIPLIER_STEPS + one.scale * factor * (one.uncertainty + 1e-3);
    if (Math.abs(multiplier - one.scale * factor) <= slack || !(factor > 0)) return one;
    return { scale: multiplier / factor, uncertainty: 1 / multiplier };
  });
}
