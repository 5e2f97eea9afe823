/**
 * The same observations through two sides, and the statistics of their actions.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { warn } from "../base/log.ts";
import { plural } from "../base/text.ts";
import { distinctRows } from "../dataset/rows.ts";
import { findNonFinite, type NonFiniteActions } from "../compare/non_finite.ts";
import type { Comparison } from "../compare/statistics.ts";
import type { CheckpointWords } from "../policy/checkpoint_to_onnx.ts";
import { outputNames } from "../policy/contract.ts";
import { readObservationStats } from "../policy/normalizer.ts";
import { hasNpuLibrary, type NpuOptions } from "../runtime/open_rknn.ts";
import { isEndpoint } from "../wire/endpoint.ts";
import type { ClosedLoopPlan } from "../closed_loop/plan.ts";
import { generateSamples } from "../dataset/generate_observations.ts";
import { type Observations, readSamples } from "../dataset/observations.ts";
import { plausibleRows } from "../dataset/sample_kinds.ts";
import type { ClosedLoop } from "../report/closed_loop_document.ts";
import type { Bisection, KindErrors } from "../report/parity_document.ts";
import { describeNonFinite } from "./describe_non_finite.ts";
import { bisect } from "./bisect.ts";
import { runClosedLoop } from "./closed_loop.ts";
import { compareKinds, describeKinds } from "./compare_kinds.ts";
import { openingOrder } from "./opening_order.ts";
import {
  isSameRecording,
  isSaved,
  readSavedSide,
  type SavedOutputs,
  type Space,
} from "./saved_outputs.ts";
import {
  isCalibrated,
  isRknnSide,
  isToolkit,
  modelPath,
  openEndpointSide,
  openFileSide,
  openNpuSide,
  openSavedSide,
  type Side,
  type SideOptions,
  takesModel,
} from "./sides.ts";

/** Observations that are generated where nothing else is said. */
export const SAMPLES = 1024;

export interface ParityOptions extends SampleOptions {
  readonly a: string;
  readonly b: string;
  /** Find the layer from which the MAE is above this; both sides must be graphs. */
  readonly bisect?: number | undefined;
  /** Let both sides walk; the observations must be raw. */
  readonly closedLoop?: ClosedLoopPlan | undefined;
  /** Actions that are not finite become a part of the result, rather than an error. */
  readonly keepsNonFinite?: boolean;
}

/** What a side runs on, and with. */
export interface SampleOptions {
  readonly model?: string | undefined;
  readonly dataset?: string | undefined;
  readonly obsStats?: string | undefined;
  /** Observations for the ranges of a side that is int8. */
  readonly calibration?: string | undefined;
  /** How many to generate; 1024 if absent. Not with `dataset`. */
  readonly samples?: number | undefined;
  readonly seed: number;
  /** Of the observations; where it is not said, what the sides need. */
  readonly space?: Space | undefined;
  readonly timeoutMs: number;
  readonly npu?: NpuOptions;
  /** What a side that is a checkpoint does not say of itself. */
  readonly checkpoint?: CheckpointWords;
}

export interface ParityResult {
  readonly sides: readonly [Side, Side];
  readonly space: Space;
  /** Rows of all kinds, the plausible ones first. */
  readonly samples: Observations;
  /** Of each side on all of them, shape [rows, actionSize]. */
  readonly actions: readonly [Float32Array, Float32Array];
  /** On the plausible rows. */
  readonly comparison: Comparison;
  /** Of each kind, where there are several. */
  readonly kinds?: readonly KindErrors[];
  /** What is not in the figures, since it is no number. */
  readonly nonFinite?: NonFiniteActions;
  readonly bisection?: Bisection;
  readonly closedLoop?: ClosedLoop;
}

/** Runs both sides on the same observations. Throws when a side cannot answer. */
export async function compareSides(options: ParityOptions): Promise<ParityResult> {
  const { a, b } = options;
  checkUsed(options, [a, b]);
  const saved = await Promise.all([a, b].filter(isSaved).map(readSavedSide));
  const sideOptions = describeSides(options, [a, b], saved[0]?.space);
  const [first, second] = openingOrder(a, b, options.timeoutMs);
  using one = await openSide(first, second, sideOptions);
  using two = await openSide(second, first, sideOptions, one);
  checkSameSizes(one, two);
  if (sideOptions.space === "network") checkSameSpace(one, two);
  const [savedOne, savedTwo] = saved;
  const isAlike =
    savedOne === undefined
      ? isSame(one, two)
      : savedTwo !== undefined && isSameRecording(savedOne, savedTwo);
  if (isAlike) {
    throw new Lite3Error(
      "USAGE",
      `Cannot compare ${one.label} with itself: that could not fail, name another side`,
    );
  }
  const samples = saved[0]?.samples ?? (await chooseSamples(options, one, two));
  const sides = first === a ? ([one, two] as const) : ([two, one] as const);
  const actions = [
    await sides[0].run(samples.data, samples.rows),
    await sides[1].run(samples.data, samples.rows),
  ] as const;
  const nonFinite = nonFiniteOf(actions, sides, samples, options);
  const [comparison, ...more] = compareKinds(samples, actions) as [Comparison, ...Comparison[]];
  const { bisect: limit, closedLoop: plan } = options;
  const bisected =
    limit === undefined ? {} : { bisection: await bisect(sides, plausibleRows(samples), limit) };
  return {
    sides,
    space: sideOptions.space,
    samples,
    actions,
    comparison,
    ...(more.length === 0 ? {} : { kinds: describeKinds(samples, [comparison, ...more]) }),
    ...(nonFinite && { nonFinite }),
    ...bisected,
    ...(plan === undefined || nonFinite !== undefined
      ? {}
      : { closedLoop: await runClosedLoop(sides, plan) }),
  };
}

/** Throws CHECK_FAILED for actions that are not finite, unless they are wanted. */
function nonFiniteOf(
  [a, b]: readonly [Float32Array, Float32Array],
  sides: readonly [Side, Side],
  samples: Observations,
  { keepsNonFinite = false }: ParityOptions,
): NonFiniteActions | undefined {
  const found = findNonFinite(a, b, outputNames(a.length / samples.rows));
  if (found === undefined || keepsNonFinite) return found;
  throw new Lite3Error("CHECK_FAILED", describeNonFinite(found, sides, samples));
}

/** Runs one side alone, for outputs that are compared later. */
export async function runSide(a: string, options: SampleOptions): Promise<SavedOutputs> {
  checkUsed(options, [a]);
  const sideOptions = describeSides(options, [a], undefined);
  using side = await openSide(a, a, sideOptions);
  const samples = await chooseSamples(options, side);
  const { label, evidence, sha256 } = side;
  const actions = await side.run(samples.data, samples.rows);
  return { space: sideOptions.space, samples, sides: [{ label, evidence, sha256, actions }] };
}

function describeSides(
  options: SampleOptions,
  specs: readonly string[],
  space: Space | undefined,
): SideOptions {
  const { dataset, obsStats, calibration, model, timeoutMs, npu = {}, checkpoint = {} } = options;
  const sets = [dataset, obsStats, calibration];
  const isRaw = specs.some(isEndpoint) || sets.some((path) => path !== undefined);
  return {
    model,
    obsStats,
    calibration,
    space: space ?? options.space ?? (isRaw ? "raw" : "network"),
    timeoutMs,
    npu,
    checkpoint,
  };
}

async function openSide(
  spec: string,
  other: string,
  options: SideOptions,
  sizes?: Side,
): Promise<Side> {
  if (isEndpoint(spec)) return openEndpointSide(spec, sizes ?? {}, options);
  if (isSaved(spec)) return openSavedSide(spec, options);
  if (isRknnSide(spec) && !isToolkit(spec) && hasNpuLibrary(options.npu)) {
    return openNpuSide(spec, other, options);
  }
  return openFileSide(spec, modelPath(spec, other, options.model), options);
}

/** A flag that means nothing here is refused rather than ignored. */
function checkUsed(
  { model, dataset, samples, calibration }: SampleOptions,
  specs: readonly string[],
): void {
  if (specs.some(isSaved) && (dataset ?? samples) !== undefined) {
    throw new Lite3Error(
      "USAGE",
      "--dataset and --samples are for sides that run, saved outputs bring their observations",
    );
  }
  if (calibration !== undefined && !specs.some(isCalibrated)) {
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
  if (model !== undefined && !takesModel(specs)) {
    throw new Lite3Error(
      "USAGE",
      `--model ${quote(model)} is for sides that are only a backend, ` +
        `${specs.map(quote).join(" and ")} ${specs.length === 1 ? "is" : "are"} not`,
    );
  }
}

/** The set that is named; else generated, around what is known of the policy's observations. */
async function chooseSamples(options: SampleOptions, ...sides: Side[]): Promise<Observations> {
  const [{ observationSize: width } = { observationSize: 0 }] = sides;
  if (options.dataset !== undefined) return readSet(options.dataset, width);
  const { obsStats, samples = SAMPLES, seed } = options;
  const stats =
    obsStats === undefined
      ? sides.map((side) => side.stats).find((known) => known !== undefined)
      : await readObservationStats(obsStats);
  return generateSamples(samples, width, seed, stats);
}

/** Distinct observations below which a set tells little of a policy: two seconds of walking. */
const DISTINCT_MIN = 100;

async function readSet(path: string, width: number): Promise<Observations> {
  const samples = await readSamples(path, width);
  const { length } = distinctRows(samples.data, width);
  if (length < DISTINCT_MIN) {
    warn(
      `${path}: ${plural(length, "distinct observation")}, fewer than ${DISTINCT_MIN} tell ` +
        "little; lite3rl collect makes a set",
    );
  }
  return samples;
}

/** A file by itself and `onnx` for it are the same: both are run by ONNX Runtime. */
function isSame(...sides: readonly [Side, Side]): boolean {
  const [one, two] = sides.map(({ label }) => /^onnx \((.*)\)$/.exec(label)?.[1] ?? label);
  return one === two;
}

/** The same numbers cannot be raw to one side and normalised to the other. */
function checkSameSpace(a: Side, b: Side): void {
  const inside = [a, b].find(({ normalizer }) => normalizer === "folded");
  const outside = [a, b].find(({ normalizer }) => normalizer === "external");
  if (inside === undefined || outside === undefined) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot compare ${a.label} with ${b.label}: ${inside.label} normalises by itself, ` +
      `${outside.label} expects normalised observations, need --obs-stats obs_stats.npz`,
  );
}

function checkSameSizes(a: Side, b: Side): void {
  if (a.observationSize === b.observationSize && a.actionSize === b.actionSize) return;
  throw new Lite3Error(
    "CHECK_FAILED",
    `${a.label} is ${a.observationSize} → ${a.actionSize}, ` +
      `${b.label} is ${b.observationSize} → ${b.actionSize}: they are not the same policy`,
  );
}
