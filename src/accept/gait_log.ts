/**
 * What the log of a run says of its gait, of the IMU and of the feet.
 */

import type { MeasuredOf } from "../report/accept_document.ts";
import { createGait } from "../run_log/gait.ts";
import { readRunLog } from "../run_log/read_run_log.ts";
import type { RunStep } from "../run_log/run_step.ts";

type Gait = MeasuredOf<"gait">;
export type GaitOfLog = Pick<Gait, "falls" | "ending" | "complete" | "figures" | "imu" | "series">;

/** Points of a plot: more than a page is wide would only be darker. */
const POINTS_MAX = 1_200;

/** Throws FormatError for what is no log of a run. */
export function gaitOfLog(path: string): GaitOfLog {
  // The mass and the number of steps are known only when all is read.
  let steps = 0;
  const { description } = readRunLog(path, () => steps++);
  const massKg = Number(description.massKg);
  const gait = createGait(massKg > 0 ? massKg : undefined);
  const imu = createImu();
  const series = createSeries(Math.ceil(steps / POINTS_MAX));
  const { events, complete } = readRunLog(path, (step) => {
    gait.add(step);
    imu.add(step);
    series.add(step);
  });
  const figures = gait.figures();
  const falls = events.filter(({ name }) => name === "fall");
  return {
    falls: falls.length,
    ending: falls[0]?.message ?? null,
    complete,
    figures: {
      ...figures,
      footForcePeakN: copy(figures.footForcePeakN),
      torqueRmsNm: copy(figures.torqueRmsNm),
      torquePeakNm: copy(figures.torquePeakNm),
    },
    imu: imu.figures(),
    series: series.points,
  };
}

const copy = (values: readonly number[] | null): number[] | null => values && [...values];

function createImu() {
  const squares: number[] = [];
  let count = 0;
  let peak = 0;
  return {
    add({ sensors }: RunStep): void {
      const { angularVelocity, linearAcceleration } = sensors ?? {};
      if (angularVelocity === undefined || linearAcceleration === undefined) return;
      for (const [axis, value] of angularVelocity.entries()) {
        squares[axis] = (squares[axis] ?? 0) + value * value;
      }
      peak = Math.max(peak, Math.hypot(...linearAcceleration));
      count++;
    },
    figures: () =>
      count === 0
        ? null
        : {
            angularVelocityRmsRadps: squares.map((sum) => Math.sqrt(sum / count)),
            accelerationPeakMps2: peak,
          },
  };
}

const degrees = (radians: number): number => (radians * 180) / Math.PI;

/** State at every so many steps; forces and torques as the largest of them. */
function createSeries(stride: number) {
  const points: Gait["series"] = {
    timeS: [],
    heightM: [],
    rollDeg: [],
    pitchDeg: [],
    forwardMps: [],
    commandedMps: [],
    footForceN: [],
    torqueNm: [],
  };
  let steps = 0;
  let feet: number[] = [];
  let torque: number | undefined;
  return {
    points,
    add({ timeS, info, command, sensors }: RunStep): void {
      for (const [foot, force] of (sensors?.footForce ?? []).entries()) {
        feet[foot] = Math.max(feet[foot] ?? 0, force);
      }
      for (const value of sensors?.jointTorque ?? []) {
        torque = Math.max(torque ?? 0, Math.abs(value));
      }
      steps++;
      if (steps % stride !== 0) return;
      points.timeS.push(timeS);
      const put = (values: number[], value: number | undefined): void => {
        if (value !== undefined) values.push(value);
      };
      put(points.heightM, info.position?.[2]);
      put(points.rollDeg, info.attitude && degrees(info.attitude[0]));
      put(points.pitchDeg, info.attitude && degrees(info.attitude[1]));
      put(points.forwardMps, info.velocity?.[0]);
      put(points.commandedMps, command?.[0]);
      put(points.torqueNm, torque);
      for (const [foot, force] of feet.entries()) (points.footForceN[foot] ??= []).push(force);
      feet = [];
      torque = undefined;
    },
  };
}
