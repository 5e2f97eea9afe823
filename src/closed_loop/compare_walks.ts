/**
 * Does b walk as well as a? Non-inferiority: each figure may be worse by its margin, and the whole
 * interval must be within, so that too few episodes never pass. All figures must hold, and each is
 * held at the full level: that is the stricter way round, there is nothing to correct for.
 */

import { mean } from "simple-statistics";
import { assert, present } from "../base/assert.ts";
import { type Interval, meanInterval, proportionInterval } from "../compare/paired.ts";
import type { ClosedLoop, ClosedLoopFigure } from "../report/closed_loop_document.ts";
import { FIGURE_NAMES, type FigureName, WALK_FIGURES } from "./figures.ts";
import type { ClosedLoopPlan } from "./plan.ts";
import { EPISODE_S } from "./scenarios.ts";
import { describeTerrain, type Walk } from "./walk.ts";

/** Of confidence, both sides together: one chance in forty that a worse b passes a figure. */
export const LEVEL = 0.95;

const METHOD =
  "paired differences b − a with Student's t; falls by Newcombe's score interval for paired " +
  "proportions; figures other than falls and distance where neither side fell";

/** The document of both sides' walks through the same scenarios. */
export function compareWalks(
  plan: ClosedLoopPlan,
  a: readonly Walk[],
  b: readonly Walk[],
): ClosedLoop {
  const { seed, margins, scenarios } = plan;
  assert(a.length === scenarios.length && b.length === a.length && a.length > 0, "paired walks");
  const figures = FIGURE_NAMES.map((name) => compareFigure(name, margins[name], a, b));
  return {
    verdict: verdictOf(figures),
    environment: "lite3",
    episodes: scenarios.length,
    durationS: EPISODE_S,
    seed,
    method: METHOD,
    level: LEVEL,
    figures,
    runs: scenarios.map(({ terrain, push }, i) => ({
      terrain: describeTerrain(terrain),
      push,
      a: present(a[i]),
      b: present(b[i]),
    })),
  };
}

function compareFigure(
  name: FigureName,
  margin: number,
  a: readonly Walk[],
  b: readonly Walk[],
): ClosedLoopFigure {
  const { unit, worse, ofFalls } = WALK_FIGURES[name];
  const pairs = a.flatMap((walk, i) => {
    const other = present(b[i]);
    const [x, y] = [walk.figures[name], other.figures[name]];
    const fell = walk.ending !== null || other.ending !== null;
    return x === null || y === null || (fell && !ofFalls) ? [] : [{ x, y }];
  });
  const worsening =
    name === "falls"
      ? fallInterval(pairs)
      : meanInterval(
          pairs.map(({ x, y }) => (worse === "more" ? y - x : x - y)),
          LEVEL,
        );
  const meanOf = (side: "x" | "y"): number | null =>
    pairs.length === 0 ? null : mean(pairs.map((pair) => pair[side]));
  const verdict = judgeInterval(worsening, margin);
  return {
    name,
    unit,
    a: meanOf("x"),
    b: meanOf("y"),
    worsening,
    margin,
    pairs: pairs.length,
    verdict,
  };
}

function fallInterval(pairs: readonly { readonly x: number; readonly y: number }[]): Interval {
  const count = (x: number, y: number): number =>
    pairs.filter((pair) => pair.x === x && pair.y === y).length;
  const counts = {
    both: count(1, 1),
    onlyA: count(1, 0),
    onlyB: count(0, 1),
    neither: count(0, 0),
  };
  return proportionInterval(counts, LEVEL);
}

function judgeInterval(worsening: Interval | null, margin: number): ClosedLoopFigure["verdict"] {
  if (worsening === null) return "not shown";
  if (worsening.high < margin) return "as well";
  return worsening.low > margin ? "worse" : "not shown";
}

function verdictOf(figures: readonly ClosedLoopFigure[]): ClosedLoop["verdict"] {
  if (figures.some(({ verdict }) => verdict === "worse")) return "does not walk as well";
  return figures.every(({ verdict }) => verdict === "as well") ? "walks as well" : "not shown";
}
