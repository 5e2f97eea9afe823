/**
 * What an agent acts in: Gymnasium's meaning (`reset`, `step`, `terminated`, `truncated`), typed.
 *
 * `observation` arrays are owned by the environment and overwritten by the next `step`: copy what
 * must be kept.
 */

export interface StepResult {
  /** Shape [observationSize], before any normalizer. */
  readonly observation: Float32Array;
  readonly reward: number;
  /** The episode ended by itself; it was a fall if `info` has an `ending`. */
  readonly terminated: boolean;
  /** The episode was cut by a limit of the environment. */
  readonly truncated: boolean;
  readonly info: StepInfo;
}

/** What is worth plotting; an environment gives what it has. */
export interface StepInfo {
  /** Seconds since `reset`. */
  readonly timeS: number;
  /** Base position, world frame, metres: x forward, y left, z up. */
  readonly position?: readonly [number, number, number];
  /** Base velocity, body frame, m/s. */
  readonly velocity?: readonly [number, number, number];
  /** Roll, pitch, yaw in radians (R = Rz·Ry·Rx). */
  readonly attitude?: readonly [number, number, number];
  /** Yaw rate, body frame, rad/s. */
  readonly yawRate?: number;
  /** Ground contact per foot, FL FR HL HR. */
  readonly footContact?: readonly boolean[];
  /** How the robot fell, for a message; absent when an episode ended otherwise. */
  readonly ending?: string;
}

/** What the robot's sensors say after a step; an environment gives what it has. */
export interface Sensors {
  /** Of the base, body frame, rad/s. */
  readonly angularVelocity?: readonly number[];
  /** As an accelerometer has it: body frame, m/s², gravity's reaction included. */
  readonly linearAcceleration?: readonly number[];
  /** Per joint, in the order of the actions: rad, rad/s, Nm. */
  readonly jointPosition?: readonly number[];
  readonly jointVelocity?: readonly number[];
  readonly jointTorque?: readonly number[];
  /** Contact force per foot, newtons, FL FR HL HR. */
  readonly footForce?: readonly number[];
  /** x, y, z per foot in the world frame, metres, FL FR HL HR. */
  readonly footPosition?: readonly number[];
}

export interface ObservationPart {
  readonly name: string;
  readonly size: number;
}

export interface ActionBounds {
  readonly low: readonly number[];
  readonly high: readonly number[];
}

export interface Environment extends Disposable {
  readonly name: string;
  readonly observationSize: number;
  readonly actionSize: number;
  readonly controlPeriodMs: number;
  /** Names and widths of the observation's parts, in order; they add up to `observationSize`. */
  readonly observationTerms: readonly ObservationPart[];
  /** Limits of each action, where there are some; for drawing actions, not for clipping. */
  readonly actionBounds?: ActionBounds;
  /** Begins an episode; the same seed gives the same episode. */
  reset(seed?: number): Float32Array | Promise<Float32Array>;
  /** Acts for one control period. `action` has shape [actionSize]. */
  step(action: Float32Array): StepResult | Promise<StepResult>;
  /** Commanded velocity vx, vy (m/s), wz (rad/s), for environments that take one. */
  setCommand?(command: readonly [number, number, number]): void | Promise<void>;
  /** Knocks the robot: changes its velocity at once by x, y in the world frame, m/s. */
  push?(change: readonly [number, number]): void;
  /** For logs and gait figures; asked only where somebody wants to know. */
  sensors?(): Sensors;
  /** Of the robot, kilograms, for its cost of transport. */
  readonly massKg?: number;
  /** A digest of the episode so far, for environments that repeat theirs exactly. */
  trajectoryHash?(): string;
}
