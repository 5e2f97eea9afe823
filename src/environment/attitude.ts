/**
 * How the body lies in the world, from its quaternion, and when that counts as a fall.
 * Only `attitudeOf` and messages use trigonometry: what a policy sees and when an episode ends are
 * plain arithmetic, equal on every processor.
 */

/** Body to world, row by row. */
export type Rotation = readonly [...Vector, ...Vector, ...Vector];

type Vector = readonly [number, number, number];

const DEGREE = Math.PI / 180;

/**
 * Limits of roll and pitch, degrees: beyond them the vendor's controller gives up and damps the
 * joints (Lite3_rl_deploy@7871b47).
 */
export const ROLL_LIMIT_DEG = 30;
export const PITCH_LIMIT_DEG = 45;

/** tan² of the roll limit and sin² of the pitch limit, exact but for rounding: 1/3 and 1/2. */
const ROLL_TAN_SQUARED = 1 / 3;
const PITCH_SIN_SQUARED = 1 / 2;

/**
 * Least height of the base over the ground beneath it, metres. It stands at 0.34 and walks at 0.32;
 * under 0.17 the training of the demo policy calls it a fall.
 */
export const BASE_HEIGHT_MIN_M = 0.17;

/** Rotation of the unit quaternion w, x, y, z. */
export function rotationOf(w: number, x: number, y: number, z: number): Rotation {
  return [
    1 - 2 * (y * y + z * z),
    2 * (x * y - w * z),
    2 * (x * z + w * y),
    2 * (x * y + w * z),
    1 - 2 * (x * x + z * z),
    2 * (y * z - w * x),
    2 * (x * z - w * y),
    2 * (y * z + w * x),
    1 - 2 * (x * x + y * y),
  ];
}

/** A vector of the world in the body frame: Rᵀ·v. */
export function toBody(r: Rotation, x: number, y: number, z: number): Vector {
  return [
    r[0] * x + r[3] * y + r[6] * z,
    r[1] * x + r[4] * y + r[7] * z,
    r[2] * x + r[5] * y + r[8] * z,
  ];
}

/** Roll, pitch, yaw in radians, R = Rz·Ry·Rx. For reports: atan2 differs between libraries. */
export function attitudeOf(r: Rotation): Vector {
  return [
    Math.atan2(r[7], r[8]),
    Math.atan2(-r[6], Math.sqrt(r[7] * r[7] + r[8] * r[8])),
    Math.atan2(r[3], r[0]),
  ];
}

/** Why this is a fall, or undefined. `height` is of the base over the ground under it, metres. */
export function describeFall(r: Rotation, height: number): string | undefined {
  if (!Number.isFinite(height + r[8])) return "the simulation diverged";
  const [roll, pitch] = attitudeOf(r);
  if (r[8] <= 0 || r[7] * r[7] > ROLL_TAN_SQUARED * r[8] * r[8]) {
    return `roll ${degrees(roll)}, limit ${ROLL_LIMIT_DEG}°`;
  }
  if (r[6] * r[6] > PITCH_SIN_SQUARED) return `pitch ${degrees(pitch)}, limit ${PITCH_LIMIT_DEG}°`;
  if (height < BASE_HEIGHT_MIN_M) {
    return `base ${height.toFixed(3)} m over the ground, limit ${BASE_HEIGHT_MIN_M} m`;
  }
  return undefined;
}

function degrees(radians: number): string {
  return `${(radians / DEGREE).toFixed(1)}°`;
}
