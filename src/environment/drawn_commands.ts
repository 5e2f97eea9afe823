/**
 * Commands as a robot is driven with them, drawn by seed: for sets of observations that cover what
 * it will see, and for episodes that two policies walk.
 */

import type { Random } from "../base/random.ts";

type Command = readonly [number, number, number];

/** Commands vx, vy (m/s), wz (rad/s): what the vendor's stick reaches, and turns. */
export const COMMAND_RANGE = { vx: [-0.5, 0.8], vy: [-0.4, 0.4], wz: [-0.8, 0.8] } as const;
/** One command in so many is to stand still. */
const STAND_EVERY = 6;

export function drawCommand(random: Random): Command {
  if (random.uniform() < 1 / STAND_EVERY) return [0, 0, 0];
  const { vx, vy, wz } = COMMAND_RANGE;
  return [random.between(...vx), random.between(...vy), random.between(...wz)];
}
