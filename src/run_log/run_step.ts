/**
 * One control step of a run, as its log and its gait figures take it.
 */

import type { Sensors, StepInfo } from "../environment/environment.ts";

export type Velocity = readonly [number, number, number];

export interface RunStep {
  /** Since the run began, after the step: seconds of the policy. */
  readonly timeS: number;
  /** From 0; another begins where an environment ends one otherwise than by a fall. */
  readonly episode: number;
  /** vx, vy (m/s), wz (rad/s); undefined where the environment is not commanded. */
  readonly command: Velocity | undefined;
  /** What the policy was given and what it answered; the caller's, valid until the next step. */
  readonly observation: Float32Array;
  readonly action: Float32Array;
  readonly info: StepInfo;
  readonly sensors: Sensors | undefined;
  readonly latencyUs: number;
  /** Whether it was over its period; null where none is kept. */
  readonly overrun: boolean | null;
}
