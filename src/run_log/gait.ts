/**
 * Gait figures of a run, from its steps as they come: nothing is kept but sums and latencies.
 *
 * Velocity is held against its command only where the robot had a second to follow: not in the
 * first second, nor in the one after a command changed.
 */

import { quantileSorted } from "simple-statistics";
import { present } from "../base/assert.ts";
import type { Sensors, StepInfo } from "../environment/environment.ts";
import type { RunStep, Velocity } from "./run_step.ts";

/** Figures that an environment does not give the numbers for are null. */
export interface GaitFigures {
  readonly steps: number;
  readonly durationS: number;
  /** RMS of the planar velocity's distance from its command, m/s. */
  readonly velocityErrorMps: number | null;
  /** The same of the yaw rate, rad/s. */
  readonly yawErrorRadps: number | null;
  readonly heightM: { readonly min: number; readonly max: number; readonly mean: number } | null;
  readonly rollRmsDeg: number | null;
  readonly pitchRmsDeg: number | null;
  /** Mean speed along the ground of feet that stand on it, m/s. */
  readonly slipMps: number | null;
  /** Per foot FL FR HL HR, newtons. */
  readonly footForcePeakN: readonly number[] | null;
  /** |left − right| / (left + right) of the mean forces; 0 is even. */
  readonly footAsymmetry: number | null;
  /** Per joint, Nm. */
  readonly torqueRmsNm: readonly number[] | null;
  readonly torquePeakNm: readonly number[] | null;
  /** Mechanical work Σ|τ·ω| over weight times way; null where the robot hardly went anywhere. */
  readonly costOfTransport: number | null;
  /** Null where no period was kept. */
  readonly overruns: number | null;
  readonly latencyUs: { readonly p50: number; readonly p99: number; readonly max: number };
}

const GRAVITY_MPS2 = 9.81;
const SETTLING_S = 1;
/** Less way than this gives no cost of transport, metres. */
const WAY_MIN_M = 1;
/** A foot stands when the ground pushes with more than this, newtons. */
const CONTACT_FORCE_N = 1;
const LEFT_FEET = [0, 2] as const;
const RIGHT_FEET = [1, 3] as const;

export interface Gait {
  add(step: RunStep): void;
  /** Of what was added; at least one step. */
  figures(): GaitFigures;
}

export function createGait(massKg: number | undefined): Gait {
  const latencies: number[] = [];
  const pose = createPose();
  const feet = createFeet();
  const joints = createJoints();
  let overruns: number | null = null;
  let durationS = 0;
  return {
    add({ timeS, episode, info, command, sensors, latencyUs, overrun }) {
      const tookS = timeS - durationS;
      durationS = timeS;
      latencies.push(latencyUs);
      if (overrun !== null) overruns = (overruns ?? 0) + Number(overrun);
      pose.add(info, command, timeS, episode);
      feet.add(sensors, tookS, episode);
      joints.add(sensors, tookS);
    },
    figures() {
      const sorted = latencies.toSorted((a, b) => a - b);
      const { wayM, ...posed } = pose.figures();
      const { workJ, ...moved } = joints.figures();
      const hasWay = massKg !== undefined && wayM >= WAY_MIN_M && workJ > 0;
      return {
        steps: latencies.length,
        durationS,
        ...posed,
        ...feet.figures(),
        ...moved,
        costOfTransport: hasWay ? workJ / (massKg * GRAVITY_MPS2 * wayM) : null,
        overruns,
        latencyUs: {
          p50: quantileSorted(sorted, 0.5),
          p99: quantileSorted(sorted, 0.99),
          max: present(sorted.at(-1), "a step"),
        },
      };
    },
  };
}

/** Mean of squares, of values as they come. */
function createSquares() {
  let sum = 0;
  let count = 0;
  return {
    add(value: number): void {
      sum += value * value;
      count++;
    },
    rms: (): number | null => (count === 0 ? null : Math.sqrt(sum / count)),
  };
}

const degrees = (radians: number | null): number | null =>
  radians === null ? null : (radians * 180) / Math.PI;

function createPose() {
  const [roll, pitch, planar, yaw] = [1, 2, 3, 4].map(createSquares) as [
    ReturnType<typeof createSquares>,
    ReturnType<typeof createSquares>,
    ReturnType<typeof createSquares>,
    ReturnType<typeof createSquares>,
  ];
  const height = { min: Infinity, max: -Infinity, sum: 0, count: 0 };
  let wayM = 0;
  let place: readonly number[] | undefined;
  let asked: Velocity | undefined;
  let changedS = 0;
  let current = 0;
  return {
    add(info: StepInfo, command: Velocity | undefined, timeS: number, episode: number): void {
      const { position, attitude, velocity, yawRate } = info;
      if (episode !== current) [place, changedS, current] = [undefined, timeS, episode];
      if (asked !== undefined && command?.some((value, axis) => value !== asked?.[axis])) {
        changedS = timeS;
      }
      asked = command;
      if (position !== undefined) {
        const [x, y, z] = position;
        if (place !== undefined) wayM += Math.hypot(x - (place[0] ?? x), y - (place[1] ?? y));
        place = position;
        height.min = Math.min(height.min, z);
        height.max = Math.max(height.max, z);
        height.sum += z;
        height.count++;
      }
      if (attitude !== undefined) {
        roll.add(attitude[0]);
        pitch.add(attitude[1]);
      }
      if (command === undefined || timeS - changedS <= SETTLING_S) return;
      if (velocity !== undefined) {
        planar.add(Math.hypot(velocity[0] - command[0], velocity[1] - command[1]));
      }
      if (yawRate !== undefined) yaw.add(yawRate - command[2]);
    },
    figures: () => ({
      wayM,
      velocityErrorMps: planar.rms(),
      yawErrorRadps: yaw.rms(),
      heightM:
        height.count === 0
          ? null
          : { min: height.min, max: height.max, mean: height.sum / height.count },
      rollRmsDeg: degrees(roll.rms()),
      pitchRmsDeg: degrees(pitch.rms()),
    }),
  };
}

function createFeet() {
  const peaks: number[] = [];
  const sums: number[] = [];
  let slipM = 0;
  let stoodS = 0;
  let before: Sensors | undefined;
  let current = 0;
  return {
    add(sensors: Sensors | undefined, tookS: number, episode: number): void {
      if (episode !== current) [before, current] = [undefined, episode];
      for (const [foot, force] of (sensors?.footForce ?? []).entries()) {
        peaks[foot] = Math.max(peaks[foot] ?? 0, force);
        sums[foot] = (sums[foot] ?? 0) + force;
        const stood = (before?.footForce?.[foot] ?? 0) > CONTACT_FORCE_N;
        const [from, to] = [before?.footPosition, sensors?.footPosition];
        if (!stood || force <= CONTACT_FORCE_N || from === undefined || to === undefined) continue;
        const [x, y] = [foot * 3, foot * 3 + 1];
        slipM += Math.hypot(present(to[x]) - present(from[x]), present(to[y]) - present(from[y]));
        stoodS += tookS;
      }
      before = sensors;
    },
    figures() {
      const sum = (feet: readonly number[]): number =>
        feet.reduce((total, foot) => total + (sums[foot] ?? 0), 0);
      const [left, right] = [sum(LEFT_FEET), sum(RIGHT_FEET)];
      return {
        slipMps: stoodS > 0 ? slipM / stoodS : null,
        footForcePeakN: peaks.length > 0 ? peaks : null,
        footAsymmetry:
          peaks.length === 4 && left + right > 0 ? Math.abs(left - right) / (left + right) : null,
      };
    },
  };
}

function createJoints() {
  const squares: ReturnType<typeof createSquares>[] = [];
  const peaks: number[] = [];
  let workJ = 0;
  return {
    add(sensors: Sensors | undefined, tookS: number): void {
      for (const [joint, torque] of (sensors?.jointTorque ?? []).entries()) {
        squares[joint] ??= createSquares();
        squares[joint].add(torque);
        peaks[joint] = Math.max(peaks[joint] ?? 0, Math.abs(torque));
        workJ += Math.abs(torque * (sensors?.jointVelocity?.[joint] ?? 0)) * tookS;
      }
    },
    figures: () => ({
      workJ,
      torqueRmsNm: squares.length > 0 ? squares.map((one) => present(one.rms())) : null,
      torquePeakNm: peaks.length > 0 ? peaks : null,
    }),
  };
}
