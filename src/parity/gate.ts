/**
 * What a comparison must keep to pass: limits of its errors, and the evidence that it rests on.
 */

import * as v from "valibot";
import { errorQuantile } from "../compare/statistics.ts";
import { figure } from "../cli/output.ts";
import type { ParityCheck } from "../report/parity_document.ts";
import type { Arithmetic } from "../runtime/backend.ts";
import type { ParityResult } from "./compare_sides.ts";

/** At least this part of the errors must stay at or below the limit. */
export interface QuantileLimit {
  /** Above 0, below 1. */
  readonly quantile: number;
  readonly limit: number;
}

export interface Gate {
  readonly mae: number;
  readonly max?: number | undefined;
  readonly quantile?: QuantileLimit | undefined;
}

/** Evidence that can be asked for, the strongest first. */
export const REQUIRABLE = ["npu", "toolkit-simulator", "emulation"] as const;
export type Requirable = (typeof REQUIRABLE)[number];

/** `0.99=2e-3`: 99 % of all errors at most 0.002. */
export const quantileValue = (): v.GenericSchema<unknown, QuantileLimit> =>
  v.pipe(
    v.unknown(),
    v.transform((value): QuantileLimit => {
      const [, quantile, limit] = /^([\d.]+)=([\d.eE+-]+)$/.exec(String(value)) ?? [];
      return { quantile: Number(quantile), limit: Number(limit) };
    }),
    v.check(
      ({ quantile, limit }) => quantile > 0 && quantile < 1 && limit >= 0 && limit < Infinity,
      "needs a part between 0 and 1 and a limit, such as 0.99=2e-3",
    ),
  );

/**
 * Every limit that is set, beside what was found. MAE and quantile are those of plausible
 * observations, the largest error is that of all.
 */
export function gateChecks(
  { comparison, kinds = [] }: Pick<ParityResult, "comparison" | "kinds">,
  gate: Gate,
): ParityCheck[] {
  const hold = (
    name: string,
    found: number,
    limit: number | undefined,
    where = "",
  ): ParityCheck[] => {
    if (limit === undefined) return [];
    const pass = found <= limit;
    if (Number.isNaN(found)) {
      const failure = `${name} is not known: no sample has finite actions on both sides`;
      return [{ name, pass, failures: [failure], found, limit }];
    }
    const failures = pass ? [] : [`${name} is ${figure(found)}${where}, above ${figure(limit)}`];
    return [{ name, pass, failures, found, limit }];
  };
  const { mae, max, quantile } = gate;
  const [worst] = comparison.perOutput.toSorted((one, other) => other.mae - one.mae);
  const ofOutput = worst === undefined ? "" : ` (worst is ${worst.name} with ${figure(worst.mae)})`;
  const known = kinds.filter(({ max }) => !Number.isNaN(max));
  const [largest = comparison] = known.toSorted((one, other) => other.max - one.max);
  const ofKind =
    "kind" in largest && largest.kind !== "plausible"
      ? ` (${largest.kind}, sample ${largest.worst.sample})`
      : "";
  return [
    ...hold("MAE", comparison.mae, mae, ofOutput),
    ...hold("the largest error", largest.max, max, ofKind),
    ...(quantile === undefined
      ? []
      : hold(
          `the ${quantile.quantile} quantile of the errors`,
          errorQuantile(comparison, quantile.quantile),
          quantile.limit,
        )),
  ];
}

/** Why the evidence of these sides is less than what is required; nothing where it is enough. */
export function evidenceFailure(
  evidence: readonly Arithmetic[],
  required: Requirable | undefined,
): string | undefined {
  if (required === undefined) return undefined;
  const enough: readonly Arithmetic[] = REQUIRABLE.slice(0, REQUIRABLE.indexOf(required) + 1);
  if (evidence.some((one) => enough.includes(one))) return undefined;
  const found = [...new Set(evidence)].join(" and ");
  return `the evidence is ${found}, --require ${required} needs more`;
}
