/**
 * A closed loop in words: its figures as a table, its verdict, and why it is no better.
 */

import { plural } from "../base/text.ts";
import { figure, passed, table } from "../cli/output.ts";
import {
  type ClosedLoop,
  type ClosedLoopFigure,
  closedLoopSentence,
} from "../report/closed_loop_document.ts";
import { EPISODES_MAX } from "./plan.ts";

/** The figures and the verdict, as a person reads them. */
export function renderClosedLoop(closedLoop: ClosedLoop): string {
  const { figures, episodes, durationS, environment, seed, level, verdict } = closedLoop;
  const interval = `${level * 100} % interval`;
  const columns = ["a", "b", "worse by", interval, "margin"];
  const number = (value: number | null | undefined): string =>
    value === null || value === undefined ? "" : figure(value);
  const rows = figures.map(({ name, a, b, worsening, margin, verdict: found }) => [
    name,
    number(a),
    number(b),
    number(worsening?.mean),
    worsening === null ? "" : `${figure(worsening.low)} to ${figure(worsening.high)}`,
    number(margin),
    found,
  ]);
  return [
    `closed loop: ${plural(episodes, "episode")} of ${durationS} s in ${environment}, the same ` +
      `commands, pushes and ground for both (seed ${seed})`,
    "",
    table(["figure", ...columns, ""], rows, columns),
    "",
    `${closedLoopSentence(closedLoop)}: ${passed(verdict === "walks as well")}`,
  ].join("\n");
}

/** Why a figure is not as well; undefined where it is. */
export function figureFailure(
  found: ClosedLoopFigure,
  { level, episodes, verdict: all }: Pick<ClosedLoop, "level" | "episodes" | "verdict">,
): string | undefined {
  const { name, unit, worsening, margin, verdict, pairs } = found;
  if (verdict === "as well") return undefined;
  if (worsening === null) {
    return `${name} is not shown: ${plural(pairs, "pair")} of episodes to compare`;
  }
  const { mean, low, high } = worsening;
  const ofUnit = (value: number): string => `${figure(value)}${unit === "" ? "" : ` ${unit}`}`;
  const against = `(${level * 100} %: ${figure(low)} to ${figure(high)}), margin ${figure(margin)}`;
  if (verdict === "worse") return `${name} is worse by ${ofUnit(mean)} ${against}`;
  const sentence = `${name} may be worse by up to ${ofUnit(high)} ${against}: not shown`;
  if (all === "does not walk as well") return sentence;
  const needed = episodesNeeded(found, episodes);
  return `${sentence}, ${needed === undefined ? "more episodes" : `--episodes ${needed} may tell`}`;
}

/**
 * So many that the interval would be within the margin, were the mean the true one. Its width goes
 * with the root of their number; where nobody fell, the odds of its end go with the number.
 */
function episodesNeeded(
  { name, a, b, worsening, margin }: ClosedLoopFigure,
  episodes: number,
): number | undefined {
  if (worsening === null || worsening.mean >= margin) return undefined;
  const { mean, high } = worsening;
  const odds = (share: number): number => share / (1 - share);
  const isFallFree = name === "falls" && a === 0 && b === 0;
  const times = isFallFree ? odds(high) / odds(margin) : ((high - mean) / (margin - mean)) ** 2;
  const needed = Math.ceil((1.1 * times * episodes) / 10) * 10;
  return needed > episodes && needed <= EPISODES_MAX ? needed : undefined;
}
