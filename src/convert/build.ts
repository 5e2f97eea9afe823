/**
 * One file from the toolkit, and everything that is held against it: the container, the weights in
 * it, and what the toolkit's simulator computes for observations that it never saw.
 */

import { present } from "../base/assert.ts";
import { describeSource } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { notice } from "../base/log.ts";
import type { Comparison } from "../compare/statistics.ts";
import { parseRknn } from "../formats/rknn.ts";
import type { ClosedLoop } from "../report/closed_loop_document.ts";
import type { InstalledToolkit } from "../rknn_toolkit/environment.ts";
import type { Quantization, ToolkitJob } from "../rknn_toolkit/job.ts";
import { runToolkitJob } from "../rknn_toolkit/run_job.ts";
import { openRknnEmulated } from "../runtime/rknn_emulated.ts";
import { readRknnLayers } from "../runtime/rknn_layers.ts";
import { compareOperators } from "../runtime/rknn_operators.ts";
import { proveWeights, type WeightProof } from "../runtime/rknn_weights.ts";
import { calibrationInputs } from "./calibration_inputs.ts";
import { type Candidate, describeCandidate } from "./candidate.ts";
import { type WalkJudge, walkProblems, walkUnless } from "./closed_loop.ts";
import { containerProblems, parityProblems, weightProblems } from "./file_problems.ts";
import type { Judge } from "./judge.ts";
import type { PrecisionChoice } from "./precision.ts";
import type { PreparedModel } from "./prepare_model.ts";
import type { Samples } from "./samples.ts";

export interface Builder {
  readonly toolkit: InstalledToolkit;
  readonly prepared: PreparedModel;
  readonly samples: Samples;
  readonly judge: Judge;
  /** Where the file must also walk as well. */
  readonly walkJudge: WalkJudge | undefined;
  readonly choice: PrecisionChoice;
  readonly target: string;
  /** Largest MAE that passes. */
  readonly gate: number;
  /** Of one run of the toolkit. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface Built {
  readonly candidate: Candidate;
  readonly rknn: Uint8Array;
  readonly sha256: string;
  readonly parity: Comparison;
  /** Null where it was not asked for, or the file had failed before. */
  readonly closedLoop: ClosedLoop | null;
  readonly weights: WeightProof;
  /** Why it is not the policy; empty where it passed. */
  readonly problems: readonly string[];
  /** The toolkit's own names of layers that it left in float16. */
  readonly toolkitLayers: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  readonly stages: Readonly<Record<string, number>>;
  /** Of the toolkit's process. */
  readonly toolkitSeconds: number;
}

/** Stages that may take long enough to be worth a line. */
const SHOWN_STAGES: ReadonlySet<string> = new Set([
  "import",
  "build",
  "hybrid1",
  "hybrid2",
  "simulate",
]);

/** Builds and judges. Throws ToolkitFailure; a file that is not the policy has `problems`. */
export async function build(builder: Builder, candidate: Candidate): Promise<Built> {
  const { toolkit, prepared, judge, walkJudge, target, gate, timeoutMs } = builder;
  const label = describeCandidate(candidate);
  // Whatever fails meanwhile ends the toolkit's process too.
  const failed = new AbortController();
  const job = await jobFor(builder, candidate);
  const running = runToolkitJob(toolkit, job, {
    timeoutMs,
    signal: AbortSignal.any([builder.signal, failed.signal]),
    onStage: (stage) => SHOWN_STAGES.has(stage) && notice(`${label}: ${stage}`),
  });
  running.catch(() => undefined);
  try {
    await judge.ownActions();
  } catch (error) {
    failed.abort();
    await running.catch(() => undefined);
    throw error;
  }
  const result = await running;
  const { rknn } = result;
  const [file, weights, operators] = await describeSource(
    "Cannot use what the toolkit made of",
    prepared.file.path,
    () =>
      [
        parseRknn(rknn),
        proveWeights(rknn, prepared.model),
        compareOperators(readRknnLayers(rknn), prepared.model),
      ] as const,
  );
  const parity = await judge.compare(present(result.simulated, "simulated actions"));
  const problems = [
    ...containerProblems(file, prepared.shape, target),
    ...weightProblems(weights),
    ...operators.contradictions,
    ...parityProblems(parity, gate),
  ];
  const closedLoop = await walkUnless(problems, walkJudge, async () => {
    const { backend } = await openRknnEmulated(rknn, prepared.model);
    return backend;
  });
  return {
    candidate,
    rknn,
    sha256: sha256(rknn),
    parity,
    closedLoop,
    weights,
    problems: [...problems, ...walkProblems(closedLoop)],
    toolkitLayers: result.layers ?? [],
    versions: result.versions,
    stages: result.stages,
    toolkitSeconds: result.seconds,
  };
}

async function jobFor(builder: Builder, candidate: Candidate): Promise<ToolkitJob> {
  const { prepared, samples, target } = builder;
  const { input, output, state } = prepared.shape;
  const quantization = await quantizationFor(builder, candidate);
  return {
    model: prepared.bytes,
    target,
    ...(quantization && { quantization }),
    samples: {
      observations: samples.heldOut,
      rows: samples.heldOutRows,
      input: input.name,
      output: output.name,
      state,
    },
  };
}

async function quantizationFor(
  { prepared, samples, choice }: Builder,
  { precision, float16Layers }: Candidate,
): Promise<Quantization | undefined> {
  if (precision === "fp16") return undefined;
  return {
    algorithm: choice.algorithm,
    method: choice.method,
    dataset: await calibrationInputs(prepared, samples),
    ...(precision === "hybrid" && { float16Layers }),
  };
}
