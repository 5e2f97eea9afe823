/**
 * The ranges of a model's inner values over a calibration set, as rknn-toolkit2 takes them.
 *
 * `normal`: smallest and largest value. `kl_divergence`: those, clipped where the usual method of
 * TensorRT says; see `kl_threshold.ts` for how near that is to the toolkit's.
 */

import { present } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { AffineQuantization } from "../formats/rknn_graph.ts";
import { runWithInnerValues } from "./inner_values.ts";
import { divergenceThreshold, HISTOGRAM_BINS } from "./kl_threshold.ts";

export type CalibrationAlgorithm = "normal" | "kl_divergence";

export interface Range {
  readonly min: number;
  readonly max: number;
}

/**
 * Ranges of the values `names` over `rows` [rows, N], which a recurrent model takes as one
 * sequence. The ranges hold 0. Throws Lite3Error where a value is not finite.
 */
export async function calibrate(
  model: OnnxModel,
  rows: Float32Array,
  names: readonly string[],
  algorithm: CalibrationAlgorithm,
): Promise<ReadonlyMap<string, Range>> {
  const ranges = new Map<string, { min: number; max: number }>(
    names.map((name) => [name, { min: 0, max: 0 }]),
  );
  await runWithInnerValues(model, rows, names, (name, values) => {
    const range = present(ranges.get(name));
    for (const value of values) {
      if (!Number.isFinite(value)) throw notFinite(name, value);
      if (value < range.min) range.min = value;
      if (value > range.max) range.max = value;
    }
  });
  if (algorithm === "normal") return ranges;
  const histograms = new Map(
    names.map((name) => {
      const { min, max } = present(ranges.get(name));
      return [name, { top: Math.max(-min, max), bins: new Float64Array(HISTOGRAM_BINS) }];
    }),
  );
  await runWithInnerValues(model, rows, names, (name, values) => {
    const { top, bins } = present(histograms.get(name));
    if (top === 0) return;
    for (const value of values) {
      const bin = Math.floor(((value / top + 1) / 2) * HISTOGRAM_BINS);
      const at = Math.min(bin, HISTOGRAM_BINS - 1);
      bins[at] = (bins[at] as number) + 1;
    }
  });
  return new Map(
    [...ranges].map(([name, { min, max }]) => {
      const { top, bins } = present(histograms.get(name));
      const threshold = top * divergenceThreshold(bins);
      return [name, { min: Math.max(min, -threshold), max: Math.min(max, threshold) }];
    }),
  );
}

function notFinite(name: string, value: number): Lite3Error {
  return new Lite3Error(
    "CHECK_FAILED",
    `Cannot calibrate: ${name} becomes ${value} on the calibration set, need finite numbers`,
  );
}

/** int8 over a range that holds 0: scale (max − min) / 255, zero point round(−128 − min / scale). */
export function affineOf({ min, max }: Range): AffineQuantization {
  const [low, high] = [Math.min(min, 0), Math.max(max, 0)];
  const scale = (high - low) / 255;
  if (scale === 0) return { scale: 1, zeroPoint: 0 };
  return { scale: Math.fround(scale), zeroPoint: roundHalfEven(-128 - low / scale) };
}

/** As numpy and ONNX round. */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** q = round(x / scale) + zeroPoint within int8. */
export function quantize(x: number, { scale, zeroPoint }: AffineQuantization): number {
  return Math.max(-128, Math.min(127, roundHalfEven(x / scale) + zeroPoint));
}
