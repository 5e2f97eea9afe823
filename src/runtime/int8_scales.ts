/**
 * The scales of a file's int8 weights. The file holds them only as uint16 multipliers, known up
 * to one factor per layer, or not at all where a layer has one scale; so they are found beside
 * the ONNX's weights: as the toolkit's `normal` and `kl_divergence` choose them (min and max, per
 * output or per layer), or, where it chose otherwise (`mmse`), as the one scale of which every
 * weight is the nearest step.
 */

import { present } from "../base/assert.ts";
import type { RknnBias, RknnMatrix } from "../formats/rknn_weights.ts";
import { affineOf, roundHalfEven } from "./calibration.ts";
import type { NpuLayer } from "./npu_form.ts";

/** One output's weights as the file has them: weight = scale · step, step = q − zeroPoint. */
export interface Int8Row {
  readonly zeroPoint: number;
  readonly scale: number;
  /** How far the true scale may be from it, as a share. */
  readonly uncertainty: number;
  /** Shape [inputs]. */
  readonly steps: Int16Array;
  /** The numbers as stored: at an end of int8 a weight may have been clipped. */
  readonly stored: Int8Array;
}

/** A multiplier is rounded to a whole number, and so is what the others say of the factor. */
const MULTIPLIER_STEPS = 1.5;
/** Of a scale that is computed as the toolkit does: what float32 loses. */
const EXACT = 2 ** -22;
/** Of a scale that is only fitted to the weights. */
const FITTED = 1e-3;

type Scale = Pick<Int8Row, "scale" | "uncertainty">;

/** The rows of an int8 matrix, beside the model's weights. */
export function readInt8Rows(layer: NpuLayer, matrix: RknnMatrix, bias: RknnBias): Int8Row[] {
  const { weight, inputs, outputs } = layer;
  const values = matrix.values as Int8Array;
  if (bias.channels === undefined) {
    const zeroPoint = zeroPointOf(weight, values);
    const whole = describeRow(weight, values, zeroPoint, []);
    return Array.from({ length: outputs }, (_, row) => ({
      ...whole,
      steps: whole.steps.subarray(row * inputs, (row + 1) * inputs),
      stored: values.subarray(row * inputs, (row + 1) * inputs),
    }));
  }
  const { zeroPoints, multipliers } = bias.channels;
  const shared = affineOf(rangeOf(weight)).scale;
  const rows = Array.from({ length: outputs }, (_, row) => {
    const [from, to] = [row * inputs, (row + 1) * inputs];
    const zeroPoint = present(zeroPoints[row]);
    return describeRow(weight.subarray(from, to), values.subarray(from, to), zeroPoint, [shared]);
  });
  return heldToMultipliers(rows, multipliers);
}

/** Is `value` within `reach` steps of this step, as far as the scale is known? */
export function isOwnStep(
  value: number,
  step: number,
  { scale, uncertainty }: Scale,
  reach = 0.5,
): boolean {
  const error = Math.abs(value - step * scale);
  return error <= scale * (reach + 1e-3) + Math.abs(value) * uncertainty;
}

/** Is the scale only known from the weights themselves? */
export const isFitted = ({ uncertainty }: Scale): boolean => uncertainty >= FITTED;

/** Is the weight of this column its own step, or clipped at the end of int8 that it is beyond? */
export function isOwnWeight(weight: number, column: number, row: Int8Row): boolean {
  const step = row.steps[column] as number;
  if (isOwnStep(weight, step, row)) return true;
  const stored = row.stored[column];
  const beyond = weight - step * row.scale;
  return (stored === 127 && beyond > 0) || (stored === -128 && beyond < 0);
}

/** The file's sum holds what the input's zero point adds: −zx · Σ step. */
export function plainBias(sum: number, inputZeroPoint: number, steps: Int16Array): number {
  return sum + inputZeroPoint * steps.reduce((total, step) => total + step, 0);
}

function rangeOf(weights: Float32Array): { min: number; max: number } {
  let [min, max] = [0, 0];
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    if (weight < min) min = weight;
    if (weight > max) max = weight;
  }
  return { min, max };
}

/** With the scale, among those known and those implied, that the fewest weights contradict. */
function describeRow(
  weights: Float32Array,
  stored: Int8Array,
  zeroPoint: number,
  known: readonly number[],
): Int8Row {
  const steps = new Int16Array(stored).map((value) => value - zeroPoint);
  const own = { zeroPoint, steps, stored };
  let best: Int8Row | undefined;
  let fewest = Infinity;
  const attempt = (scale: Scale): void => {
    const candidate = { ...own, ...scale };
    let wrong = 0;
    for (let i = 0; i < weights.length; i++) {
      wrong += Number(!isOwnWeight(weights[i] as number, i, candidate));
    }
    if (wrong < fewest) [best, fewest] = [candidate, wrong];
  };
  for (const scale of [affineOf(rangeOf(weights)).scale, ...known]) {
    if (fewest > 0) attempt({ scale, uncertainty: EXACT });
  }
  if (fewest > 0) impliedScales(weights, steps, stored).forEach(attempt);
  return present(best);
}

/** The middle of the scales that make every weight its own step, and least squares. */
function impliedScales(weights: Float32Array, steps: Int16Array, stored: Int8Array): Scale[] {
  let [dot, square, low, high] = [0, 0, 0, Infinity];
  weights.forEach((weight, i) => {
    const step = present(steps[i]);
    const [size, along] = [Math.abs(step), step < 0 ? -weight : weight];
    const isClipped = stored[i] === -128 || stored[i] === 127;
    if (size === 0) {
      if (!isClipped) low = Math.max(low, 2 * Math.abs(weight));
      return;
    }
    dot += step * weight;
    square += step * step;
    high = Math.min(high, along / (size - 0.5));
    if (!isClipped) low = Math.max(low, along / (size + 0.5));
  });
  if (square === 0) return [];
  const fitted = { scale: Math.abs(dot / square), uncertainty: FITTED };
  if (!(low > 0 && high >= low && high < Infinity)) return [fitted];
  const uncertainty = (high - low) / (low + high) + FITTED;
  return [{ scale: (low + high) / 2, uncertainty }, fitted];
}

/** Where the file does not say it: what the line through (weight, stored) has at zero. */
function zeroPointOf(weights: Float32Array, stored: Int8Array): number {
  const count = weights.length;
  let [x, y, xx, xy] = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const [weight, value] = [present(weights[i]), present(stored[i])];
    x += weight;
    y += value;
    xx += weight * weight;
    xy += weight * value;
  }
  const spread = count * xx - x * x;
  const slope = spread > 0 ? (count * xy - x * y) / spread : 0;
  return roundHalfEven((y - slope * x) / count);
}

/** Where a multiplier is not its scale's share, the scale is what the multiplier says. */
function heldToMultipliers(rows: readonly Int8Row[], multipliers: Uint16Array): Int8Row[] {
  const factors = rows.map(({ scale }, row) => present(multipliers[row]) / scale);
  const factor = present(factors.toSorted((a, b) => a - b)[Math.floor(factors.length / 2)]);
  return rows.map((row, index) => {
    const multiplier = present(multipliers[index]);
    const expected = row.scale * factor;
    const slack = MULTIPLIER_STEPS + expected * (row.uncertainty + FITTED);
    if (Math.abs(multiplier - expected) <= slack || !(factor > 0)) return row;
    return { ...row, scale: multiplier / factor, uncertainty: 1 / Math.max(multiplier, 1) };
  });
}
