/**
 * For tests: the steps of a run with numbers that can be told apart.
 */

import type { RunStep } from "./run_step.ts";

/** Step `n` (from 1) of a run at 50 Hz; everything an environment can say, said. */
export function runStep(n: number, more: Partial<RunStep> = {}): RunStep {
  const per = (count: number, value: number): number[] =>
    Array.from({ length: count }, (_, i) => value + i);
  return {
    timeS: n / 50,
    episode: 0,
    command: [0.5, 0, -0.25],
    observation: Float32Array.from([n, 1 / 3, -1e-7]),
    action: Float32Array.from([Math.PI * n, -0.1]),
    info: {
      timeS: n / 50,
      position: [n / 100, 0, 0.32],
      velocity: [0.5, 0, 0],
      attitude: [0.01, -0.02, 0],
      yawRate: -0.25,
      footContact: [true, false, false, true],
    },
    sensors: {
      angularVelocity: [0, 0, -0.25],
      linearAcceleration: [0, 0, 9.81],
      jointPosition: per(12, 0),
      jointVelocity: per(12, 1),
      jointTorque: per(12, -6),
      footForce: [60, 0, 0, 60],
      footPosition: per(12, n),
    },
    latencyUs: 100 + n,
    overrun: n === 2,
    ...more,
  };
}
