/**
 * The episodes that both sides walk: commands, a push and ground, drawn by seed. An episode is the
 * same however many follow it.
 */

import { createRandom, type Random } from "../base/random.ts";
import { drawCommand } from "../environment/drawn_commands.ts";
import type { Terrain } from "../environment/lite3_model.ts";
import type { Velocity } from "../run_log/run_step.ts";

/** Seconds of an episode, and of each command in it. */
export const EPISODE_S = 8;
const COMMAND_S = 2;
/** One episode in so many has a step in its way, this high: the demo policy climbs 0.08 m. */
const STEP_EVERY = 4;
const STEP_HEIGHT_M = 0.05;
/** Toward the step, m/s: it is reached within two commands. */
const STEP_SPEED_MPS = [0.4, 0.8] as const;
/**
 * A push changes the velocity at once by so much, m/s, in any direction. Training pushes by up to
 * 1 m/s (legged_gym's `max_push_vel_xy`); up to 0.6 the demo policy does not fall, from 0.8 on it
 * does, and who falls is then chance more than skill.
 */
const PUSH_MPS = [0.3, 0.6] as const;
/** When, seconds: walking, and with time to recover or to fall. */
const PUSH_S = [2, 6] as const;

export interface Scenario {
  readonly seed: number;
  readonly terrain: Terrain;
  /** One after the other, each for `COMMAND_S`. */
  readonly commands: readonly Velocity[];
  readonly push: { readonly atS: number; readonly x: number; readonly y: number };
}

export function drawScenarios(episodes: number, seed: number): Scenario[] {
  const random = createRandom(seed);
  return Array.from({ length: episodes }, (_, i) => {
    const hasStep = i % STEP_EVERY === STEP_EVERY - 1;
    return {
      seed: seed + i,
      terrain: hasStep ? { kind: "step", heightM: STEP_HEIGHT_M } : { kind: "flat" },
      commands: drawCommands(random, hasStep),
      push: drawPush(random),
    };
  });
}

function drawCommands(random: Random, hasStep: boolean): Velocity[] {
  const commands = Array.from({ length: EPISODE_S / COMMAND_S }, () => drawCommand(random));
  if (!hasStep) return commands;
  const forward: Velocity = [random.between(...STEP_SPEED_MPS), 0, 0];
  return [forward, forward, ...commands.slice(2)];
}

function drawPush(random: Random): Scenario["push"] {
  const [speed, angle] = [random.between(...PUSH_MPS), random.between(0, 2 * Math.PI)];
  const atS = random.between(...PUSH_S);
  return { atS, x: speed * Math.cos(angle), y: speed * Math.sin(angle) };
}

/** The command that begins with this step; undefined where none does. */
export function commandAt(
  { commands }: Scenario,
  step: number,
  controlPeriodMs: number,
): Velocity | undefined {
  const hold = Math.round((COMMAND_S * 1000) / controlPeriodMs);
  return step % hold === 0 ? commands[step / hold] : undefined;
}
