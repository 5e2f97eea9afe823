/**
 * The blueprint's `example_dummy_policy`, in Python and in TypeScript: observations in, seeded
 * random actions out. `lite3rl collect` takes either; a policy of one's own has the same form.
 */

import type { ActorSizes } from "./actor_critic.ts";

export function pythonPolicy({ observationSize, actionSize }: ActorSizes): string {
  return `"""A policy for lite3rl collect --policy example_dummy_policy:RandomPolicy

It shows the form, and stirs the joints. A calibration set needs what the robot will see: write
your own controller in its place, or give collect the trained policy.
"""

import random


class RandomPolicy:
    """Uniform actions within -1..1, the same ones for the same seed."""

    def __init__(self, obs_dim=${observationSize}, act_dim=${actionSize}, seed=0):
        self.act_dim = act_dim
        self.random = random.Random(seed)

    def act(self, obs):
        """One action (act_dim numbers) for one observation (obs_dim numbers)."""
        return [self.random.uniform(-1.0, 1.0) for _ in range(self.act_dim)]
`;
}

export function typescriptPolicy({ actionSize }: ActorSizes): string {
  return `/**
 * A policy for lite3rl collect --policy ./example_dummy_policy.ts
 *
 * It shows the form, and stirs the joints. A calibration set needs what the robot will see: write
 * your own controller in its place, or give collect the trained policy.
 */

const ACTION_SIZE = ${actionSize};
const SEED = 0;

/** Uniform actions within -1..1, the same ones for the same seed. */
export default class RandomPolicy {
  private state = SEED;

  /** One action for one observation. */
  act(_observation: Float32Array): Float32Array {
    return Float32Array.from({ length: ACTION_SIZE }, () => 2 * this.uniform() - 1);
  }

  /** Mulberry32, by Tommy Ettinger: 32 bits of state, enough for an example. */
  private uniform(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}
`;
}
