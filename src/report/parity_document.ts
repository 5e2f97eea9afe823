/**
 * What `parity --json` says, as a schema: the document that programs read and that the page and
 * the JUnit file are made of. `parity.schema.json` is the same for programs in other languages,
 * written by `bun run schema`.
 */

import * as v from "valibot";
import { KINDS } from "../dataset/sample_kinds.ts";
import { ARITHMETICS } from "../runtime/backend.ts";
import { closedLoopSchema } from "./closed_loop_document.ts";
import { aboutSchema } from "../wire/protocol.ts";

type DeepReadonly<T> = unknown extends T
  ? unknown
  : { readonly [K in keyof T]: DeepReadonly<T[K]> };

const text = v.string();
const texts = v.array(text);
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const numbers = v.array(v.number());
const evidence = v.picklist(ARITHMETICS);

/** Of no sample that is finite it is not known: NaN here, which is null in JSON. */
const figure = v.union([v.number(), v.nan()]);

const statistics = {
  mae: figure,
  rmse: figure,
  max: figure,
  quantiles: v.strictObject({ p50: figure, p90: figure, p99: figure, p999: figure }),
  cosine: figure,
  sqnrDb: v.nullable(figure),
};

const worst = { sample: count, output: text, error: figure };

/** Actions that are no numbers; their samples are in no figure. The first ten are listed. */
const nonFinite = v.strictObject({
  values: count,
  samples: count,
  first: v.array(
    v.strictObject({ side: v.picklist(["a", "b"]), sample: count, output: text, value: text }),
  ),
});

/** One thing that was checked, and why it fails. */
const check = v.strictObject({
  name: text,
  pass: v.boolean(),
  failures: texts,
  /** Of a limit: what was found, and the most that passes. */
  found: v.exactOptional(figure),
  limit: v.exactOptional(v.number()),
});

const parameter = v.strictObject({
  layer: text,
  parameter: v.picklist(["weight", "bias"]),
  dtype: v.picklist(["float16", "float32", "int8", "int16", "int32"]),
  offset: v.nullable(count),
  elements: count,
  differing: count,
  first: v.exactOptional(
    v.strictObject({ index: numbers, offset: count, file: v.number(), model: v.number() }),
  ),
  /** Null where the file has no such layer. */
  maxError: v.nullable(v.number()),
});

/** A .rknn that was emulated, and how far it is proven to be its model. */
const file = v.strictObject({
  file: text,
  model: text,
  weights: v.strictObject({ holds: v.boolean(), layers: v.array(parameter), unproven: texts }),
  contradictions: texts,
  platforms: texts,
  record: v.strictObject({
    record: v.picklist(["none", "own", "other-model", "other-file"]),
    stands: v.boolean(),
    failures: texts,
    warnings: texts,
  }),
  fromFile: texts,
  assumed: texts,
});

/** Errors of the values inside of both networks, in their order. */
const bisection = v.strictObject({
  samples: count,
  limit: v.number(),
  /** The first value whose MAE is above the limit; null if none is. */
  first: v.nullable(text),
  layers: v.array(
    v.strictObject({
      name: text,
      op: text,
      mae: figure,
      max: figure,
      sqnrDb: v.nullable(figure),
    }),
  ),
});

/** Errors on one kind of generated observations; `sample` counts all kinds' rows. */
const kind = v.strictObject({
  kind: v.picklist(KINDS),
  samples: count,
  mae: figure,
  max: figure,
  worst: v.strictObject(worst),
});

const comparison = v.strictObject({
  pass: v.boolean(),
  checks: v.array(check),
  gate: v.strictObject({
    mae: v.number(),
    max: v.exactOptional(v.number()),
    quantile: v.exactOptional(v.strictObject({ quantile: v.number(), limit: v.number() })),
  }),
  ...statistics,
  perOutput: v.array(
    v.strictObject({
      name: text,
      ...statistics,
      radians: v.exactOptional(v.strictObject({ mae: figure, max: figure })),
    }),
  ),
  worst: v.strictObject(worst),
  worstSamples: v.array(v.strictObject({ ...worst, observation: numbers, a: numbers, b: numbers })),
  samples: count,
  nonFinite: v.exactOptional(nonFinite),
  /** Where observations were generated; all else is of the plausible ones. */
  kinds: v.exactOptional(v.array(kind)),
  dataset: text,
  space: v.picklist(["raw", "network"]),
  requiredTolerance: v.strictObject({ mae: figure, max: figure }),
  sides: v.strictObject({ a: text, b: text }),
  evidence: v.strictObject({ a: evidence, b: evidence }),
  services: v.exactOptional(
    v.strictObject({ a: v.exactOptional(aboutSchema), b: v.exactOptional(aboutSchema) }),
  ),
  files: v.exactOptional(v.array(file)),
  bisection: v.exactOptional(bisection),
  closedLoop: v.exactOptional(closedLoopSchema),
});

/** The whole document: the first comparison, and all of them where there are several. */
export const parityReportSchema = v.strictObject({
  ...comparison.entries,
  comparisons: v.exactOptional(v.array(comparison)),
});

export type ParityComparison = DeepReadonly<v.InferOutput<typeof comparison>>;
export type ParityCheck = DeepReadonly<v.InferOutput<typeof check>>;
export type KindErrors = DeepReadonly<v.InferOutput<typeof kind>>;
export type Bisection = DeepReadonly<v.InferOutput<typeof bisection>>;
