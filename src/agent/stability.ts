/**
 * The stability run of `agent --verdict`: commands that change, and a gait held against limits.
 */

import { figure, passed, table } from "../cli/output.ts";
import type { Environment } from "../environment/environment.ts";
import { createGait, type Gait, type GaitFigures } from "../run_log/gait.ts";
import type { Velocity } from "../run_log/run_step.ts";
import {
  GAIT_LIMITS,
  type GaitLimits,
  judgeGait,
  readGaitLimits,
  type VerdictRow,
} from "../run_log/verdict.ts";
import type { Episode } from "../closed_loop/episode.ts";

/**
 * What is asked of the robot, one after the other, over again: forward slow and fast, standing,
 * turning, sideways, backward and mixtures, within what the demo policy was trained for.
 */
const COMMANDS: readonly Velocity[] = [
  [0.5, 0, 0],
  [0.8, 0, 0],
  [0, 0, 0],
  [0, 0, 0.4],
  [0.5, 0.2, 0.4],
  [-0.3, 0, 0],
  [0, 0.2, 0],
  [0.2, 0, 0],
  [0, 0, -0.8],
  [0.8, 0, 0.8],
];
/** Time for each. */
const HOLD_MS = 5000;

export interface Verdict {
  readonly pass: boolean;
  readonly limits: readonly VerdictRow[];
  readonly gait: GaitFigures;
}

export interface Stability {
  readonly gait: Gait;
  /** For `runEpisode`; absent where one command was asked for, or the environment takes none. */
  readonly commandAt?: (step: number) => Velocity | undefined;
  judge(episode: Episode): Verdict;
}

/** With `--fast` no period is kept: overruns are judged only where the user's own limits do. */
const { overrun_share: _, ...UNTIMED_LIMITS } = GAIT_LIMITS;

export interface StabilityFlags {
  readonly command?: Velocity | undefined;
  /** YAML with limits that differ from the usual. */
  readonly limits?: string | undefined;
  readonly fast: boolean;
}

/** Reads the limits, before anything runs. */
export function createStability(
  environment: Environment,
  { command, limits: path, fast }: StabilityFlags,
): Stability {
  const usual: Partial<GaitLimits> = fast ? UNTIMED_LIMITS : GAIT_LIMITS;
  const limits = path === undefined ? usual : readGaitLimits(path, usual);
  const gait = createGait(environment.massKg);
  const hold = Math.max(1, Math.round(HOLD_MS / environment.controlPeriodMs));
  const commandAt = (step: number): Velocity | undefined =>
    step % hold === 0 ? COMMANDS[(step / hold) % COMMANDS.length] : undefined;
  const isVaried = command === undefined && environment.setCommand !== undefined;
  return {
    gait,
    ...(isVaried ? { commandAt } : {}),
    judge({ fall }) {
      const figures = gait.figures();
      const rows = judgeGait(figures, fall === undefined ? 0 : 1, limits);
      return { pass: rows.every(({ ok }) => ok), limits: rows, gait: figures };
    },
  };
}

const place = ({ where }: VerdictRow): string => (where === undefined ? "" : ` (${where})`);
const shown = ({ found }: VerdictRow): string => (found === null ? "not measured" : figure(found));

export function renderVerdict({ limits }: Verdict): string {
  const rows = limits.map((row) => [
    row.name,
    `${shown(row)}${place(row)}`,
    `${row.name.includes("_min_") ? "≥" : "≤"} ${figure(row.limit)}`,
    passed(row.ok),
  ]);
  const isLeftOut = !limits.some(({ name }) => name === "overrun_share");
  if (isLeftOut) rows.push(["overrun_share", "not measured", "", "left out by --fast"]);
  return table(["limit", "found", "allowed", ""], rows);
}

/** One line of what is out of its limits; undefined where nothing is. */
export function verdictFailure({ limits }: Verdict): string | undefined {
  const broken = limits.filter(({ ok }) => !ok);
  if (broken.length === 0) return undefined;
  const each = broken.map((row) => {
    const side = row.name.includes("_min_") ? "at least" : "at most";
    return `${row.name} is ${shown(row)}${place(row)}, ${side} ${figure(row.limit)}`;
  });
  return `the gait is out of its limits: ${each.join("; ")}`;
}
