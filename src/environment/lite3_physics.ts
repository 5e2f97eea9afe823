/**
 * The Lite3 in MuJoCo: its state as plain numbers, its joints as targets, time in milliseconds.
 * Knows neither policies nor episodes.
 */

import { assert, present } from "../base/assert.ts";
import { FOOT_RADIUS_M, JOINT_COUNT, LEG_COUNT, lite3Mjcf, TIMESTEP_S } from "./lite3_model.ts";
import type { Terrain } from "./lite3_model.ts";
import type { MjData, MjModel, Mujoco } from "./mujoco.ts";

/** Where the joints begin in `qpos` and `qvel`, and the base's rate in `qvel`. */
export const JOINT_QPOS = 7;
export const BASE_RATE_QVEL = 3;
export const JOINT_QVEL = 6;

/** Numbers per actuator in `actuator_biasprm`, of which 1 is −kp and 2 is −kd. */
const BIAS_STRIDE = 10;

/**
 * Targets are kept within ±this many radians. Motors are at their limit long before, so no motion
 * changes; but MuJoCo turns all motors off when it is given a control over 1e10.
 */
const TARGET_LIMIT_RAD = 1e6;

/** Live arrays in MuJoCo's memory. Each getter call makes new ones, so they are kept. */
interface Views {
  readonly qpos: Float64Array;
  readonly qvel: Float64Array;
  readonly ctrl: Float64Array;
  readonly sensors: Float64Array;
  readonly bias: Float64Array;
  readonly qacc: Float64Array;
  readonly torques: Float64Array;
  /** x, y, z per foot. */
  readonly feet: Float64Array;
}

export class Lite3Physics implements Disposable {
  readonly #mujoco: Mujoco;
  readonly #model: MjModel;
  readonly #data: MjData;
  #views: Views;
  #kp = 0;
  #disposed = false;

  constructor(mujoco: Mujoco, terrain: Terrain) {
    this.#mujoco = mujoco;
    const model = mujoco.MjModel.from_xml_string(lite3Mjcf({ terrain }));
    assert(model, "MuJoCo takes our own model");
    this.#model = model;
    this.#data = new mujoco.MjData(model);
    this.#views = readViews(this.#model, this.#data);
    assert(this.#live.qpos.length === JOINT_QPOS + JOINT_COUNT);
    assert(this.#live.sensors.length === LEG_COUNT);
  }

  /** Base x, y, z (m), quaternion w, x, y, z, then joint angles (rad). Live: read, do not keep. */
  get qpos(): Readonly<Float64Array> {
    return this.#live.qpos;
  }

  /** Base velocity in the world (m/s), rate in the body frame (rad/s), joint speeds (rad/s). */
  get qvel(): Readonly<Float64Array> {
    return this.#live.qvel;
  }

  /** Force on each foot, newtons, FL FR HL HR. */
  get footForces(): Readonly<Float64Array> {
    return this.#live.sensors;
  }

  /** Base acceleration in the world, m/s², without gravity, then angular and of the joints. */
  get qacc(): Readonly<Float64Array> {
    return this.#live.qacc;
  }

  /** Of the motors, Nm, per joint. */
  get torques(): Readonly<Float64Array> {
    return this.#live.torques;
  }

  /** x, y, z per foot in the world, metres. */
  get footPositions(): Readonly<Float64Array> {
    return this.#live.feet;
  }

  /** Kilograms. */
  get mass(): number {
    return (this.#model.body_mass as Float64Array).reduce((sum, mass) => sum + mass, 0);
  }

  /** Puts the robot at rest at the origin, level, its lowest foot touching flat ground. */
  place(joints: readonly number[]): void {
    const { qpos, feet } = this.#live;
    this.#mujoco.mj_resetData(this.#model, this.#data);
    qpos[2] = 0;
    qpos.set(joints, JOINT_QPOS);
    this.#mujoco.mj_forward(this.#model, this.#data);
    let lowest = present(feet[2]);
    for (let leg = 1; leg < LEG_COUNT; leg++) {
      lowest = Math.min(lowest, present(feet[leg * 3 + 2]));
    }
    qpos[2] = FOOT_RADIUS_M - lowest;
    this.#mujoco.mj_forward(this.#model, this.#data);
  }

  /** Position gain, Nm/rad, and damping, Nm·s/rad, of all joints; targets must be given again. */
  setGains(kp: number, kd: number): void {
    this.#kp = kp;
    const { bias, ctrl } = this.#live;
    for (let joint = 0; joint < JOINT_COUNT; joint++) {
      bias[joint * BIAS_STRIDE + 1] = -kp;
      bias[joint * BIAS_STRIDE + 2] = -kd;
    }
    ctrl.fill(0);
  }

  /** Angle a joint is to go to, radians, held until the next one. */
  setTarget(joint: number, target: number): void {
    const limited = Math.min(TARGET_LIMIT_RAD, Math.max(-TARGET_LIMIT_RAD, target));
    this.#live.ctrl[joint] = this.#kp * limited;
  }

  /** Changes the whole robot's velocity by x, y in the world, m/s, as a blow does. */
  push([x, y]: readonly [number, number]): void {
    const { qvel } = this.#live;
    qvel[0] = present(qvel[0]) + x;
    qvel[1] = present(qvel[1]) + y;
  }

  advance(milliseconds: number): void {
    assert(!this.#disposed, "the environment was disposed");
    const steps = milliseconds / (TIMESTEP_S * 1000);
    for (let step = 0; step < steps; step++) this.#mujoco.mj_step(this.#model, this.#data);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#data.delete();
    this.#model.delete();
  }

  /** Growing memory, for another model say, leaves old views empty. */
  get #live(): Views {
    assert(!this.#disposed, "the environment was disposed");
    if (this.#views.qpos.byteLength === 0) this.#views = readViews(this.#model, this.#data);
    return this.#views;
  }
}

function readViews(model: MjModel, data: MjData): Views {
  return {
    qpos: data.qpos,
    qvel: data.qvel,
    ctrl: data.ctrl,
    sensors: data.sensordata,
    bias: model.actuator_biasprm,
    qacc: data.qacc,
    torques: data.actuator_force,
    feet: data.site_xpos,
  };
}
