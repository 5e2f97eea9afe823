/**
 * Rolls a policy out and keeps every observation it saw. Commands change often and cover what the
 * robot is driven with, episodes are short, and a fall begins the next one.
 */

import { Lite3Error } from "../base/errors.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { createRandom } from "../base/random.ts";
import { drawCommand } from "../environment/drawn_commands.ts";
import type { Environment } from "../environment/environment.ts";
import type { Actor } from "./policies.ts";

/** Seconds between commands, and seconds of an episode. */
const COMMAND_S = 2;
const EPISODE_S = 10;
export interface Rollout {
  /** Shape [samples, observationSize]; fewer rows after a failure. */
  readonly observations: Float32Array<ArrayBuffer>;
  readonly episodes: number;
  /** Episodes that the robot ended by falling. */
  readonly falls: number;
  /** What ended it early: a user's program failed. */
  readonly failure?: Lite3Error;
}

/** Never throws what happens on the way: observations that were seen are not lost. */
export async function rollOut(
  environment: Environment,
  actor: Actor,
  samples: number,
  seed: number,
  onSample: (done: number) => void,
  isInterrupted: () => boolean = () => false,
): Promise<Rollout> {
  const width = environment.observationSize;
  const observations = new Float32Array(samples * width);
  const action = new Float32Array(environment.actionSize);
  const random = createRandom(seed);
  const stepsPer = (seconds: number): number =>
    Math.max(1, Math.round((seconds * 1000) / environment.controlPeriodMs));
  let episodes = 0;
  let falls = 0;
  let step = 0;
  let observation = new Float32Array(width);
  let over = true;
  let seen = 0;
  try {
    for (let sample = 0; sample < samples; sample++) {
      if (isInterrupted()) {
        throw new Lite3Error("CHECK_FAILED", "Cannot record the whole set: it was interrupted");
      }
      const isNewEpisode = over || step === stepsPer(EPISODE_S);
      if (isNewEpisode || step % stepsPer(COMMAND_S) === 0) {
        await environment.setCommand?.(drawCommand(random));
      }
      if (isNewEpisode) {
        observation = Float32Array.from(await environment.reset(seed + episodes));
        await actor.reset?.();
        episodes++;
        step = 0;
      }
      observations.set(observation, sample * width);
      seen = sample + 1;
      await actor.act(observation, action);
      const result = await environment.step(action);
      observation.set(result.observation);
      over = result.terminated || result.truncated;
      falls += Number(result.terminated && result.info.ending !== undefined);
      step++;
      onSample(seen);
      if (sample % 256 === 0) await turnEventLoop();
    }
  } catch (failure) {
    if (!(failure instanceof Lite3Error)) throw failure;
    return { observations: observations.slice(0, seen * width), episodes, falls, failure };
  }
  return { observations, episodes, falls };
}
