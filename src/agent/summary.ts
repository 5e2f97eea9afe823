/**
 * What an episode came to: distance, velocity error, height, falls, overruns, latency.
 */

import { mean, quantileSorted } from "simple-statistics";
import { figure, metres, microseconds, table } from "../cli/output.ts";
import { assert, present } from "../base/assert.ts";
import { plural } from "../base/text.ts";
import type { StepInfo } from "../environment/environment.ts";
import type { Episode } from "../closed_loop/episode.ts";

export type Command = readonly [number, number, number];

export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** What every environment tells. */
export interface EpisodeFigures {
  readonly falls: number;
  readonly ending: string | null;
  readonly steps: number;
  readonly durationS: number;
  readonly rateHz: number;
  readonly totalReward: number;
  /** Ends by the environment that were no fall; each began another episode. */
  readonly restarts: number;
  /** Null where no period was kept. */
  readonly overruns: number | null;
  readonly latencyUs: Latency;
}

/** What an environment tells that knows where its robot is. */
export interface WalkFigures {
  /** Straight line from start to end, metres; negative when it ends behind its start. */
  readonly walkedM: number;
  /** The same as x (forward at the start) and y (left). */
  readonly displacementM: readonly [number, number];
  readonly command: Command;
  /** Means after the first second: vx, vy in m/s, wz in rad/s. */
  readonly velocity: Command;
  /** Root mean square of velocity − command after the first second. */
  readonly velocityError: Command;
  readonly heightM: { readonly min: number; readonly max: number; readonly mean: number };
  /** Feet on the ground in the last step; null where the environment does not say. */
  readonly feetDown: number | null;
}

export type WalkSummary = EpisodeFigures & WalkFigures;

/**
 * The document of `agent --json`; the names of its fields are a contract. Figures of a walk are
 * there when the environment reports position, velocity and yaw rate in every step of one episode.
 */
export type EpisodeSummary = EpisodeFigures & Partial<WalkFigures>;

/** @param command undefined where it changed: then there are no figures of one walk */
export function summarise(
  episode: Episode,
  command: Command | undefined,
  controlPeriodMs: number,
): EpisodeSummary {
  const { trace } = episode;
  const figures: EpisodeFigures = {
    falls: episode.fall === undefined ? 0 : 1,
    ending: episode.fall ?? null,
    steps: trace.length,
    durationS: (trace.length * controlPeriodMs) / 1000,
    rateHz: 1000 / controlPeriodMs,
    totalReward: episode.totalReward,
    restarts: episode.restarts,
    overruns: episode.overruns,
    latencyUs: summariseLatency(episode.latencyUs),
  };
  const isWalk = trace.every(
    ({ position, velocity, yawRate }) => position && velocity && yawRate !== undefined,
  );
  return isWalk && command !== undefined && episode.restarts === 0
    ? { ...walkFigures(trace, command), ...figures }
    : figures;
}

/** The summary of an episode of the Lite3, which knows where it is. */
export function summariseWalk(
  episode: Episode,
  command: Command,
  controlPeriodMs: number,
): WalkSummary {
  const summary = summarise(episode, command, controlPeriodMs);
  assert(summary.walkedM !== undefined, "the environment reports a walk");
  return summary as WalkSummary;
}

function walkFigures(trace: readonly StepInfo[], command: Command): WalkFigures {
  const first = present(trace[0], "the first step");
  const last = present(trace.at(-1), "the last step");
  const [x0, y0] = present(first.position);
  const [x1, y1] = present(last.position);
  const [dx, dy] = [x1 - x0, y1 - y0];
  const settled = trace.length > 1 ? trace.filter(({ timeS }) => timeS > 1) : trace;
  const moving = settled.length > 0 ? settled : trace;
  const heights = trace.map(({ position }) => present(position)[2]);
  return {
    walkedM: Math.hypot(dx, dy) * (dx < 0 ? -1 : 1),
    displacementM: [dx, dy],
    command,
    velocity: perAxis(moving, (values) => mean(values)),
    velocityError: perAxis(moving, (values, axis) =>
      Math.sqrt(mean(values.map((value) => (value - command[axis as 0 | 1 | 2]) ** 2))),
    ),
    heightM: { min: Math.min(...heights), max: Math.max(...heights), mean: mean(heights) },
    feetDown: last.footContact?.filter(Boolean).length ?? null,
  };
}

/** Quantiles of latencies in microseconds. */
export function summariseLatency(latencyUs: readonly number[]): Latency {
  assert(latencyUs.length > 0, "no latency was measured");
  const sorted = [...latencyUs].sort((a, b) => a - b);
  return {
    p50: quantileSorted(sorted, 0.5),
    p99: quantileSorted(sorted, 0.99),
    max: present(sorted.at(-1)),
  };
}

function perAxis(
  trace: readonly StepInfo[],
  reduce: (values: number[], axis: number) => number,
): Command {
  const axes = trace.map(({ velocity, yawRate }) => {
    const [vx, vy] = present(velocity);
    return [vx, vy, present(yawRate)] as const;
  });
  const value = (axis: 0 | 1 | 2): number =>
    reduce(
      axes.map((sample) => sample[axis]),
      axis,
    );
  return [value(0), value(1), value(2)];
}

function axes([vx, vy, wz]: Command): string {
  return `vx ${vx.toFixed(2)} m/s, vy ${vy.toFixed(2)} m/s, wz ${wz.toFixed(2)} rad/s`;
}

/** The summary as a table for a terminal. */
export function renderSummary(summary: EpisodeSummary, ranOn: string): string {
  const { latencyUs, restarts } = summary;
  const isWalk = summary.walkedM !== undefined;
  const rows: [string, string][] = [
    [
      "time",
      `${summary.durationS.toFixed(2)} s, ${summary.steps} steps at ${figure(summary.rateHz)} Hz`,
    ],
    ["falls", summary.falls === 0 ? "0" : `${summary.falls}: ${summary.ending}`],
    [
      "overruns",
      summary.overruns === null
        ? "not counted with --fast"
        : `${summary.overruns} of ${summary.steps}`,
    ],
    [
      "latency",
      `p50 ${microseconds(latencyUs.p50)}, p99 ${microseconds(latencyUs.p99)}, ` +
        `max ${microseconds(latencyUs.max)} (${ranOn})`,
    ],
  ];
  if (isWalk) {
    const [walked, ...more] = walkRows(summary as WalkSummary);
    rows.splice(1, 0, ...more);
    rows.unshift(present(walked));
  } else {
    rows.splice(1, 1, [
      "reward",
      `${figure(summary.totalReward)} in ${plural(restarts + 1, "episode")}`,
    ]);
    if (summary.falls > 0) rows.push(["falls", `1: ${summary.ending}`]);
  }
  return table(["episode", ""], rows);
}

function walkRows(summary: WalkSummary): [string, string][] {
  const { walkedM, displacementM, velocity, velocityError, heightM } = summary;
  const direction = walkedM < 0 ? "backward" : "forward";
  const [dx, dy] = displacementM;
  const after = summary.durationS > 1 ? " after 1 s" : "";
  return [
    [
      "walked",
      `${metres(Math.abs(walkedM))} ${direction} (x ${dx.toFixed(2)}, y ${dy.toFixed(2)})`,
    ],
    ["command", axes(summary.command)],
    ["velocity", axes(velocity)],
    ["velocity error", `${axes(velocityError)} (RMS${after})`],
    ["base height", `${heightM.min.toFixed(3)} to ${heightM.max.toFixed(3)} m`],
    ...(summary.feetDown === null
      ? []
      : [["feet down", `${summary.feetDown} of 4 at the end`] as [string, string]]),
  ];
}
