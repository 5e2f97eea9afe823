/**
 * How the Lite3 gets up from the floor, as the vendor's controller (Lite3_rl_deploy@7871b47) does:
 * legs folded under the hips first, then stretched, each in 1.5 s along a cubic.
 */

import { assert, present } from "../base/assert.ts";
import { JOINT_COUNT } from "./lite3_model.ts";

/** Gains, Nm/rad and Nm·s/rad. */
export const STAND_UP_KP = 100;
export const STAND_UP_KD = 2.5;

/** The whole movement, seconds. */
export const STAND_UP_S = 3;

/** Height of the hips over the feet after the first and the second half, metres. */
const FOLDED_HEIGHT_M = 0.12;
const STANDING_HEIGHT_M = 0.33;

/** Thigh and shank as the vendor's inverse kinematics have them, metres. */
const THIGH_M = 0.2;
const SHANK_M = 0.21;

/** Lying on the floor, legs folded: the vendor simulator's start, radians. */
export const LYING_POSE = allLegs([0, -1.35453, 2.54948]);

const FOLDED_POSE = allLegs(legPose(FOLDED_HEIGHT_M));
const STANDING_POSE = allLegs(legPose(STANDING_HEIGHT_M));

/**
 * HipX, HipY and Knee, radians, that put the foot `height` metres straight under the hip: two sides
 * of a triangle and its base. Rounded to 1e-6 rad, since acos differs in its last digit between
 * libraries, and an episode must not.
 */
export function legPose(height: number): [number, number, number] {
  assert(height > SHANK_M - THIGH_M && height < SHANK_M + THIGH_M, "the leg reaches that height");
  const hip = Math.acos(angleCosine(height, THIGH_M, SHANK_M));
  const knee = Math.PI - Math.acos(angleCosine(THIGH_M, SHANK_M, height));
  return [0, -round(hip), round(knee)];
}

/** Writes the joint targets `timeS` seconds into the movement; `start` is where it began, rad. */
export function standUpTargets(
  start: ArrayLike<number>,
  timeS: number,
  targets: Float64Array,
): void {
  const half = STAND_UP_S / 2;
  const folding = timeS < half;
  const from = folding ? start : FOLDED_POSE;
  const to = folding ? FOLDED_POSE : STANDING_POSE;
  const part = Math.min(1, folding ? timeS / half : timeS / half - 1);
  const blend = part * part * (3 - 2 * part);
  for (let joint = 0; joint < JOINT_COUNT; joint++) {
    const begin = present(from[joint]);
    targets[joint] = begin + (present(to[joint]) - begin) * blend;
  }
}

/** Cosine of the angle between sides `a` and `b` of a triangle, opposite of `c`. */
function angleCosine(a: number, b: number, c: number): number {
  return (a * a + b * b - c * c) / (2 * a * b);
}

function round(radians: number): number {
  return Math.round(radians * 1e6) / 1e6;
}

function allLegs(pose: readonly number[]): readonly number[] {
  return Array.from({ length: JOINT_COUNT }, (_, joint) => present(pose[joint % pose.length]));
}
