/**
 * A comparison as a person reads it.
 */

import { describeEvidence } from "../compare/evidence.ts";
import type { Comparison } from "../compare/statistics.ts";
import { figure, figureAbove, passed, table } from "../cli/output.ts";
import { renderClosedLoop } from "../closed_loop/describe.ts";
import type { Bisection, KindErrors, ParityComparison } from "../report/parity_document.ts";
import type { ParityResult } from "./compare_sides.ts";
import { radiansPerAction } from "./document.ts";
import { emulatedFiles } from "./file_proof.ts";
import { type Gate, gateChecks } from "./gate.ts";
import type { EmulatedFile, Side } from "./sides.ts";

/** One comparison: the sides, a table of the outputs, and the verdict on the errors. */
export function renderComparison(result: ParityResult, gate: Gate): string {
  const { sides, samples, comparison } = result;
  const [a, b] = sides;
  const { worst, rmse, quantiles, cosine, sqnrDb } = comparison;
  const [, ...others] = gateChecks(result, gate);
  return [
    `a  ${a.label} (${describeSide(a)})`,
    `b  ${b.label} (${describeSide(b)})`,
    `on ${comparison.samples} observations (${samples.label})`,
    ...emulatedFiles(result).flatMap(describeFile),
    "",
    outputTable(comparison),
    "",
    ...(result.kinds === undefined ? [] : [kindTable(result.kinds), ""]),
    `RMSE ${figure(rmse)}; p50 ${figure(quantiles.p50)}, p99 ${figure(quantiles.p99)}, ` +
      `p99.9 ${figure(quantiles.p999)}; ` +
      (sqnrDb === null ? "no noise" : `signal to noise ${sqnrDb.toFixed(1)} dB`),
    `cosine ${cosine.toFixed(7)}; worst is sample ${worst.sample}, ${worst.output}: ` +
      `${figure(worst.error)}`,
    wouldPass(result),
    `MAE ${figure(comparison.mae)} against ${figure(gate.mae)}: ${passed(comparison.mae <= gate.mae)}`,
    ...others.flatMap(({ failures }) => failures),
    ...(result.bisection === undefined ? [] : layerTable(result.bisection)),
    ...(result.closedLoop === undefined ? [] : ["", renderClosedLoop(result.closedLoop)]),
  ].join("\n");
}

/** The limit that these samples would need; those that are not finite pass at none. */
function wouldPass({ comparison: { mae, max }, nonFinite }: ParityResult): string {
  if (Number.isNaN(mae)) return "no sample is finite on both sides, none would pass";
  const who = nonFinite === undefined ? "" : "the others ";
  return `${who}would pass at --mae ${figureAbove(mae)}; largest single error ${figure(max)}`;
}

/** What failed besides the limits of errors, which have lines of their own: files, evidence. */
export function renderFailed({ checks }: Pick<ParityComparison, "checks">): string[] {
  return checks
    .filter(({ pass, limit }) => !pass && limit === undefined)
    .map(({ name, failures }) => `${name}: ${passed(false)}, ${failures.join("; ")}`);
}

/** Errors of each output; where the actions are joint targets, the largest in radians too. */
function outputTable({ perOutput }: Comparison): string {
  const radians = radiansPerAction(perOutput.length);
  const columns = ["MAE", "p99", "max", ...(radians === undefined ? [] : ["max rad"])];
  const rows = perOutput.map(({ name, mae, max, quantiles }, i) => {
    const scale = radians?.[i];
    const errors = [mae, quantiles.p99, max, ...(scale === undefined ? [] : [max * scale])];
    return [name, ...errors.map(figure)];
  });
  return table(["output", ...columns], rows, columns);
}

/** Beside the plausible observations, on which all figures rest, those that are not. */
function kindTable(kinds: readonly KindErrors[]): string {
  const columns = ["samples", "MAE", "max"];
  const rows = kinds.map(({ kind, samples, mae, max, worst }) => [
    kind,
    `${samples}`,
    figure(mae),
    figure(max),
    `sample ${worst.sample}, ${worst.output}`,
  ]);
  return table(["observations", ...columns, "worst"], rows, columns);
}

/** Errors of the values inside, each network with its own values before. */
function layerTable({ layers, first, limit, samples }: Bisection): string[] {
  const columns = ["MAE", "max", "dB"];
  const rows = layers.map(({ name, op, mae, max, sqnrDb }) => [
    name,
    op,
    figure(mae),
    figure(max),
    sqnrDb === null ? "no noise" : sqnrDb.toFixed(1),
  ]);
  return [
    "",
    table(["value", "layer", ...columns], rows, columns),
    "",
    `inside, on ${samples} observations: ` +
      (first === null
        ? `no layer's MAE is above ${figure(limit)}`
        : `the MAE is above ${figure(limit)} from ${first} on`),
  ];
}

/** On what a side's figures rest; of a service that is its own word, and so is the model. */
export function describeSide({ evidence, service }: Side): string {
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
