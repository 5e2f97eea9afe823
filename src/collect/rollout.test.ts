import { describe, expect, test } from "bun:test";
import { Lite3Error } from "../base/errors.ts";
import type { Environment } from "../environment/environment.ts";
import type { Actor } from "./policies.ts";
import { rollOut } from "./rollout.ts";

interface Log {
  readonly seeds: (number | undefined)[];
  readonly commands: (readonly [number, number, number])[];
}

/**
 * Counts: its observation is [episode, step]; it falls after `fallAfter` steps. Like the real
 * ones it gives the same array each time.
 */
function counting(controlPeriodMs: number, fallAfter = Infinity): Environment & Log {
  const observation = new Float32Array(2);
  const seeds: Log["seeds"] = [];
  const commands: Log["commands"] = [];
  const see = (episode: number, step: number): Float32Array => {
    observation.set([episode, step]);
    return observation;
  };
  return {
    seeds,
    commands,
    name: "counting",
    observationSize: 2,
    actionSize: 1,
    controlPeriodMs,
    observationTerms: [{ name: "count", size: 2 }],
    reset(seed) {
      seeds.push(seed);
      return see(seeds.length, 0);
    },
    step() {
      const [episode = 0, step = 0] = observation;
      const terminated = step + 1 >= fallAfter;
      return {
        observation: see(episode, step + 1),
        reward: 0,
        terminated,
        truncated: false,
        info: terminated ? { timeS: 0, ending: "it fell" } : { timeS: 0 },
      };
    },
    setCommand: (command) => void commands.push(command),
    [Symbol.dispose]() {},
  };
}

/** `resets` are how many observations it had seen at each. */
function recording(): Actor & { readonly seen: number[][]; readonly resets: number[] } {
  const seen: number[][] = [];
  const resets: number[] = [];
  return {
    seen,
    resets,
    label: "recording",
    act: (observation) => void seen.push([...observation]),
    reset: () => void resets.push(seen.length),
    [Symbol.dispose]() {},
  };
}

const rows = (data: Float32Array): number[][] =>
  Array.from({ length: data.length / 2 }, (_, i) => [...data.subarray(i * 2, i * 2 + 2)]);
const ignore = (): void => {};

describe("rollOut()", () => {
  test("keeps the observations that were acted on, and a fall begins an episode", async () => {
    const environment = counting(20, 3);
    const actor = recording();
    const done: number[] = [];
    const result = await rollOut(environment, actor, 7, 10, (sample) => done.push(sample));
    const expected = [
      [1, 0],
      [1, 1],
      [1, 2],
      [2, 0],
      [2, 1],
      [2, 2],
      [3, 0],
    ];
    expect({ ...result, observations: rows(result.observations) }).toEqual({
      observations: expected,
      episodes: 3,
      falls: 2,
    });
    expect(actor.seen).toEqual(expected);
    expect({ done, seeds: environment.seeds, resets: actor.resets }).toEqual({
      done: [1, 2, 3, 4, 5, 6, 7],
      seeds: [10, 11, 12],
      resets: [0, 3, 6],
    });
  });

  test("keeps what was seen before a program of the user's failed", async () => {
    const failure = new Lite3Error("PROGRAM", "Cannot step: boom");
    const environment = counting(20);
    const { step } = environment;
    let steps = 0;
    environment.step = (action) => {
      if (++steps === 3) throw failure;
      return step(action);
    };
    const result = await rollOut(environment, recording(), 7, 0, ignore);
    expect({ ...result, observations: rows(result.observations) }).toEqual({
      observations: [
        [1, 0],
        [1, 1],
        [1, 2],
      ],
      episodes: 1,
      falls: 0,
      failure,
    });
  });

  test("ends episodes after 10 s and changes the command every 2 s, at any rate", async () => {
    for (const periodMs of [10, 20, 100]) {
      const environment = counting(periodMs);
      const samples = 25_000 / periodMs;
      const result = await rollOut(environment, recording(), samples, 0, ignore);
      expect({ episodes: result.episodes, falls: result.falls }).toEqual({ episodes: 3, falls: 0 });
      expect(environment.commands.length).toBe(13);
    }
  });

  test("draws commands in their ranges, some of them to stand, the same for a seed", async () => {
    const draw = async (seed: number) => {
      const environment = counting(1000);
      await rollOut(environment, recording(), 2000, seed, ignore);
      return environment.commands;
    };
    const commands = await draw(1);
    expect(commands.length).toBe(1000);
    for (const [vx, vy, wz] of commands) {
      expect([vx, vy, wz].every(Number.isFinite)).toBe(true);
      expect(vx).toBeWithin(-0.5, 0.8);
      expect(Math.abs(vy)).toBeLessThanOrEqual(0.4);
      expect(Math.abs(wz)).toBeLessThanOrEqual(0.8);
    }
    const standing = commands.filter((command) => command.every((value) => value === 0)).length;
    expect(standing).toBeWithin(120, 220);
    expect(await draw(1)).toEqual(commands);
    expect(await draw(2)).not.toEqual(commands);
  });
});
