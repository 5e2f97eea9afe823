/**
 * The Lite3 on simulated ground, as an environment: MuJoCo at 1 kHz, the policy every few steps.
 *
 * Observations and actions are those of `LITE3_CONTRACT`. The same options and seed with the same
 * actions give the same episode to the last bit, on x64 and on aarch64: past the start there is
 * only arithmetic and MuJoCo's own WebAssembly, and `trajectoryHash` tells two episodes apart.
 */

import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { assert, present } from "../base/assert.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { createRandom } from "../base/random.ts";
import { LITE3_CONTRACT, observationSize } from "../policy/contract.ts";
import { attitudeOf, describeFall, rotationOf, toBody } from "./attitude.ts";
import type { Rotation } from "./attitude.ts";
import type { Environment, Sensors, StepInfo, StepResult } from "./environment.ts";
import { groundHeight, JOINT_COUNT } from "./lite3_model.ts";
import type { Terrain } from "./lite3_model.ts";
import { BASE_RATE_QVEL, JOINT_QPOS, JOINT_QVEL, Lite3Physics } from "./lite3_physics.ts";
import { loadMujoco } from "./mujoco.ts";
import { LYING_POSE, STAND_UP_KD, STAND_UP_KP, STAND_UP_S, standUpTargets } from "./stand_up.ts";

export type Command = readonly [vx: number, vy: number, wz: number];

export interface Lite3Options {
  readonly terrain: Terrain;
  /** `standing` is in the policy's default pose; `lying` gets up first, before time starts. */
  readonly start: "standing" | "lying";
  /** Policy steps per second; the period is rounded to whole milliseconds (83.3 Hz is 12 ms). */
  readonly rateHz: number;
  /** vx, vy (m/s), wz (rad/s), until `setCommand`. */
  readonly command: Command;
}

export interface Lite3 extends Environment {
  reset(seed?: number): Float32Array;
  step(action: Float32Array): StepResult;
  setCommand(command: Command): void;
  push(change: readonly [number, number]): void;
  sensors(): Sensors;
  /** SHA-256, hex, of `qpos` (19 float64, little-endian) at `reset` and after each step since. */
  trajectoryHash(): string;
}

const DEFAULTS: Lite3Options = {
  terrain: { kind: "flat" },
  start: "standing",
  rateHz: LITE3_CONTRACT.rateHz,
  command: [0, 0, 0],
};

/** A step's edge higher than the robot is a wall. */
const STEP_HEIGHT_MAX_M = 0.5;

/** Joint angles at the start differ by up to this from seed to seed, radians. Our choice. */
const JOINT_NOISE_RAD = 0.02;

/** Before getting up, the fall onto the belly with damped joints; after it, rest. Our choice. */
const LIE_DOWN_MS = 500;
const SETTLE_MS = 500;

/** Got up means a base this high, metres; it stands at 0.34. */
const STANDING_HEIGHT_MIN_M = 0.3;

/** A foot is on the ground when the ground pushes with more than this, newtons. */
const CONTACT_FORCE_N = 1;

/** What MuJoCo has where a model says nothing else. */
const GRAVITY_MPS2 = 9.81;

/** Width of the velocity reward, (m/s)², the usual one of velocity-tracking tasks. */
const REWARD_WIDTH = 0.25;

/** A Lite3 in MuJoCo. `reset` it before the first `step`. */
export async function createLite3(options: Partial<Lite3Options> = {}): Promise<Lite3> {
  const complete = { ...DEFAULTS, ...options };
  checkOptions(complete);
  return new SimulatedLite3(new Lite3Physics(await loadMujoco(), complete.terrain), complete);
}

class SimulatedLite3 implements Lite3 {
  readonly name = "lite3";
  readonly observationSize = observationSize(LITE3_CONTRACT);
  readonly actionSize = JOINT_COUNT;
  readonly observationTerms = LITE3_CONTRACT.observation;
  readonly controlPeriodMs: number;
  readonly massKg: number;
  readonly #physics: Lite3Physics;
  readonly #terrain: Terrain;
  readonly #start: Lite3Options["start"];
  readonly #observation = new Float32Array(this.observationSize);
  readonly #lastAction = new Float32Array(JOINT_COUNT);
  #command: Command;
  #steps = 0;
  #hash: Hash | undefined;

  constructor(physics: Lite3Physics, options: Lite3Options) {
    this.#physics = physics;
    this.massKg = physics.mass;
    this.#terrain = options.terrain;
    this.#start = options.start;
    this.#command = [...options.command];
    this.controlPeriodMs = Math.round(1000 / options.rateHz);
  }

  setCommand(command: Command): void {
    checkCommand(command);
    this.#command = [...command];
  }

  reset(seed = 0): Float32Array {
    checkSeed(seed);
    const random = createRandom(seed);
    const pose = this.#start === "lying" ? LYING_POSE : LITE3_CONTRACT.defaultPose;
    this.#physics.place(pose.map((angle) => angle + JOINT_NOISE_RAD * (2 * random.uniform() - 1)));
    if (this.#start === "lying") this.#standUp();
    this.#physics.setGains(LITE3_CONTRACT.kp, LITE3_CONTRACT.kd);
    this.#lastAction.fill(0);
    this.#steps = 0;
    this.#hash = createHash("sha256").update(this.#physics.qpos);
    return this.#observe(this.#rotation());
  }

  step(action: Float32Array): StepResult {
    assert(this.#hash, "reset() comes before step()");
    checkAction(action);
    this.#lastAction.set(action);
    const { defaultPose, actionScale } = LITE3_CONTRACT;
    for (let joint = 0; joint < JOINT_COUNT; joint++) {
      const offset = present(action[joint]) * present(actionScale[joint]);
      this.#physics.setTarget(joint, present(defaultPose[joint]) + offset);
    }
    this.#physics.advance(this.controlPeriodMs);
    this.#steps++;
    this.#hash.update(this.#physics.qpos);
    const rotation = this.#rotation();
    const info = this.#info(rotation);
    return {
      observation: this.#observe(rotation),
      reward: this.#reward(info),
      terminated: info.ending !== undefined,
      truncated: false,
      info,
    };
  }

  push(change: readonly [number, number]): void {
    assert(this.#hash, "reset() comes before push()");
    assert(change.every(Number.isFinite), "a push is two finite numbers");
    this.#physics.push(change);
  }

  sensors(): Sensors {
    const { qpos, qvel, qacc, torques, footForces, footPositions } = this.#physics;
    const [ax = 0, ay = 0, az = 0] = qacc;
    return {
      angularVelocity: Array.from(qvel.subarray(BASE_RATE_QVEL, JOINT_QVEL)),
      linearAcceleration: toBody(this.#rotation(), ax, ay, az + GRAVITY_MPS2),
      jointPosition: Array.from(qpos.subarray(JOINT_QPOS)),
      jointVelocity: Array.from(qvel.subarray(JOINT_QVEL)),
      jointTorque: Array.from(torques),
      footForce: Array.from(footForces),
      footPosition: Array.from(footPositions),
    };
  }

  trajectoryHash(): string {
    assert(this.#hash, "reset() comes before trajectoryHash()");
    return this.#hash.copy().digest("hex");
  }

  [Symbol.dispose](): void {
    this.#physics[Symbol.dispose]();
  }

  #standUp(): void {
    const physics = this.#physics;
    physics.setGains(0, STAND_UP_KD);
    physics.advance(LIE_DOWN_MS);
    physics.setGains(STAND_UP_KP, STAND_UP_KD);
    const start = physics.qpos.slice(JOINT_QPOS);
    const targets = new Float64Array(JOINT_COUNT);
    const durationMs = STAND_UP_S * 1000;
    for (let timeMs = 1; timeMs <= durationMs; timeMs++) {
      standUpTargets(start, timeMs / 1000, targets);
      for (const [joint, target] of targets.entries()) physics.setTarget(joint, target);
      physics.advance(1);
    }
    physics.advance(SETTLE_MS);
    const height = this.#height();
    const fall = describeFall(this.#rotation(), height);
    if (fall === undefined && height >= STANDING_HEIGHT_MIN_M) return;
    throw new Lite3Error(
      "CHECK_FAILED",
      `Cannot stand up: ${fall ?? `base ${height.toFixed(2)} m over the ground`}, ` +
        `need ${STANDING_HEIGHT_MIN_M} m; start it standing`,
    );
  }

  #observe(rotation: Rotation): Float32Array {
    const { qpos, qvel } = this.#physics;
    const offsets = LITE3_CONTRACT.defaultPose.map((angle, joint) => {
      return present(qpos[JOINT_QPOS + joint]) - angle;
    });
    const values: Record<string, ArrayLike<number>> = {
      base_angular_velocity: qvel.subarray(BASE_RATE_QVEL, JOINT_QVEL),
      projected_gravity: toBody(rotation, 0, 0, -1),
      command: this.#command,
      joint_position: offsets,
      joint_velocity: qvel.subarray(JOINT_QVEL),
      last_action: this.#lastAction,
    };
    let at = 0;
    for (const { name, size, scale } of this.observationTerms) {
      const term = present(values[name], name);
      assert(term.length === size);
      for (let index = 0; index < size; index++) {
        this.#observation[at++] = present(term[index]) * scale;
      }
    }
    return this.#observation;
  }

  #info(rotation: Rotation): StepInfo {
    const { qpos, qvel, footForces } = this.#physics;
    const [x = 0, y = 0, z = 0] = qpos;
    const [vx = 0, vy = 0, vz = 0, , , yawRate = 0] = qvel;
    const ending = describeFall(rotation, this.#height());
    return {
      timeS: (this.#steps * this.controlPeriodMs) / 1000,
      position: [x, y, z],
      velocity: toBody(rotation, vx, vy, vz),
      attitude: attitudeOf(rotation),
      yawRate,
      footContact: Array.from(footForces, (force) => force > CONTACT_FORCE_N),
      ...(ending === undefined ? {} : { ending }),
    };
  }

  /** exp(−|v* − v|² / width), forward and sideways. For plots; nothing is trained here. */
  #reward({ velocity = [0, 0, 0] }: StepInfo): number {
    const forward = this.#command[0] - velocity[0];
    const sideways = this.#command[1] - velocity[1];
    return Math.exp(-(forward * forward + sideways * sideways) / REWARD_WIDTH);
  }

  #rotation(): Rotation {
    const [, , , w = 1, x = 0, y = 0, z = 0] = this.#physics.qpos;
    return rotationOf(w, x, y, z);
  }

  /** Of the base over the ground beneath it, metres. */
  #height(): number {
    const [x = 0, , z = 0] = this.#physics.qpos;
    return z - groundHeight(this.#terrain, x);
  }
}

function checkOptions({ terrain, rateHz, command }: Lite3Options): void {
  checkCommand(command);
  if (!(rateHz >= 1 && rateHz <= 1000)) {
    throw new Lite3Error("USAGE", `Cannot make a Lite3: rate ${rateHz} Hz, need 1 to 1000 Hz`);
  }
  if (terrain.kind === "step" && !(terrain.heightM > 0 && terrain.heightM <= STEP_HEIGHT_MAX_M)) {
    throw new Lite3Error(
      "USAGE",
      `Cannot make a Lite3: step height ${terrain.heightM} m, need over 0 and ` +
        `at most ${STEP_HEIGHT_MAX_M} m`,
    );
  }
}

function checkCommand(command: Command): void {
  if (command.length === 3 && command.every(Number.isFinite)) return;
  throw new Lite3Error(
    "USAGE",
    `Cannot command velocity ${quote(command)}: need three finite numbers, ` +
      "vx and vy in m/s and wz in rad/s",
  );
}

function checkSeed(seed: number): void {
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) return;
  throw new Lite3Error("USAGE", `Cannot reset: seed ${seed}, need an integer from 0 to 2^32 - 1`);
}

function checkAction(action: Float32Array): void {
  if (action.length !== JOINT_COUNT) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot step the Lite3: action of ${action.length} numbers, need ${JOINT_COUNT}`,
    );
  }
  const bad = action.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new Lite3Error(
    "CHECK_FAILED",
    `Cannot step the Lite3: action[${bad}] is ${action[bad]}, need finite numbers`,
  );
}
