/**
 * A conversion as a person reads it, and as the one document of `--json`.
 */

import { plural, shellWord } from "../base/text.ts";
import { figure, figureAbove, passed, seconds, table } from "../cli/output.ts";
import { describeEvidence } from "../compare/evidence.ts";
import { type Comparison, MAE_GATE } from "../compare/statistics.ts";
import type { Arithmetic } from "../runtime/backend.ts";
import { renderClosedLoop } from "../closed_loop/describe.ts";
import type { Built } from "./build.ts";
import { type Candidate, describeCandidate, FP16 } from "./candidate.ts";
import type { Walked } from "./closed_loop.ts";
import type { ConvertResult } from "./convert.ts";
import { spaceWarning } from "./observation_space.ts";
import type { OperatorPlacement } from "../policy/npu_operators.ts";
import { commandLine, recipeArguments } from "./recipe.ts";
import type { Search } from "./search.ts";

const PLACES = { npu: "NPU", cpu: "CPU", unknown: "?" } as const;

/** On what the verdict rests. */
function evidenceOf({ built }: ConvertResult): Arithmetic {
  return built.length > 0 ? "toolkit-simulator" : "emulation";
}

export function renderConversion(result: ConvertResult): string {
  const { options, prepared, samples, candidate, parity, closedLoop, problems, published, built } =
    result;
  const last = built.at(-1);
  const { observationSize, actionSize } = prepared.shape;
  const facts = [
    [
      "model",
      `${options.model}: ${observationSize} → ${actionSize}, ${prepared.placement.map(placed).join(", ")}`,
    ],
    ["observations", observationsText(result)],
    ["precision", `${describeCandidate(candidate)}, for ${options.target}`],
    ...(last === undefined ? [] : [["weights", weightsText(last)]]),
    ...(last === undefined
      ? []
      : [
          [
            "toolkit",
            `${last.versions["rknn-toolkit2"]}, ${seconds(last.toolkitSeconds)} of ${seconds(result.seconds)}`,
          ],
        ]),
    ["judged by", describeEvidence(evidenceOf(result))],
  ];
  const rows = parity.perOutput.map(({ name, mae, max }) => [name, figure(mae), figure(max)]);
  const written =
    published === null
      ? []
      : ["", `${published.path}: ${last?.rknn.length} bytes, described by ${published.recordPath}`];
  return [
    facts.map(([name = "", text = ""]) => `${name.padEnd(13)}${text}`).join("\n"),
    ...(result.search === null ? [] : ["", renderSearch(result, result.search)]),
    "",
    table(["output", "MAE", "max"], rows, ["MAE", "max"]),
    "",
    `MAE ${figure(parity.mae)} against ${figure(options.mae)} on ${samples.heldOutRows} ` +
      `observations, largest single error ${figure(parity.max)}: ` +
      passed(closedLoop !== null || problems.length === 0),
    ...(closedLoop === null
      ? []
      : [
          "",
          renderClosedLoop(closedLoop),
          `a is the policy in float32, b ${built.length > 0 ? "the file" : "the precision"}, emulated`,
        ]),
    ...written,
  ].join("\n");
}

function placed({ operator, count, runsOn }: OperatorPlacement): string {
  return `${operator}${count === 1 ? "" : ` ×${count}`} ${PLACES[runsOn]}`;
}

function observationsText({ samples }: ConvertResult): string {
  const { set, label, heldOutRows, calibrationRows, seed } = samples;
  if (set === null) return `${heldOutRows} ${label}`;
  const normalised = set.normalisedBy === null ? "" : ", normalised by --obs-stats";
  return (
    `${label}: ${set.rows} rows, ${calibrationRows} to calibrate, ${heldOutRows} to judge ` +
    `(seed ${seed})${normalised}`
  );
}

function weightsText({ weights }: Built): string {
  const { holds, layers, unproven } = weights;
  const elements = layers.reduce((sum, layer) => sum + layer.elements, 0);
  const found = `${plural(layers.length, "array")} of ${elements} numbers`;
  const cells = unproven.length === 0 ? "" : `; those of ${unproven.join(", ")} are not compared`;
  return holds ? `${found} in the file are the model's${cells}` : "not those of the model";
}

/** Every candidate with what is known of it. */
function renderSearch({ built, walked, options }: ConvertResult, search: Search): string {
  const rows = search.trials.map(({ candidate, emulated, estimatedUs, weightBytes }) => {
    const made = built.find((one) => one.candidate === candidate || same(one, candidate));
    return [
      rowName(candidate),
      estimatedUs.toFixed(1),
      String(weightBytes),
      made === undefined ? "" : String(made.rknn.length),
      figure(emulated.mae),
      made === undefined ? "" : figure(made.parity.mae),
      made !== undefined
        ? passed(made.problems.length === 0)
        : emulated.mae <= options.mae
          ? "not needed"
          : "not tried",
      ...(options.closedLoop === undefined ? [] : [walkOf(walked, candidate)]),
    ];
  });
  const walks = options.closedLoop === undefined ? [] : ["closed loop"];
  const layers = search.sensitivity.map(({ layer, mae }) => `${layer.output} ${figure(mae)}`);
  const right = ["µs, estimated", "bytes of weights", "of file", "emulated MAE", "simulated MAE"];
  return [
    table(["precision", ...right, "gate", ...walks], rows, right),
    "",
    `MAE with one layer alone in int8, first to stay float16 first: ${layers.join(", ")}`,
  ].join("\n");
}

function walkOf(walked: readonly Walked[], candidate: Candidate): string {
  return walked.find((one) => same(one, candidate))?.closedLoop.verdict ?? "";
}

function rowName({ precision, float16Layers }: Candidate): string {
  return precision === "hybrid" ? `hybrid, ${float16Layers.length} float16` : precision;
}

function same({ candidate }: Pick<Built, "candidate">, other: Candidate): boolean {
  return describeCandidate(candidate) === describeCandidate(other);
}

/** Why it did not pass, and the command that does. */
export function failureOf(result: ConvertResult): string | undefined {
  const { problems, published, options } = result;
  if (problems.length === 0) return undefined;
  const kept =
    published === null
      ? ""
      : published.record.forced
        ? `; kept as ${shellWord(published.path)} all the same (--force)`
        : `; kept as ${shellWord(published.path)}, not as ${shellWord(options.output)}`;
  const cure = cureOf(result);
  return `${problems.join("; ")}${kept}${cure === null ? "" : `; ${cure}`}`;
}

/** A gate wider than so many times the default is no advice: the policy would act otherwise. */
const WIDEST_GATES = 10;

/** What passes, where that is known. */
export function cureOf(result: ConvertResult): string | null {
  const { options, choice, candidate, parity, fp16, problems, samples } = result;
  const isAccuracy = problems.length > 0 && problems.every((problem) => problem.startsWith("MAE"));
  if (!isAccuracy) return null;
  const unfit = samples.set?.space && spaceWarning(samples.set.space);
  if (unfit) return `the set does not fit the policy: ${unfit}`;
  if (fp16 !== null && fp16.mae <= options.mae) {
    const words = recipeArguments(options, choice, FP16);
    return `float16 passes by emulation (MAE ${figure(fp16.mae)}): ${commandLine(words)}`;
  }
  const mae = Number(figureAbove(parity.mae));
  if (mae > WIDEST_GATES * MAE_GATE) return null;
  const words = recipeArguments({ ...options, mae }, choice, candidate);
  return `it passes with a wider gate: ${commandLine(words)}`;
}

const withoutErrors = ({ errors: _errors, ...statistics }: Comparison) => statistics;

/** The document of `convert --json`. */
export function conversionDocument(result: ConvertResult) {
  const { options, prepared, samples, search, built, published, candidate, parity } = result;
  return {
    pass: result.problems.length === 0,
    problems: result.problems,
    output: published?.path ?? null,
    record: published?.recordPath ?? null,
    forced: published?.record.forced ?? false,
    evidence: evidenceOf(result),
    precision: candidate.precision,
    float16Layers: candidate.float16Layers,
    gate: { mae: options.mae },
    parity: withoutErrors(parity),
    ...(result.closedLoop && {
      closedLoop: result.closedLoop,
      walked: result.walked.map(({ candidate: one, closedLoop }) => ({
        ...one,
        verdict: closedLoop.verdict,
      })),
    }),
    fp16: result.fp16 && withoutErrors(result.fp16),
    cure: cureOf(result),
    operators: prepared.placement,
    observations: {
      label: samples.label,
      calibrationRows: samples.calibrationRows,
      heldOutRows: samples.heldOutRows,
      seed: samples.seed,
      set: samples.set,
    },
    search: search && {
      sensitivity: search.sensitivity.map(({ layer, mae }) => ({ ...layer, mae })),
      trials: search.trials.map(({ emulated, candidate: tried, ...cost }) => ({
        ...tried,
        ...cost,
        emulated: withoutErrors(emulated),
      })),
    },
    built: built.map(({ rknn, candidate: made, parity: judged, closedLoop: _walk, ...rest }) => ({
      ...made,
      ...rest,
      bytes: rknn.length,
      parity: withoutErrors(judged),
    })),
    conversion: published?.record ?? null,
    emitOnnx: result.emitted,
    missing: result.missing?.message ?? null,
    seconds: result.seconds,
  };
}
