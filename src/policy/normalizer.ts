/**
 * The observation normalizer of the service: (obs − mean) / max(std, 1e-3), in float32 as the
 * blueprint's numpy computes it. The statistics come from `obs_stats.npz`.
 */

import { createHash } from "node:crypto";
import { describeSource, FormatError, Lite3Error, quote } from "../base/errors.ts";
import { DISK } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { type NpzArchive, openNpz } from "../formats/npz.ts";
import { describeStart, isZip } from "../formats/zip.ts";
import { toFloat32 } from "../formats/tensor.ts";

/** The smallest divisor, from the blueprint's service: `np.maximum(obs_std, 1e-3)`. */
export const STD_FLOOR = 1e-3;

export interface ObservationStats {
  /** Shape [size]. */
  readonly mean: Float32Array;
  readonly std: Float32Array;
}

export interface Normalizer {
  readonly size: number;
  readonly mean: Float32Array;
  /** max(std, 1e-3), shape [size]. */
  readonly divisor: Float32Array;
  /** Names the statistics: SHA-256 over mean and divisor. */
  readonly digest: string;
  /** Normalises in place; shape [rows, size]. */
  apply(observations: Float32Array): void;
}

export function createNormalizer(stats: ObservationStats): Normalizer {
  const size = stats.mean.length;
  const mean = Float32Array.from(stats.mean);
  const divisor = stats.std.map((std) => Math.max(std, Math.fround(STD_FLOOR)));
  return {
    size,
    mean,
    divisor,
    digest: createHash("sha256").update(mean).update(divisor).digest("hex"),
    apply(observations) {
      const rows = observations.length / size;
      for (let row = 0, at = 0; row < rows; row++) {
        for (let i = 0; i < size; i++, at++) {
          const centred = Math.fround((observations[at] as number) - (mean[i] as number));
          observations[at] = centred / (divisor[i] as number);
        }
      }
    },
  };
}

const MEAN_NAMES = ["mean", "obs_mean"];
const STD_NAMES = ["std", "obs_std"];

/**
 * Reads `mean` and `std` (or `obs_mean`, `obs_std`), shape [N] or [1, N], from an .npz file.
 * Throws for a missing array, a wrong shape, and values no normalizer can have.
 */
export function readObservationStats(path: string, files = DISK): Promise<ObservationStats> {
  return describeSource("Cannot read observation statistics", path, async () => {
    using source = files.open(path);
    if (!isZip(source)) {
      throw new FormatError(`${describeStart(source)}, need an .npz with mean and std`);
    }
    const arrays = await openNpz(source);
    const mean = vector(arrays, MEAN_NAMES);
    const std = vector(arrays, STD_NAMES);
    if (mean.length !== std.length) {
      throw new FormatError(`mean has ${mean.length} values and std ${std.length}, need as many`);
    }
    checkValues("mean", mean, () => true, "finite numbers");
    checkValues("std", std, (value) => value >= 0, "finite numbers not below zero");
    return { mean, std };
  });
}

/** Refuses statistics of another width than the model's observation. */
export function checkStatsSize(stats: ObservationStats, path: string, observationSize: number) {
  if (stats.mean.length === observationSize) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot use observation statistics ${quote(path)}: they have ${stats.mean.length} values, ` +
      `the policy observes ${observationSize}; name the file that belongs to it with --obs-stats`,
  );
}

/** More bytes than the widest observation has in float64 are no statistics. */
const VECTOR_BYTES_MAX = LIMITS.npyHeaderBytes + 8 * LIMITS.vectorWidth;

function vector(arrays: NpzArchive, names: readonly string[]): Float32Array {
  const name = names.find((candidate) => arrays.names.includes(candidate));
  if (name === undefined) {
    const found = arrays.names.map(quote).join(", ") || "no arrays";
    throw new FormatError(`it holds ${found}, need ${names.map(quote).join(" or ")}`);
  }
  const tensor = arrays.read(name, VECTOR_BYTES_MAX);
  const wide = tensor.shape.filter((dimension) => dimension !== 1);
  if (wide.length > 1 || tensor.data.length === 0) {
    throw new FormatError(`${quote(name)} has shape [${tensor.shape.join(", ")}], need [N]`);
  }
  return toFloat32(tensor);
}

function checkValues(
  name: string,
  values: Float32Array,
  isValid: (value: number) => boolean,
  need: string,
): void {
  const index = values.findIndex((value) => !Number.isFinite(value) || !isValid(value));
  if (index >= 0) throw new FormatError(`${name}[${index}] is ${values[index]}, need ${need}`);
}
