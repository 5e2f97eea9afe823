/**
 * The verdict on one comparison: everything that is checked, by name, and why it fails.
 */

import { warn } from "../base/log.ts";
import type { Arithmetic } from "../runtime/backend.ts";
import type { ParityCheck, ParityComparison } from "../report/parity_document.ts";
import { closedLoopChecks } from "./closed_loop.ts";
import type { ParityResult } from "./compare_sides.ts";
import { describeNonFinite } from "./describe_non_finite.ts";
import { parityDocument } from "./document.ts";
import { emulatedFiles, fileFailures } from "./file_proof.ts";
import { walkedWords } from "./record.ts";
import { evidenceFailure, type Gate, gateChecks, type Requirable } from "./gate.ts";

export interface Demands extends Gate {
  /** Platform that a .rknn must be for. */
  readonly target: string;
  readonly require?: Requirable | undefined;
}

/**
 * The document of a comparison with its checks; what a record warns of is said.
 *
 * @param joined evidence of further comparisons in the run that speak of the same file
 */
export function judge(
  result: ParityResult,
  demands: Demands,
  joined: readonly Arithmetic[] = [],
): ParityComparison {
  const files = emulatedFiles(result);
  const { nonFinite } = result;
  for (const { record } of files) record.warnings.forEach(warn);
  const { mae, max, quantile, require: required, target } = demands;
  const evidence = [...result.sides.map((side) => side.evidence), ...joined];
  const checks = [
    ...files.map((file) => check(`${file.file} is the model`, fileFailures(file, target))),
    ...(nonFinite === undefined
      ? []
      : [
          check("actions are finite", [describeNonFinite(nonFinite, result.sides, result.samples)]),
        ]),
    ...gateChecks(result, demands),
    ...closedLoopChecks(result.closedLoop),
    ...(required === undefined
      ? []
      : [check(`evidence of ${required}`, [evidenceFailure(evidence, required) ?? []].flat())]),
  ];
  // A file that is another than the record's says so by itself.
  if (result.closedLoop === undefined && result.comparison.mae > mae) {
    const own = files.filter(({ record }) => record.stands);
    for (const { file } of own) [walkedWords(file) ?? []].flat().forEach(warn);
  }
  const gate = {
    mae,
    ...(max === undefined ? {} : { max }),
    ...(quantile === undefined ? {} : { quantile }),
  };
  return { pass: checks.every(({ pass }) => pass), checks, gate, ...parityDocument(result) };
}

function check(name: string, failures: readonly string[]): ParityCheck {
  return { name, pass: failures.length === 0, failures };
}
