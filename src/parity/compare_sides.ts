/**
 * The same observations through two sides, and the statistics of their actions.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { plural } from "../base/text.ts";
import { compareActions, type Comparison } from "../compare/statistics.ts";
import { outputNames } from "../policy/contract.ts";
import { readObservationStats } from "../policy/normalizer.ts";
import { hasNpuLibrary, type NpuOptions } from "../runtime/open_rknn.ts";
import { isEndpoint } from "../wire/endpoint.ts";
import {
  generateObservations,
  readObservations,
  type Observations,
} from "../dataset/observations.ts";
import {
  isCalibrated,
  isRknnPath,
  isToolkit,
  type EmulatedFile,
  modelPath,
  openEndpointSide,
  openFileSide,
  openNpuSide,
  type Side,
  type SideOptions,
  takesModel,
} from "./sides.ts";

/** Observations that are generated where nothing else is said. */
export const SAMPLES = 1024;

export interface ParityOptions {
  readonly a: string;
  readonly b: string;
  readonly model?: string | undefined;
  readonly dataset?: string | undefined;
  readonly obsStats?: string | undefined;
  /** Observations for the ranges of a side that is int8. */
  readonly calibration?: string | undefined;
  /** How many to generate; 1024 if absent. Not with `dataset`. */
  readonly samples?: number | undefined;
  readonly seed: number;
  readonly timeoutMs: number;
  readonly npu?: NpuOptions;
}

export interface ParityResult {
  readonly sides: readonly [Side, Side];
  readonly samples: Observations;
  readonly comparison: Comparison;
}

/** Runs both sides on the same observations. Throws when a side cannot answer. */
export async function compareSides(options: ParityOptions): Promise<ParityResult> {
  const { a, b, dataset, obsStats, calibration } = options;
  checkUsed(options);
  const sets = [dataset, obsStats, calibration];
  const isRaw = [a, b].some(isEndpoint) || sets.some((path) => path !== undefined);
  const sideOptions: SideOptions = {
    model: options.model,
    obsStats,
    calibration,
    space: isRaw ? "raw" : "network",
    timeoutMs: options.timeoutMs,
    npu: options.npu ?? {},
  };
  const open = (spec: string, other: string, sizes?: Side): Promise<Side> | Side => {
    if (isEndpoint(spec)) return openEndpointSide(spec, sizes ?? {}, sideOptions);
    if (isRknnPath(spec) && !isToolkit(spec) && hasNpuLibrary(sideOptions.npu)) {
      return openNpuSide(spec, other, sideOptions);
    }
    return openFileSide(spec, modelPath(spec, other, options.model), sideOptions);
  };
  const [first, second] = isEndpoint(a) ? [b, a] : [a, b];
  using one = await open(first, second);
  using two = await open(second, first, one);
  checkSameSizes(one, two);
  if (one.label === two.label) {
    throw new Lite3Error(
      "USAGE",
      `Cannot compare ${one.label} with itself: that could not fail, name another side`,
    );
  }
  const samples = await chooseSamples(options, one.observationSize);
  const answers = [
    await one.run(samples.data, samples.rows),
    await two.run(samples.data, samples.rows),
  ] as const;
  const names = outputNames(one.actionSize);
  const comparison = compareActions(answers[0], answers[1], names);
  return { sides: first === a ? [one, two] : [two, one], samples, comparison };
}

/** A flag that means nothing here is refused rather than ignored. */
function checkUsed({ a, b, model, dataset, samples, calibration }: ParityOptions): void {
  if (calibration !== undefined && !isCalibrated(a) && !isCalibrated(b)) {
    throw new Lite3Error(
      "USAGE",
      "--calibration is for the backend emulated:w8a8, none is compared",
    );
  }
  if (dataset !== undefined && samples !== undefined) {
    throw new Lite3Error(
      "USAGE",
      "--samples is for generated observations, --dataset brings its own",
    );
  }
  if (model !== undefined && !takesModel(a, b)) {
    throw new Lite3Error(
      "USAGE",
      `--model ${quote(model)} is for sides that are only a backend, ${quote(a)} and ${quote(b)} are not`,
    );
  }
}

async function chooseSamples(options: ParityOptions, width: number): Promise<Observations> {
  if (options.dataset !== undefined) return readObservations(options.dataset, width);
  const { obsStats } = options;
  const stats = obsStats === undefined ? undefined : await readObservationStats(obsStats);
  return generateObservations(options.samples ?? SAMPLES, width, options.seed, stats);
}

function checkSameSizes(a: Side, b: Side): void {
  if (a.observationSize === b.observationSize && a.actionSize === b.actionSize) return;
  throw new Lite3Error(
    "CHECK_FAILED",
    `${a.label} is ${a.observationSize} → ${a.actionSize}, ` +
      `${b.label} is ${b.observationSize} → ${b.actionSize}: they are not the same policy`,
  );
}

/** The files that were emulated, and what of their weights is not the model's. */
export function emulatedFiles({ sides }: ParityResult): readonly EmulatedFile[] {
  return sides.flatMap(({ emulatedFile }) => emulatedFile ?? []);
}

/** What fails of a file's weights, in one line; nothing if they are the model's. */
export function weightFailure({ file, model, weights }: EmulatedFile): string | undefined {
  if (weights.holds) return undefined;
  const wrong = weights.layers.filter(({ differing }) => differing > 0);
  const [worst] = wrong;
  if (worst === undefined) return `${file} has no weights that can be read`;
  const { layer, parameter, differing, elements, first } = worst;
  const where =
    first === undefined
      ? "has no known place in it"
      : `[${first.index.join(", ")}] is ${first.file}, ${model} has ${first.model}`;
  const more = wrong.length > 1 ? `; ${plural(wrong.length - 1, "more parameter")} differ` : "";
  return (
    `${file} does not have the weights of the model: ${layer}.${parameter} ${where} ` +
    `(${differing} of ${elements} differ${more})`
  );
}

/** Everything that keeps a file from being proven to be the policy; one sentence each. */
export function fileFailures(emulated: EmulatedFile, target: string): string[] {
  const { file, platforms, contradictions, record, weights } = emulated;
  const cells = weights.unproven.join(", ");
  return [
    ...(platforms.includes(target)
      ? []
      : [
          `${file} is for ${platforms.join(", ")}, need ${target}: convert it again, ` +
            `or --target ${platforms[0]}`,
        ]),
    ...record.failures,
    ...contradictions.map((one) => `${file} is not ${emulated.model}: ${one}`),
    weightFailure(emulated) ?? [],
    ...(cells === "" || record.stands
      ? []
      : [
          `${file} is not proven: the weights of ${cells} cannot be compared, and no record ` +
            "beside it says that the simulator passed it; convert the model again",
        ]),
  ].flat();
}

/** What `--json` says of a comparison, errors per sample left out. */
export function parityDocument(result: ParityResult) {
  const { samples, comparison } = result;
  const [a, b] = result.sides;
  const files = emulatedFiles(result);
  const { errors: _errors, samples: count, ...statistics } = comparison;
  return {
    ...statistics,
    samples: count,
    dataset: samples.label,
    requiredTolerance: { mae: comparison.mae, max: comparison.max },
    sides: { a: a.label, b: b.label },
    evidence: { a: a.evidence, b: b.evidence },
    ...(a.service || b.service ? { services: { a: a.service, b: b.service } } : {}),
    ...(files.length === 0 ? {} : { files }),
  };
}
