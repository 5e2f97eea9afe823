/**
 * Which layers may be int8? Emulation answers without the toolkit: each layer alone in int8 says
 * how much it spoils, and hybrids keep the most sensitive layers in float16, one more at a time.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { progress } from "../cli/output.ts";
import type { Comparison } from "../compare/statistics.ts";
import { quantizableLayers } from "../runtime/emulated.ts";
import {
  type Candidate,
  estimateUs,
  FP16,
  type Layer,
  recipeOf,
  W8A8,
  weightBytes,
} from "./candidate.ts";
import { createJudge, type Judge } from "./judge.ts";
import type { PrecisionChoice } from "./precision.ts";
import type { PreparedModel } from "./prepare_model.ts";
import type { Samples } from "./samples.ts";

/** Rows that sensitivity is found with: an order of layers needs no more. */
const SENSITIVITY_ROWS = 256;

export interface LayerSensitivity {
  readonly layer: Layer;
  /** MAE of the policy with this layer alone in int8, on rows of the calibration. */
  readonly mae: number;
}

/** A candidate as it is known without the toolkit. */
export interface Trial {
  readonly candidate: Candidate;
  /** On the judge's rows. */
  readonly emulated: Comparison;
  readonly estimatedUs: number;
  readonly weightBytes: number;
}

export interface Search {
  readonly sensitivity: readonly LayerSensitivity[];
  /** Cheapest first. */
  readonly trials: readonly Trial[];
}

export interface SearchOptions {
  readonly prepared: PreparedModel;
  readonly samples: Samples;
  readonly choice: PrecisionChoice;
  readonly judge: Judge;
  readonly signal: AbortSignal;
}

/**
 * Emulates w8a8, the hybrids by sensitivity and fp16. The order of layers comes from rows that
 * calibrate, so that the judge's rows judge only.
 */
export async function searchPrecisions(options: SearchOptions): Promise<Search> {
  const { prepared, samples, choice, judge } = options;
  if (choice.algorithm === "mmse") {
    throw new Lite3Error(
      "UNSUPPORTED",
      `Cannot search for layers with --algorithm mmse: it is not emulated; ` +
        "take normal or kl_divergence, or name the layers with --layers",
    );
  }
  const layers = quantizableLayers(prepared.model);
  // One emulation for each layer alone, w8a8, fp16, and the hybrids between them.
  const bar = progress("emulating", 2 * layers.length + 1);
  let done = 0;
  const emulate = async (judged: Judge, candidate: Candidate): Promise<Comparison> => {
    const recipe = recipeOf(candidate, choice, samples.calibration);
    const comparison = await judged.compareEmulation(recipe);
    bar.update(++done);
    await turnEventLoop();
    options.signal.throwIfAborted();
    return comparison;
  };
  try {
    const sensitivity = await findSensitivity(options, layers, emulate);
    const trials: Trial[] = [];
    for (const candidate of candidates(sensitivity)) {
      trials.push({
        candidate,
        emulated: await emulate(judge, candidate),
        estimatedUs: estimateUs(candidate, layers),
        weightBytes: weightBytes(candidate, layers),
      });
    }
    const byCost = (a: Trial, b: Trial): number =>
      a.estimatedUs - b.estimatedUs || a.weightBytes - b.weightBytes;
    return { sensitivity, trials: trials.toSorted(byCost) };
  } finally {
    bar.finish();
  }
}

async function findSensitivity(
  { prepared, samples, signal }: SearchOptions,
  layers: readonly Layer[],
  emulate: (judge: Judge, candidate: Candidate) => Promise<Comparison>,
): Promise<LayerSensitivity[]> {
  const rows = Math.min(SENSITIVITY_ROWS, samples.calibrationRows);
  const some = samples.calibration.subarray(0, rows * prepared.shape.observationSize);
  const judge = createJudge(prepared, some, rows, signal);
  const found: LayerSensitivity[] = [];
  for (const layer of layers) {
    const others = layers.filter((other) => other !== layer).map(({ output }) => output);
    const { mae } = await emulate(judge, { precision: "hybrid", float16Layers: others });
    found.push({ layer, mae });
  }
  return found.toSorted((a, b) => b.mae - a.mae);
}

/** w8a8, the hybrids with 1, 2, … of the most sensitive layers in float16, and fp16. */
function candidates(sensitivity: readonly LayerSensitivity[]): Candidate[] {
  const outputs = sensitivity.map(({ layer }) => layer.output);
  const hybrids = outputs
    .slice(1)
    .map((_, i): Candidate => ({ precision: "hybrid", float16Layers: outputs.slice(0, i + 1) }));
  return [W8A8, ...hybrids, FP16];
}

/** Emulation errs by little; beyond this much of the gate the toolkit is not asked. */
const PROMISING = 1.5;
/** Files that the toolkit builds on the way to one that passes, float16 not counted. */
const BUILDS_MAX = 3;

/** What is worth building: the cheapest that may pass, and float16 if none does. */
export function promising({ trials }: Search, gate: number): Candidate[] {
  const quantised = trials
    .filter(({ candidate, emulated }) => candidate !== FP16 && emulated.mae <= PROMISING * gate)
    .slice(0, BUILDS_MAX);
  return [...quantised.map(({ candidate }) => candidate), FP16];
}

/** The cheapest hybrid that passes by emulation, or the one that comes nearest. */
export function chooseHybrid({ trials }: Search, gate: number, path: string): Candidate {
  const hybrids = trials.filter(({ candidate }) => candidate.precision === "hybrid");
  const nearest = hybrids.toSorted((a, b) => a.emulated.mae - b.emulated.mae)[0];
  const chosen = hybrids.find(({ emulated }) => emulated.mae <= gate) ?? nearest;
  if (chosen !== undefined) return chosen.candidate;
  throw new Lite3Error(
    "CONFIG",
    `Cannot convert ${quote(path)} to hybrid: it has fewer than two layers to choose from, ` +
      "take --precision w8a8 or fp16",
  );
}
