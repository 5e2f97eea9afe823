/**
 * Statistics of each kind of observations. Samples whose actions are not finite on both sides are
 * left out of them, and are a failure of their own.
 */

import { present } from "../base/assert.ts";
import { finiteSamples } from "../compare/non_finite.ts";
import { compareActions, type Comparison, type ErrorStatistics } from "../compare/statistics.ts";
import type { Observations } from "../dataset/observations.ts";
import { takeRows } from "../dataset/rows.ts";
import { kindBlocks } from "../dataset/sample_kinds.ts";
import { outputNames } from "../policy/contract.ts";
import type { KindErrors } from "../report/parity_document.ts";

/** A comparison for each kind of rows, in their order; samples are counted within the kind. */
export function compareKinds(
  samples: Observations,
  [a, b]: readonly [Float32Array, Float32Array],
): Comparison[] {
  const width = a.length / samples.rows;
  return kindBlocks(samples).map(({ from, rows }) => {
    const block = (all: Float32Array) => all.subarray(from * width, (from + rows) * width);
    return compareFinite(block(a), block(b), outputNames(width));
  });
}

/** `compareActions()` of the samples that are finite; nothing is known where none is. */
function compareFinite(a: Float32Array, b: Float32Array, names: readonly string[]): Comparison {
  const width = names.length;
  const finite = finiteSamples(a, b, width);
  if (finite.length === a.length / width) return compareActions(a, b, names);
  if (finite.length === 0) return unknownComparison(names);
  const found = compareActions(takeRows(a, width, finite), takeRows(b, width, finite), names);
  const placed = <T extends { readonly sample: number }>(one: T): T => ({
    ...one,
    sample: present(finite[one.sample]),
  });
  return {
    ...found,
    worst: placed(found.worst),
    worstSamples: found.worstSamples.map(placed),
  };
}

/** NaN stands for what is not known, and is null in JSON. */
const UNKNOWN: ErrorStatistics = {
  mae: Number.NaN,
  rmse: Number.NaN,
  max: Number.NaN,
  quantiles: { p50: Number.NaN, p90: Number.NaN, p99: Number.NaN, p999: Number.NaN },
  cosine: Number.NaN,
  sqnrDb: Number.NaN,
};

function unknownComparison(names: readonly string[]): Comparison {
  return {
    ...UNKNOWN,
    samples: 0,
    perOutput: names.map((name) => ({ name, ...UNKNOWN })),
    worst: { sample: 0, output: present(names[0]), error: Number.NaN },
    worstSamples: [],
    errors: new Float64Array(),
  };
}

/** Of each kind for the document, where samples are counted over all kinds. */
export function describeKinds(
  samples: Observations,
  comparisons: readonly Comparison[],
): KindErrors[] {
  return kindBlocks(samples).map(({ kind, from }, i) => {
    const { samples: rows, mae, max, worst } = present(comparisons[i]);
    return { kind, samples: rows, mae, max, worst: { ...worst, sample: from + worst.sample } };
  });
}
