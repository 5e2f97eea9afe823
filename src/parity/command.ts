/**
 * `lite3rl parity`: the words, and the comparison as a table. The comparing is in
 * `compare_sides.ts`.
 */

import * as v from "valibot";
import { MAE_GATE } from "../compare/statistics.ts";
import type { Annotation } from "../cli/annotations.ts";
import {
  defineCommand,
  durationValue,
  flagName,
  integerValue,
  numberValue,
  pathValue,
  switchValue,
  wordValue,
} from "../cli/command.ts";
import { CHECKPOINT_FLAGS } from "../cli/checkpoint_flags.ts";
import { NPU_FLAGS } from "../cli/npu_flags.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { sayOnce } from "../base/log.ts";
import { writeFileAtomic } from "../base/files.ts";
import { checkOutputFiles, HTML_PAGE, JUNIT_XML } from "../base/output_files.ts";
import type { ParityComparison } from "../report/parity_document.ts";
import { RK3588, TARGETS } from "../rknn_toolkit/target.ts";
import { type ComparedSides, compareAll } from "./compare_all.ts";
import { runSide, type SampleOptions, SAMPLES } from "./compare_sides.ts";
import { CLOSED_LOOP_FLAGS, planClosedLoop, unusedOfClosedLoop } from "../closed_loop/plan.ts";
import { warnOfNpuFlags } from "../runtime/open_rknn.ts";
import { isEndpoint } from "../wire/endpoint.ts";
import { checkSidesWalk } from "./closed_loop.ts";
import { quantileValue, REQUIRABLE } from "./gate.ts";
import { judge } from "./judge.ts";
import { isOnlyServed, nameRknn } from "./project_files.ts";
import { type Reporting, writeReports } from "./reports.ts";
import { renderComparison, renderFailed } from "./render.ts";
import {
  encodeInputs,
  encodeOutputs,
  isSaved,
  SAVED_FILE,
  savedFile,
  type SavedOutputs,
} from "./saved_outputs.ts";
import { isCheckpoint } from "./side_model.ts";
import { isCalibrated, isRknnSide, needsModel } from "./sides.ts";

export default defineCommand({
  name: "parity",
  positionals: "<a> [b] [...others]",
  summary: "Compare two backends on the same observations",
  details: [
    "A side is an .onnx, .rknn or .pt file, a service (unix:PATH, tcp:HOST:PORT), a backend's name,",
    "or outputs that were saved elsewhere (.npz). More than two are each compared with the first.",
  ],
  example: "parity build/policy.onnx emulated --dataset build/calib_obs.npy --mae 1e-3",
  positionalsTogether: true,
  rivals: [["samples", "dataset"]],
  unused: (specs, valueOf) => [
    ...([...specs, String(valueOf("model"))].some(isCheckpoint) ? [] : CHECKPOINT_KEYS),
    ...(needsModel(specs) && !isServed(valueOf("model")) ? [] : ["model"]),
    ...(specs.length > 1 ? [] : ["report", "junit", "bisect", "closedLoop"]),
    ...unusedOfClosedLoop(valueOf),
    ...(specs.some(isCalibrated) ? [] : ["calibration"]),
    ...(specs.some(isSaved) ? ["dataset", "samples"] : []),
  ],
  flags: {
    model: {
      value: "<file>",
      help: "ONNX of a side that is a backend or a .rknn (default: build/policy.onnx, policy.onnx)",
      schema: v.optional(pathValue()),
    },
    dataset: {
      value: "<npy|npz|mcap>",
      help: "Observations [rows, N] before any normalizer (default: generated)",
      schema: v.optional(pathValue()),
    },
    obsStats: {
      value: "<npz>",
      help: "mean and std, for sides that expect normalised observations",
      schema: v.optional(pathValue()),
    },
    calibration: {
      value: "<npy|npz|mcap>",
      help: "Observations that give the ranges of emulated:w8a8",
      schema: v.optional(pathValue()),
    },
    mae: {
      value: "<limit>",
      help: `Mean absolute error that still passes (default: ${MAE_GATE})`,
      schema: v.optional(numberValue(0, 1e6), MAE_GATE),
    },
    max: {
      value: "<limit>",
      help: "Largest single error that still passes (default: none)",
      schema: v.optional(numberValue(0, 1e6)),
    },
    quantile: {
      value: "<q=limit>",
      help: "Limit of a quantile of the errors, such as 0.99=2e-3 (default: none)",
      schema: v.optional(quantileValue()),
    },
    require: {
      value: "<evidence>",
      help: `Fail on less than ${REQUIRABLE.join(", ")} (default: whatever is at hand)`,
      schema: v.optional(wordValue(REQUIRABLE)),
    },
    saveInputs: {
      value: "<npz>",
      help: "Write the observations, for --dataset elsewhere",
      schema: v.optional(pathValue()),
    },
    saveOutputs: {
      value: "<npz>",
      help: "Write the actions of each side; the file can be a side later, without the model",
      schema: v.optional(pathValue()),
    },
    bisect: {
      help: "Also compare the values inside, layer by layer: where does the error start?",
      schema: switchValue(),
    },
    closedLoop: {
      help: "Also walk with both sides in the built-in environment: b must walk as well as a",
      schema: switchValue(),
    },
    ...CLOSED_LOOP_FLAGS,
    report: {
      value: "<html>",
      help: "Write the comparison as one self-contained page",
      schema: v.optional(pathValue()),
    },
    junit: {
      value: "<xml>",
      help: "Write every check as JUnit XML, for CI",
      schema: v.optional(pathValue()),
    },
    samples: {
      value: "<n>",
      help: `How many observations to generate without --dataset (default: ${SAMPLES})`,
      schema: v.optional(integerValue(1, 1_000_000)),
    },
    seed: {
      value: "<n>",
      help: "Seed of generated observations and of episodes (default: 0)",
      schema: v.optional(integerValue(0, 2 ** 31 - 1), 0),
    },
    target: {
      value: "<soc>",
      help: `Platform that a .rknn must be for (default: ${RK3588})`,
      schema: v.optional(wordValue(TARGETS), RK3588),
    },
    timeout: {
      value: "<time>",
      help: "Longest wait for one answer of a service (default: 2s)",
      schema: v.optional(durationValue(), "2s"),
    },
    ...CHECKPOINT_FLAGS,
    ...NPU_FLAGS,
  },
  async run(specs, flags) {
    const startedAt = new Date().toISOString();
    const named = nameRknn(specs, flags);
    const [a = "", ...others] = named.sides;
    checkOutputs([a, ...others].map(savedFile), flags);
    checkCheckpointFlags([a, ...others, flags.model ?? ""], flags);
    const isRaw = flags.closedLoop || [a, ...others].some(isEndpoint);
    const space = isRaw ? ("raw" as const) : undefined;
    const checkpoint = { ...flags, normalizerEpsilon: flags.normalizerEps };
    const options = { ...flags, space, timeoutMs: flags.timeout * 1000, npu: flags, checkpoint };
    if (![a, ...others].some(isRknnSide)) warnOfNpuFlags([a, ...others].join(", "), flags);
    if (others.length === 0) return recordAlone(a, options, { ...flags, startedAt });
    const closedLoop = planClosedLoop(flags);
    if (closedLoop !== undefined) checkSidesWalk(specs);
    const limit = flags.bisect ? flags.mae : undefined;
    const compared = await sayOnce(() =>
      compareAll(named, { ...options, bisect: limit, closedLoop }),
    );
    save({ ...mergeOutputs(compared), recorded: startedAt }, flags);
    const judged = compared.map(({ result, joined }) => {
      return { result, document: judge(result, flags, joined) };
    });
    writeReports(judged, startedAt, flags);
    const documents = judged.map(({ document }) => document);
    const [first, ...more] = documents as [ParityComparison, ...ParityComparison[]];
    const failures = documents.flatMap((one) => failuresOf(one, documents.length > 1));
    return {
      json: {
        ...first,
        pass: failures.length === 0,
        ...(more.length === 0 ? {} : { comparisons: documents }),
      },
      text: judged
        .map(({ result, document }) =>
          [renderComparison(result, flags), ...renderFailed(document)].join("\n"),
        )
        .join("\n\n"),
      ...(failures.length === 0
        ? {}
        : { failure: failures.join("; "), annotations: annotationsOf(documents) }),
    };
  },
});

/** What `serve` and `agent` run may be a .rknn, or not the .onnx that is converted. */
const isServed = (model: unknown): boolean => isRknnSide(String(model)) || isOnlyServed(model);

interface Inputs {
  readonly model?: string | undefined;
  readonly dataset?: string | undefined;
  readonly obsStats?: string | undefined;
  readonly calibration?: string | undefined;
  readonly margins?: string | undefined;
  readonly config?: string | undefined;
}

function checkOutputs(sides: readonly string[], flags: Inputs & Saving & Reporting): void {
  const { model, dataset, obsStats, calibration, margins, config } = flags;
  checkOutputFiles(
    [
      { path: flags.saveInputs, flag: "--save-inputs", kind: SAVED_FILE },
      { path: flags.saveOutputs, flag: "--save-outputs", kind: SAVED_FILE },
      { path: flags.report, flag: "--report", kind: HTML_PAGE },
      { path: flags.junit, flag: "--junit", kind: JUNIT_XML },
    ],
    [...sides, model, dataset, obsStats, calibration, margins, config],
  );
}

/** Of several pairs each failure says which it is of. */
function failuresOf({ sides: { a, b }, checks }: ParityComparison, isOneOfMany: boolean): string[] {
  const failures = checks.flatMap((one) => one.failures);
  return isOneOfMany ? failures.map((failure) => `${a} and ${b}: ${failure}`) : failures;
}

const CHECKPOINT_KEYS = Object.keys(CHECKPOINT_FLAGS) as (keyof typeof CHECKPOINT_FLAGS)[];

function checkCheckpointFlags(
  files: readonly string[],
  flags: Readonly<Record<string, unknown>>,
): void {
  const given = CHECKPOINT_KEYS.find((key) => flags[key] !== undefined);
  if (given === undefined || files.some(isCheckpoint)) return;
  throw new Lite3Error("USAGE", `${flagName(given)} is for a checkpoint (.pt), none is compared`);
}

function annotationsOf(documents: readonly ParityComparison[]): Annotation[] {
  return documents.flatMap(({ sides, checks }) => {
    const title = `parity of ${sides.a} and ${sides.b}`;
    return checks.flatMap(({ failures }) => failures.map((message) => ({ title, message })));
  });
}

interface Saving {
  readonly saveInputs?: string | undefined;
  readonly saveOutputs?: string | undefined;
}

/** One side alone, whose outputs are for a comparison elsewhere. */
async function recordAlone(
  a: string,
  options: SampleOptions,
  saving: Saving &
    Reporting & {
      readonly bisect: boolean;
      readonly closedLoop: boolean;
      readonly startedAt: string;
    },
) {
  if (saving.saveOutputs === undefined) {
    throw new Lite3Error(
      "USAGE",
      `Cannot compare ${quote(a)} with nothing: name another side, ` +
        "or --save-outputs outputs.npz to compare it elsewhere",
    );
  }
  if ((saving.report ?? saving.junit) !== undefined || saving.bisect || saving.closedLoop) {
    throw new Lite3Error(
      "USAGE",
      "--report, --junit, --bisect and --closed-loop are for a comparison, name another side",
    );
  }
  const outputs = { ...(await runSide(a, options)), recorded: saving.startedAt };
  save(outputs, saving);
  const { samples, space } = outputs;
  const [{ label = a, evidence = "cpu" } = {}] = outputs.sides;
  return {
    json: { saved: saving.saveOutputs, label, evidence, space, samples: samples.rows },
    text:
      `${saving.saveOutputs}: actions of ${label} on ${samples.rows} observations ` +
      `(${samples.label}), nothing compared`,
  };
}

/** The outputs of all sides; the first is in every comparison. */
function mergeOutputs(compared: readonly ComparedSides[]): SavedOutputs {
  const [{ result: first }] = compared as [ComparedSides];
  const sides = compared.flatMap(({ result: { sides, actions } }, i) =>
    sides
      .map(({ label, evidence, sha256 }, k) => {
        return { label, evidence, sha256, actions: actions[k] as Float32Array };
      })
      .slice(i === 0 ? 0 : 1),
  );
  return { space: first.space, samples: first.samples, sides };
}

function save(outputs: SavedOutputs, { saveInputs, saveOutputs }: Saving): void {
  if (saveInputs !== undefined) {
    writeFileAtomic(saveInputs, encodeInputs(outputs.samples), "--save-inputs");
  }
  if (saveOutputs !== undefined) {
    writeFileAtomic(saveOutputs, encodeOutputs(outputs), "--save-outputs");
  }
}
