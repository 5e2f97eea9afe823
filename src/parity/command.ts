/**
 * `lite3rl parity`: the words, and the comparison as a table. The comparing is in
 * `compare_sides.ts`.
 */

import * as v from "valibot";
import { describeEvidence } from "../compare/evidence.ts";
import { MAE_GATE } from "../compare/statistics.ts";
import {
  defineCommand,
  durationValue,
  integerValue,
  numberValue,
  pathValue,
  wordValue,
} from "../cli/command.ts";
import { NPU_FLAGS } from "../cli/npu_flags.ts";
import { figure, figureAbove, passed, table } from "../cli/output.ts";
import { warn } from "../base/log.ts";
import { RK3588, TARGETS } from "../rknn_toolkit/target.ts";
import {
  compareSides,
  emulatedFiles,
  fileFailures,
  parityDocument,
  type ParityResult,
  SAMPLES,
} from "./compare_sides.ts";
import { type EmulatedFile, isCalibrated, needsModel, type Side } from "./sides.ts";

export default defineCommand({
  name: "parity",
  positionals: "<a> <b>",
  summary: "Compare two backends on the same observations",
  example: "parity build/policy.onnx emulated --dataset build/calib_obs.npy --mae 1e-3",
  rivals: [["samples", "dataset"]],
  unused: ([a = "", b = ""]) => [
    ...(needsModel(a, b) ? [] : ["model"]),
    ...([a, b].some(isCalibrated) ? [] : ["calibration"]),
  ],
  flags: {
    model: {
      value: "<file>",
      help: "ONNX of a side that is a backend or a .rknn (default: build/policy.onnx, policy.onnx)",
      schema: v.optional(pathValue()),
    },
    dataset: {
      value: "<npy|npz>",
      help: "Observations [rows, N] before any normalizer (default: generated)",
      schema: v.optional(pathValue()),
    },
    obsStats: {
      value: "<npz>",
      help: "mean and std, for sides that expect normalised observations",
      schema: v.optional(pathValue()),
    },
    calibration: {
      value: "<npy|npz>",
      help: "Observations that give the ranges of emulated:w8a8",
      schema: v.optional(pathValue()),
    },
    mae: {
      value: "<limit>",
      help: `Mean absolute error that still passes (default: ${MAE_GATE})`,
      schema: v.optional(numberValue(0, 1e6), MAE_GATE),
    },
    samples: {
      value: "<n>",
      help: `How many observations to generate without --dataset (default: ${SAMPLES})`,
      schema: v.optional(integerValue(1, 1_000_000)),
    },
    seed: {
      value: "<n>",
      help: "Seed of generated observations (default: 0)",
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
    ...NPU_FLAGS,
  },
  async run([a = "", b = ""], flags) {
    const timeoutMs = flags.timeout * 1000;
    const result = await compareSides({ ...flags, a, b, timeoutMs, npu: flags });
    const { comparison } = result;
    for (const { record } of emulatedFiles(result)) record.warnings.forEach(warn);
    const isNear = comparison.mae <= flags.mae;
    const reasons = [
      ...emulatedFiles(result).flatMap((file) => fileFailures(file, flags.target)),
      ...(isNear ? [] : [`MAE is ${figure(comparison.mae)}, above ${figure(flags.mae)}`]),
    ];
    const pass = reasons.length === 0;
    return {
      json: { pass, gate: { mae: flags.mae }, ...parityDocument(result) },
      text: render(result, flags.mae, isNear),
      ...(pass ? {} : { failure: reasons.join("; ") }),
    };
  },
});

function render(result: ParityResult, gate: number, isNear: boolean): string {
  const { sides, samples, comparison } = result;
  const [a, b] = sides;
  const { worst } = comparison;
  const perOutput = comparison.perOutput.map(({ name, mae, max }) => [
    name,
    figure(mae),
    figure(max),
  ]);
  return [
    `a  ${a.label} (${describeSide(a)})`,
    `b  ${b.label} (${describeSide(b)})`,
    `on ${samples.rows} observations (${samples.label})`,
    ...emulatedFiles(result).flatMap(describeFile),
    "",
    table(["output", "MAE", "max"], perOutput, ["MAE", "max"]),
    "",
    `cosine ${comparison.cosine.toFixed(7)}; worst is sample ${worst.sample}, ${worst.output}: ` +
      `${figure(worst.error)}`,
    `would pass at --mae ${figureAbove(comparison.mae)}; largest single error ${figure(comparison.max)}`,
    `MAE ${figure(comparison.mae)} against ${figure(gate)}: ${passed(isNear)}`,
  ].join("\n");
}

/** On what a side's figures rest; of a service that is its own word, and so is the model. */
function describeSide({ evidence, service }: Side): string {
  if (service === undefined) return describeEvidence(evidence);
  const { program, version, backend, model } = service;
  const digest = model.sha256.slice(0, 12);
  return (
    `by its own word ${describeEvidence(evidence)}: ${program} ${version}, ` +
    `${backend} on ${model.file} ${digest}…`
  );
}

/** What of a .rknn was run as it is in the file, and whether its weights are the model's. */
function describeFile(emulated: EmulatedFile): string[] {
  const { file, model, weights, fromFile, assumed, platforms, contradictions, record } = emulated;
  const isProven = weights.unproven.length === 0 || record.stands;
  const parameters = weights.layers.reduce((sum, { elements }) => sum + elements, 0);
  return [
    "",
    `from ${file}, for ${platforms.join(", ")}: ${fromFile.join("; ")}`,
    `assumed: ${assumed.join("; ")}`,
    `its ${parameters} weights and biases are those of ${model}: ${passed(weights.holds)}`,
    `its operators are those of ${model}: ${passed(contradictions.length === 0)}`,
    ...(weights.unproven.length === 0
      ? []
      : [
          `not compared: ${weights.unproven.join(", ")}: ${isProven ? "the toolkit's simulator passed this file, by its record" : "not proven"}`,
        ]),
  ];
}
