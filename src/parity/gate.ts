/**
 * What a comparison must keep to pass: limits of its errors, and the evidence that it rests on.
 */

import * as v from "valibot";
import { type Comparison, errorQuantile } from "../compare/statistics.ts";
import { figure } from "../cli/output.ts";
import type { Arithmetic } from "../runtime/backend.ts";

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

/** Each limit that the errors do not keep, as a sentence. */
export function gateFailures(comparison: Comparison, gate: Gate): string[] {
  const failures: string[] = [];
  const hold = (what: string, found: number, limit: number | undefined): void => {
    if (limit === undefined || found <= limit) return;
    failures.push(`${what} is ${figure(found)}, above ${figure(limit)}`);
  };
  hold("MAE", comparison.mae, gate.mae);
  hold("the largest error", comparison.max, gate.max);
  if (gate.quantile !== undefined) {
    const { quantile, limit } = gate.quantile;
    hold(`the ${quantile} quantile of the errors`, errorQuantile(comparison, quantile), limit);
  }
  return failures;
}

/** Why the evidence of these sides is less than what is required; nothing where it is enough. */
export function evidenceFailure(
  evidence: readonly Arithmetic[],
  required: Requirable | undefined,
): string | undefined {
  if (required === undefined) return undefined;
  const enough: readonly Arithmetic[] = REQUIRABLE.slice(0, REQUIRABLE.indexOf(required) + 1);
  if (evidence.some((one) => enough.includes(one))) return undefined;
  return `the evidence is ${[...new Set(evidence)].join(" and ")}, --require ${required} needs more`;
}
