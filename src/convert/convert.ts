/**
 * ONNX → .rknn that is proven to be the policy: checks, the toolkit, what it made held against the
 * model, and only then a file of that name. Without the toolkit everything but the file: the same
 * checks, and a verdict by emulation.
 */

import { existsSync } from "node:fs";
import { AssertionError } from "../base/assert.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { warn } from "../base/log.ts";
import { stopOnSignals } from "../base/stop.ts";
import type { Comparison } from "../compare/statistics.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import type { ClosedLoop } from "../report/closed_loop_document.ts";
import { type InstalledToolkit, requireToolkit } from "../rknn_toolkit/environment.ts";
import { ToolkitFailure } from "../rknn_toolkit/failures.ts";
import { emulate, openEmulated, quantizableLayers } from "../runtime/emulated.ts";
import { build, type Builder, type Built } from "./build.ts";
import { type Candidate, FP16, recipeOf, W8A8 } from "./candidate.ts";
import { createWalkJudge, type Walked, walkedBy, walkProblems, walkUnless } from "./closed_loop.ts";
import { parityProblems } from "./file_problems.ts";
import { createJudge, type Judge } from "./judge.ts";
import { findLayers } from "./layers.ts";
import type { Conversion, ConvertOptions } from "./conversion.ts";
import { choosePrecision, type PrecisionChoice } from "./precision.ts";
import { placementWarnings, prepareModel } from "./prepare_model.ts";
import { checkOutputs, LOG_HEADING, logPath } from "./outputs.ts";
import { publish, type Published } from "./publish.ts";
import { chooseSamples } from "./samples.ts";
import { chooseHybrid, promising, type Search, searchPrecisions } from "./search.ts";
import { warnOfTarget } from "../rknn_toolkit/target.ts";

export interface ConvertResult extends Conversion {
  /** What precisions promise; null where the precision was given. */
  readonly search: Search | null;
  /** In the order in which the toolkit made them; the last is the result. */
  readonly built: readonly Built[];
  readonly published: Published | null;
  /** The candidate that is judged, and by what. */
  readonly candidate: Candidate;
  readonly parity: Comparison;
  /** How it walks beside the policy; null where nobody asked, or it had failed before. */
  readonly closedLoop: ClosedLoop | null;
  /** Every candidate that walked, in their order. */
  readonly walked: readonly Walked[];
  /** Why it does not pass; empty where it does. */
  readonly problems: readonly string[];
  /** Where the emulation was written as ONNX. */
  readonly emitted: string | null;
  /** float16 by emulation, where another precision did not pass. */
  readonly fp16: Comparison | null;
  /** The toolkit is missing: this is how to get it. */
  readonly missing: Lite3Error | undefined;
  readonly seconds: number;
}

/** Writes `output` and its record only when the file is proven to be the policy. */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  using stop = stopOnSignals();
  try {
    return await convertUntil(options, stop.signal);
  } catch (error) {
    if (error instanceof ToolkitFailure) throw keepLog(error, options.output);
    if (!stop.requested || error instanceof Lite3Error) throw error;
    throw new Lite3Error("NATIVE", "Cannot convert: interrupted; nothing was written", {
      cause: error,
    });
  }
}

async function convertUntil(options: ConvertOptions, signal: AbortSignal): Promise<ConvertResult> {
  const started = performance.now();
  const { model, dataset, obsStats, seed, mae, closedLoop: plan } = options;
  const choice = choosePrecision(options);
  checkEmulates(options, choice);
  const toolkit = findOrMiss(options);
  // What is no model is said first: beside a .rknn the output would be the input.
  const prepared = await prepareModel(model);
  checkOutputs(options);
  warnOfTarget(options.target);
  for (const sentence of placementWarnings(prepared.placement)) warn(sentence);
  const { precision } = choice;
  const quantised = precision === "fp16" ? undefined : precision;
  const samples = await chooseSamples(prepared, { dataset, obsStats, seed, quantised });
  const conversion: Conversion = { options, choice, prepared, samples };
  const judge = createJudge(prepared, samples.heldOut, samples.heldOutRows, signal);
  const walkJudge = plan && (await createWalkJudge(prepared, plan, obsStats, signal));
  const { search, candidates } = await planCandidates(conversion, judge, signal);
  const isMissing = toolkit === undefined || toolkit instanceof Lite3Error;
  const made = isMissing
    ? await emulateCandidates(conversion, { judge, walkJudge }, candidates)
    : await buildCandidates(candidates, {
        ...conversion,
        toolkit,
        judge,
        walkJudge,
        target: options.target,
        gate: mae,
        timeoutMs: options.timeoutMs,
        signal,
      });
  const { candidate, problems } = made;
  const fp16 =
    problems.length === 0 || candidate.precision === "fp16"
      ? null
      : await judge.compareEmulation({ precision: "fp16" });
  signal.throwIfAborted();
  const emitted = await emit(conversion, made, signal);
  const seconds = (performance.now() - started) / 1000;
  const last = made.built.at(-1);
  return {
    ...conversion,
    ...made,
    search,
    published: last === undefined ? null : publish(conversion, last, seconds),
    fp16,
    emitted,
    missing: toolkit instanceof Lite3Error ? toolkit : undefined,
    seconds,
  };
}

function checkEmulates({ emitOnnx }: ConvertOptions, { algorithm }: PrecisionChoice): void {
  if (emitOnnx === undefined || algorithm !== "mmse") return;
  throw new Lite3Error(
    "UNSUPPORTED",
    `Cannot write ${quote(emitOnnx)}: --algorithm mmse is not emulated; ` +
      "take normal or kl_divergence, or leave --emit-onnx out",
  );
}

/** What is to be tried, in this order, until something passes. */
async function planCandidates(
  { options, choice, prepared, samples }: Conversion,
  judge: Judge,
  signal: AbortSignal,
): Promise<{ readonly search: Search | null; readonly candidates: readonly Candidate[] }> {
  const { precision, layers } = choice;
  if (precision === "fp16") return { search: null, candidates: [FP16] };
  if (precision === "w8a8") return { search: null, candidates: [W8A8] };
  if (layers !== undefined) {
    const { model } = prepared;
    const float16Layers = findLayers(model, quantizableLayers(model), layers);
    return { search: null, candidates: [{ precision: "hybrid", float16Layers }] };
  }
  const search = await searchPrecisions({ prepared, samples, choice, judge, signal });
  const candidates =
    precision === "auto"
      ? promising(search, options.mae)
      : [chooseHybrid(search, options.mae, prepared.file.path)];
  return { search, candidates };
}

/** The toolkit; the error that says how to get it; or undefined where none is wanted. */
function findOrMiss(options: ConvertOptions): InstalledToolkit | Lite3Error | undefined {
  if (options.emulate) return undefined;
  try {
    return requireToolkit(options.toolkit);
  } catch (error) {
    if (error instanceof Lite3Error && error.code === "NOT_FOUND") return error;
    throw error; // There is no such version.
  }
}

/** Writes the emulation; one that does not pass does not replace what is there. */
async function emit(
  { options, choice, prepared, samples }: Conversion,
  { candidate, problems }: Made,
  signal: AbortSignal,
): Promise<string | null> {
  const { emitOnnx, force } = options;
  if (emitOnnx === undefined) return null;
  if (problems.length > 0 && !force && existsSync(emitOnnx)) {
    warn(`${emitOnnx} stays as it was: what it would become does not pass`);
    return null;
  }
  const recipe = recipeOf(candidate, choice, samples.calibration);
  const emulation = await emulate(prepared.model, recipe);
  signal.throwIfAborted();
  writeFileAtomic(emitOnnx, encodeOnnx(emulation));
  return emitOnnx;
}

type Made = Pick<
  ConvertResult,
  "built" | "candidate" | "parity" | "closedLoop" | "walked" | "problems"
>;

async function buildCandidates(candidates: readonly Candidate[], builder: Builder): Promise<Made> {
  const built: Built[] = [];
  for (const candidate of candidates) {
    const one = await build(builder, candidate);
    built.push(one);
    if (one.problems.length === 0 || one.candidate === candidates.at(-1)) {
      const { parity, closedLoop, problems } = one;
      const walked = built.flatMap(walkedBy);
      return { built, candidate, parity, closedLoop, walked, problems };
    }
  }
  throw new AssertionError("no candidate");
}

/** The first that passes by emulation, or the last. */
async function emulateCandidates(
  { options, choice, prepared, samples }: Conversion,
  { judge, walkJudge }: Pick<Builder, "judge" | "walkJudge">,
  candidates: readonly Candidate[],
): Promise<Made> {
  if (choice.algorithm === "mmse") {
    throw new Lite3Error(
      "UNSUPPORTED",
      "Cannot judge --algorithm mmse without rknn-toolkit2: it is not emulated; " +
        "take normal or kl_divergence, or lite3rl toolkit install",
    );
  }
  const walked: Walked[] = [];
  for (const candidate of candidates) {
    const recipe = recipeOf(candidate, choice, samples.calibration);
    const parity = await judge.compareEmulation(recipe);
    const closedLoop = await walkUnless(parityProblems(parity, options.mae), walkJudge, () =>
      openEmulated(prepared.model, recipe),
    );
    walked.push(...walkedBy({ candidate, closedLoop }));
    const problems = [...parityProblems(parity, options.mae), ...walkProblems(closedLoop)];
    if (problems.length === 0 || candidate === candidates.at(-1)) {
      return { built: [], candidate, parity, closedLoop, walked, problems };
    }
  }
  throw new AssertionError("no candidate");
}

/** Keeps the toolkit's own words beside the output, and says where. */
function keepLog(error: ToolkitFailure, output: string): Lite3Error {
  if (error.failure === "interrupted" || error.log.trim() === "") return error;
  const path = logPath(output);
  try {
    writeFileAtomic(path, LOG_HEADING + error.log);
  } catch {
    return error; // What went wrong first is what matters.
  }
  return new Lite3Error(error.code, `${error.message}; the toolkit's log is ${quote(path)}`, {
    cause: error,
  });
}
