/**
 * The closed loop of two sides, as its document has it: paired episodes, and whether b walks as
 * well as a.
 */

import * as v from "valibot";

const text = v.string();
const number = v.number();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** One figure of the gait, over all pairs in which both sides have it. */
const figure = v.strictObject({
  name: text,
  unit: text,
  /** Of the episodes that count; null where none does. */
  a: v.nullable(number),
  b: v.nullable(number),
  /** By how much b is worse, as a mean of pairs with its interval; below 0 it is better. */
  worsening: v.nullable(v.strictObject({ mean: number, low: number, high: number })),
  /** The most that may be worse. */
  margin: number,
  pairs: count,
  verdict: v.picklist(["as well", "worse", "not shown"]),
});

/** One side's walk through one episode. */
const walk = v.strictObject({
  /** How the robot fell; null where it did not. */
  ending: v.nullable(text),
  /** By the figures' names; null where there is none, as a cost of transport without way. */
  figures: v.record(text, v.nullable(number)),
});

export const closedLoopSchema = v.strictObject({
  verdict: v.picklist(["walks as well", "does not walk as well", "not shown"]),
  environment: text,
  episodes: count,
  /** Of one episode. */
  durationS: number,
  seed: count,
  /** How the intervals are found, in words. */
  method: text,
  level: number,
  figures: v.array(figure),
  runs: v.array(
    v.strictObject({
      terrain: text,
      /** Seconds from the start, and the change of velocity, m/s. */
      push: v.strictObject({ atS: number, x: number, y: number }),
      a: walk,
      b: walk,
    }),
  ),
});

export type ClosedLoop = v.InferOutput<typeof closedLoopSchema>;
export type ClosedLoopFigure = ClosedLoop["figures"][number];

/** `b walks as well as a`, or what keeps that from being said. */
export function closedLoopSentence({ verdict }: Pick<ClosedLoop, "verdict">): string {
  if (verdict === "not shown") return "not shown that b walks as well as a: more episodes";
  return `b ${verdict} as a`;
}
