import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import type { Environment } from "../environment/environment.ts";
import { createLite3 } from "../environment/lite3.ts";
import type { Backend } from "../runtime/backend.ts";
import { createPolicy, type Policy } from "../runtime/policy.ts";
import { runEpisode } from "./episode.ts";

setDefaultTimeout(60_000);

const WARM_UP = 16;

interface Constant extends Policy {
  /** When each action was asked for, milliseconds; the warm-up's left out. */
  readonly askedMs: number[];
}

/** A policy that always acts the same, and takes `busyMs(step)` for it. */
function constantPolicy(value: number, busyMs: (step: number) => number = () => 0): Constant {
  let calls = 0;
  const askedMs: number[] = [];
  const backend: Backend = {
    name: "mlp",
    arithmetic: "cpu",
    subject: "file",
    inputs: [],
    outputs: [],
    observationSize: 45,
    actionSize: 12,
    createState: () => ({ tensors: [] }),
    infer(_observation, action) {
      const step = calls++ - WARM_UP;
      if (step >= 0) askedMs.push(performance.now());
      const until = performance.now() + (step < 0 ? 0 : busyMs(step));
      while (performance.now() < until);
      action.fill(value);
    },
    [Symbol.dispose]() {},
  };
  return { ...createPolicy(backend), askedMs };
}

const fast = { seed: 0, realTime: false } as const;
const gaps = (times: readonly number[]): number[] =>
  times.slice(1).map((time, i) => time - (times[i] as number));

describe("runEpisode()", () => {
  test("runs the steps it is asked for, one action and one latency each", async () => {
    using environment = await createLite3();
    const policy = constantPolicy(0);
    const done: number[] = [];
    const episode = await runEpisode({
      ...fast,
      environment,
      policy,
      steps: 120,
      onStep: (step) => done.push(step),
    });
    const { trace, latencyUs, ...rest } = episode;
    expect(rest).toEqual({
      overruns: null,
      totalReward: expect.any(Number) as number,
      restarts: 0,
      fall: undefined,
      interrupted: false,
    });
    expect(trace.map(({ timeS }) => timeS)).toEqual(
      Array.from({ length: 120 }, (_, i) => ((i + 1) * 20) / 1000),
    );
    expect(done).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
    expect([latencyUs.length, policy.askedMs.length]).toEqual([120, 120]);
    expect(latencyUs.every((latency) => latency > 0)).toBe(true);
  });

  test("ends when the robot falls, and says why", async () => {
    using environment = await createLite3();
    const { trace, fall, interrupted } = await runEpisode({
      ...fast,
      environment,
      policy: constantPolicy(-6),
      steps: 500,
    });
    expect(trace.length).toBeLessThan(500);
    expect({ fall, interrupted }).toEqual({ fall: trace.at(-1)!.ending, interrupted: false });
    expect(trace.slice(0, -1).every(({ ending }) => ending === undefined)).toBe(true);
    expect(fall).toMatch(/^pitch -\d\d\.\d°, limit 45°$/);
  });

  test("gives the same trajectory for the same seed, in real time or not", async () => {
    using environment = await createLite3();
    const run = async (seed: number, realTime: boolean): Promise<string> => {
      await runEpisode({ environment, policy: constantPolicy(0.5), steps: 10, seed, realTime });
      return environment.trajectoryHash();
    };
    const hash = await run(3, false);
    expect([await run(3, true), await run(3, false)]).toEqual([hash, hash]);
    expect(await run(4, false)).not.toBe(hash);
  });

  test("keeps to real time: the simulation is never ahead of the clock", async () => {
    using environment = await createLite3();
    const policy = constantPolicy(0, (step) => (step % 3) * 2);
    const started = performance.now();
    const { trace } = await runEpisode({
      environment,
      policy,
      steps: 50,
      seed: 0,
      realTime: true,
    });
    expect(performance.now() - started).toBeGreaterThanOrEqual(trace.at(-1)!.timeS * 1000);
  });

  test("counts overruns of a slow policy, and makes up for none of them", async () => {
    using environment = await createLite3();
    const policy = constantPolicy(0, () => 30);
    const steps = 12;
    const episode = await runEpisode({ environment, policy, steps, seed: 0, realTime: true });
    expect(episode.overruns).toBe(steps);
    // Each step waits for the next deadline that is still ahead, so it takes two periods here;
    // only the first and a late one can seem shorter.
    expect(policy.askedMs.at(-1)! - policy.askedMs[0]!).toBeGreaterThan((steps - 2) * 40);
    expect(Math.min(...episode.latencyUs)).toBeGreaterThanOrEqual(30_000);
  });

  test("does not burst after one long step", async () => {
    using environment = await createLite3();
    const policy = constantPolicy(0, (step) => (step === 4 ? 130 : 0));
    const episode = await runEpisode({
      environment,
      policy,
      steps: 15,
      seed: 0,
      realTime: true,
    });
    expect(episode.overruns).toBeGreaterThanOrEqual(1);
    const between = gaps(policy.askedMs);
    expect(between[4]).toBeGreaterThan(130);
    // A step may begin late and the next on time, but two never in one period.
    expect(policy.askedMs.at(-1)! - policy.askedMs[5]!).toBeGreaterThan(8.5 * 20);
  });

  test("stops after the step in which a signal came", async () => {
    using environment = await createLite3();
    for (const realTime of [true, false]) {
      const stop = { requested: false };
      const { trace, interrupted, fall } = await runEpisode({
        environment,
        policy: constantPolicy(0),
        steps: 1000,
        seed: 0,
        realTime,
        stop,
        onStep: (done) => {
          stop.requested = done === 7;
        },
      });
      expect({ steps: trace.length, interrupted, fall }).toEqual({
        steps: 7,
        interrupted: true,
        fall: undefined,
      });
    }
  });

  test("lets timers and signal handlers run, in real time or not", async () => {
    using environment = await createLite3();
    for (const realTime of [true, false]) {
      const stop = { requested: false };
      setTimeout(() => {
        stop.requested = true;
      }, 1);
      const { interrupted } = await runEpisode({
        environment,
        policy: constantPolicy(0),
        steps: 5000,
        seed: 0,
        realTime,
        stop,
      });
      expect(interrupted).toBe(true);
    }
  });

  test("refuses a policy of other sizes before the first step", async () => {
    using lite3 = await createLite3();
    const environment: Environment = Object.create(lite3, {
      observationSize: { value: 48 },
      reset: { value: () => expect.unreachable() },
    }) as Environment;
    const policy = constantPolicy(0);
    expect(await refusalOf(() => runEpisode({ ...fast, environment, policy, steps: 1 }))).toEqual({
      code: "CONFIG",
      message:
        "Cannot run this policy in lite3: it takes 45 numbers and gives 12, the environment " +
        "gives 48 and takes 12; choose another --model or --env",
    });
  });
});
