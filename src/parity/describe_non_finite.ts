/**
 * Actions that are not finite, in a sentence.
 */

import { present } from "../base/assert.ts";
import { plural } from "../base/text.ts";
import type { NonFiniteActions } from "../compare/non_finite.ts";
import type { Observations } from "../dataset/observations.ts";
import { kindBlocks } from "../dataset/sample_kinds.ts";

/** The first one, and how many there are. */
export function describeNonFinite(
  { first: [worst], values, samples }: NonFiniteActions,
  [a, b]: readonly [{ readonly label: string }, { readonly label: string }],
  observations: Pick<Observations, "rows" | "kinds">,
): string {
  const { side, sample, output, value } = present(worst);
  const { kind = "plausible" } =
    kindBlocks(observations).findLast(({ from }) => from <= sample) ?? {};
  const ofKind = kind === "plausible" ? "" : ` (${kind})`;
  const { label } = side === "a" ? a : b;
  return (
    `${label} gives ${value} for sample ${sample}${ofKind}, ${output}: ` +
    `${plural(values, "action")} in ${plural(samples, "sample")} not finite, ` +
    "which no figure is of"
  );
}
