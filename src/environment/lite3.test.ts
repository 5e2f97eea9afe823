import { describe, expect, test } from "bun:test";
import { LITE3_CONTRACT } from "../policy/contract.ts";
import type { StepResult } from "./environment.ts";
import { createLite3 } from "./lite3.ts";
import type { Lite3, Lite3Options } from "./lite3.ts";

/**
 * Trajectories of 8 s at 50 Hz under `scriptedAction`, as made on x64 and on aarch64 (under qemu)
 * with MuJoCo 3.14.0. They change with MuJoCo, the model and the start of an episode: when one
 * does, the changelog says so.
 */
const GOLDEN_STANDING = "3a87a31b5e1cfc2f8d30104d1535551a31fd5eb0234ea7217825e6d901e7ac8f";
const GOLDEN_LYING = "1b0f52313d13e552e2d010cbcf14e83dc21c8600791ce8c203a0f17d2e95322d";

const ZERO = new Float32Array(12);

/** Triangle waves between ±1, each joint with its own period: rational arithmetic only. */
function scriptedAction(step: number): Float32Array {
  return Float32Array.from(ZERO, (_, joint) => {
    const period = 23 + joint;
    const phase = ((step + 7 * joint) % period) / period;
    return 4 * Math.abs(phase - 0.5) - 1;
  });
}

function runScript(environment: Lite3, steps: number, seed = 0): string {
  environment.reset(seed);
  for (let step = 0; step < steps; step++) environment.step(scriptedAction(step));
  return environment.trajectoryHash();
}

function hold(environment: Lite3, action: Float32Array, seconds: number): StepResult {
  const steps = Math.round((seconds * 1000) / environment.controlPeriodMs);
  let result = environment.step(action);
  for (let step = 1; step < steps && !result.terminated; step++) result = environment.step(action);
  return result;
}

describe("createLite3()", () => {
  test("describes itself by the contract", async () => {
    using lite3 = await createLite3({ rateHz: 83.3 });
    expect(lite3.observationTerms.map(({ name, size }) => [name, size])).toEqual([
      ["base_angular_velocity", 3],
      ["projected_gravity", 3],
      ["command", 3],
      ["joint_position", 12],
      ["joint_velocity", 12],
      ["last_action", 12],
    ]);
    const { name, observationSize, actionSize, controlPeriodMs } = lite3;
    expect({ name, observationSize, actionSize, controlPeriodMs }).toEqual({
      name: "lite3",
      observationSize: 45,
      actionSize: 12,
      controlPeriodMs: 12,
    });
  });

  const refused: readonly [Partial<Lite3Options>, string][] = [
    [{ rateHz: 0 }, "Cannot make a Lite3: rate 0 Hz, need 1 to 1000 Hz"],
    [{ rateHz: Number.NaN }, "Cannot make a Lite3: rate NaN Hz, need 1 to 1000 Hz"],
    [
      { terrain: { kind: "step", heightM: 0.6 } },
      "Cannot make a Lite3: step height 0.6 m, need over 0 and at most 0.5 m",
    ],
    [
      { command: [0, Number.NaN, 0] },
      'Cannot command velocity "0,NaN,0": need three finite numbers, ' +
        "vx and vy in m/s and wz in rad/s",
    ],
  ];
  for (const [options, message] of refused) {
    test(`refuses ${JSON.stringify(options)}`, async () => {
      await expect(createLite3(options)).rejects.toThrow(message);
    });
  }
});

describe("reset()", () => {
  test("stands level and still in the default pose but for the noise", async () => {
    using lite3 = await createLite3({ command: [0.5, -0.25, 0.125] });
    const observation = lite3.reset(3);
    const joints = observation.slice(9, 21);
    expect(
      [...observation.slice(0, 9), ...observation.slice(21)].map((value) => value + 0),
    ).toEqual([0, 0, 0, 0, 0, -1, 0.5, -0.25, 0.125, ...Array<number>(24).fill(0)]);
    expect(joints.every((offset) => Math.abs(offset) <= 0.02)).toBe(true);
    expect(new Set(joints).size).toBe(12);
  });

  test("gives the same episode for the same seed, another for another", async () => {
    using lite3 = await createLite3();
    using other = await createLite3();
    const hash = runScript(lite3, 20, 5);
    expect(runScript(lite3, 20, 5)).toBe(hash);
    expect(runScript(other, 20, 5)).toBe(hash);
    expect(runScript(other, 20, 6)).not.toBe(hash);
  });

  test("gets up when lying, and time starts then", async () => {
    using lite3 = await createLite3({ start: "lying" });
    const observation = lite3.reset();
    expect(observation.slice(33)).toEqual(ZERO);
    expect(Math.max(...observation.slice(0, 3).map(Math.abs))).toBeLessThan(0.001);
    expect(observation[5]).toBeLessThan(-0.999);
    const { info } = lite3.step(ZERO);
    expect(info.timeS).toBe(0.02);
    expect(info.position![2]).toBeWithin(0.31, 0.36);
    expect(info.footContact).toEqual([true, true, true, true]);
  });

  test("refuses a seed that is no 32-bit number", async () => {
    using lite3 = await createLite3();
    expect(() => lite3.reset(-1)).toThrow(
      "Cannot reset: seed -1, need an integer from 0 to 2^32 - 1",
    );
  });
});

describe("step()", () => {
  test("answers in the terms of the contract", async () => {
    using lite3 = await createLite3({ rateHz: 83.3 });
    lite3.reset();
    lite3.setCommand([0.1, 0.2, 0.3]);
    const action = Float32Array.from(ZERO, (_, joint) => (joint === 0 ? 2 : joint / 64));
    const result = hold(lite3, action, 0.12);
    const observation = [...result.observation];
    const [roll, pitch] = result.info.attitude!;
    expect(observation.slice(3, 6).map((value) => value.toFixed(5))).toEqual(
      [Math.sin(pitch), -Math.sin(roll) * Math.cos(pitch), -Math.cos(roll) * Math.cos(pitch)].map(
        (value) => value.toFixed(5),
      ),
    );
    expect(observation[2]).toBe(Math.fround(result.info.yawRate! * 0.25));
    expect(observation.slice(6, 9)).toEqual([0.1, 0.2, 0.3].map(Math.fround));
    expect(observation[9]).toBeWithin(0.1, 0.3); // The first HipX went to about 2 · 0.125 rad.
    expect(observation.slice(33)).toEqual([...action]);
    expect(result.info.timeS).toBe(0.12);
    expect(result.truncated).toBe(false);
    expect(LITE3_CONTRACT.actionScale[0]).toBe(0.125);
  });

  test("stands on four feet when the actions are zero", async () => {
    using lite3 = await createLite3();
    lite3.reset();
    const { terminated, info, reward } = hold(lite3, ZERO, 5);
    expect(terminated).toBe(false);
    expect(info.position![2]).toBeGreaterThan(0.25);
    expect(info.footContact).toEqual([true, true, true, true]);
    expect(reward).toBeGreaterThan(0.99);
  });

  test("ends the episode when the robot falls, and says how", async () => {
    using lite3 = await createLite3();
    lite3.reset();
    // Legs of the left side folded, of the right side stretched.
    const tipping = Float32Array.from([0, -3, 5, 0, 3, -3, 0, -3, 5, 0, 3, -3]);
    const { terminated, info } = hold(lite3, tipping, 5);
    expect(terminated).toBe(true);
    expect(info.ending).toMatch(/^roll -3\d\.\d°, limit 30°$/);
  });

  test("ends the episode when the robot lies down", async () => {
    using lite3 = await createLite3();
    lite3.reset();
    const folding = Float32Array.from(ZERO, (_, joint) => [0, -4, 8][joint % 3]!);
    const { terminated, info } = hold(lite3, folding, 5);
    expect(terminated).toBe(true);
    expect(info.ending).toMatch(/^base 0\.1\d\d m over the ground, limit 0\.17 m$/);
  });

  test("survives targets no motor can reach", async () => {
    using lite3 = await createLite3();
    lite3.reset();
    const huge = ZERO.map((_, joint) => (joint % 2 === 0 ? 3e38 : -3e38));
    for (let step = 0; step < 50; step++) {
      expect(lite3.step(huge).observation.slice(0, 33).every(Number.isFinite)).toBe(true);
    }
  });

  test("refuses an action that is not twelve finite numbers", async () => {
    using lite3 = await createLite3();
    lite3.reset();
    const before = lite3.trajectoryHash();
    const action = new Float32Array(12);
    action[3] = Number.NaN;
    expect(() => lite3.step(action)).toThrow(
      "Cannot step the Lite3: action[3] is NaN, need finite numbers",
    );
    expect(() => lite3.step(new Float32Array(6))).toThrow(
      "Cannot step the Lite3: action of 6 numbers, need 12",
    );
    expect(lite3.trajectoryHash()).toBe(before);
  });
});

describe("push()", () => {
  test("moves the robot the way it is pushed, and the same push the same way", async () => {
    using lite3 = await createLite3();
    const run = (push: readonly [number, number]): readonly [number, number, string] => {
      lite3.reset(0);
      hold(lite3, ZERO, 1);
      lite3.push(push);
      const { info } = hold(lite3, ZERO, 0.2);
      const [x = 0, y = 0] = info.position ?? [];
      return [x, y, lite3.trajectoryHash()];
    };
    const [still, forward, right] = [run([0, 0]), run([0.3, 0]), run([0, -0.3])];
    expect(forward[0] - still[0]).toBeWithin(0.005, 0.06);
    expect(right[1] - still[1]).toBeWithin(-0.06, -0.005);
    expect(run([0.3, 0])).toEqual(forward);
  });

  test("asserts two finite numbers, and an episode", async () => {
    using lite3 = await createLite3();
    expect(() => lite3.push([0.1, 0])).toThrow("reset() comes before push()");
    lite3.reset(0);
    expect(() => lite3.push([Number.NaN, 0])).toThrow("a push is two finite numbers");
  });
});

describe("trajectoryHash()", () => {
  test("of a scripted episode from standing is the golden one", async () => {
    using lite3 = await createLite3();
    expect(runScript(lite3, 400)).toBe(GOLDEN_STANDING);
  });

  test("of a scripted episode from lying is the golden one", async () => {
    using lite3 = await createLite3({ start: "lying" });
    expect(runScript(lite3, 400)).toBe(GOLDEN_LYING);
  });

  test("differs after each step, and reading it changes nothing", async () => {
    using lite3 = await createLite3();
    lite3.reset();
    const hashes = [lite3.trajectoryHash(), lite3.trajectoryHash()];
    lite3.step(ZERO);
    hashes.push(lite3.trajectoryHash());
    expect(new Set(hashes).size).toBe(2);
    expect(hashes.every((hash) => /^[0-9a-f]{64}$/.test(hash))).toBe(true);
  });
});

test("dispose may come twice, and nothing works after it", async () => {
  const lite3 = await createLite3();
  lite3.reset();
  lite3[Symbol.dispose]();
  lite3[Symbol.dispose]();
  expect(() => lite3.step(ZERO)).toThrow("the environment was disposed");
  expect(() => lite3.reset()).toThrow("the environment was disposed");
});

test("several environments do not disturb each other", async () => {
  using first = await createLite3();
  const expected = runScript(first, 20);
  first.reset();
  for (let step = 0; step < 10; step++) first.step(scriptedAction(step));
  const others: Lite3[] = [];
  for (let count = 0; count < 20; count++) others.push(await createLite3({ start: "lying" }));
  for (let step = 10; step < 20; step++) first.step(scriptedAction(step));
  for (const other of others) other[Symbol.dispose]();
  expect(first.trajectoryHash()).toBe(expected);
});
