/**
 * What `parity --json` says, and what a report is made of.
 */

import { LITE3_CONTRACT, outputNames } from "../policy/contract.ts";
import type { ParityComparison } from "../report/parity_document.ts";
import type { ParityResult } from "./compare_sides.ts";
import { emulatedFiles } from "./file_proof.ts";

/** Radians of a joint's target per unit of its action, where the actions are the Lite3's. */
export function radiansPerAction(actionSize: number): readonly number[] | undefined {
  const { joints, actionScale } = LITE3_CONTRACT;
  return joints.length === actionSize ? actionScale : undefined;
}

/** What `--json` says of a comparison, errors per sample left out. */
export function parityDocument(
  result: ParityResult,
): Omit<ParityComparison, "pass" | "gate" | "checks"> {
  const { samples, comparison, space } = result;
  const [a, b] = result.sides;
  const files = emulatedFiles(result);
  const { errors: _errors, samples: count, perOutput, worstSamples, ...statistics } = comparison;
  const radians = radiansPerAction(outputNames(a.actionSize).length);
  return {
    ...statistics,
    perOutput: perOutput.map((output, i) => {
      const scale = radians?.[i];
      if (scale === undefined) return output;
      return { ...output, radians: { mae: output.mae * scale, max: output.max * scale } };
    }),
    worstSamples: worstSamples.map((worst) => ({ ...worst, ...valuesOf(result, worst.sample) })),
    samples: count,
    ...(result.kinds === undefined ? {} : { kinds: [...result.kinds] }),
    ...(result.nonFinite && { nonFinite: result.nonFinite }),
    dataset: samples.label,
    space,
    requiredTolerance: {
      mae: comparison.mae,
      max: Math.max(comparison.max, ...(result.kinds ?? []).map(({ max }) => max)),
    },
    sides: { a: a.label, b: b.label },
    evidence: { a: a.evidence, b: b.evidence },
    ...((a.service ?? b.service) === undefined
      ? {}
      : { services: { ...(a.service && { a: a.service }), ...(b.service && { b: b.service }) } }),
    ...(files.length === 0 ? {} : { files }),
    ...(result.bisection === undefined ? {} : { bisection: result.bisection }),
    ...(result.closedLoop === undefined ? {} : { closedLoop: result.closedLoop }),
  };
}

/** One sample's observation, and its action on either side. */
function valuesOf({ samples, actions }: ParityResult, sample: number) {
  const row = (data: Float32Array): number[] => {
    const width = data.length / samples.rows;
    return [...data.subarray(sample * width, (sample + 1) * width)];
  };
  return { observation: row(samples.data), a: row(actions[0]), b: row(actions[1]) };
}
