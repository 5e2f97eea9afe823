import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { type Refusal, refusalOf } from "../base/refusal_fixture.ts";
import { openEnvironment } from "../environment/open.ts";
import { PROGRAM_DEFAULTS } from "../environment/program.ts";
import { writePythonPrograms } from "../environment/python_program_fixture.ts";
import { openActor } from "./policies.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const programs = writePythonPrograms(directory);
const program = { ...PROGRAM_DEFAULTS, python: findTool("python") };
const withPython = testWith("python");
const PLACE = { observationSize: 2, actionSize: 1 } as const;
const open = (spec: string, place: object = PLACE) =>
  openActor(spec, { ...PLACE, ...place }, 0, undefined, program);

/** What a policy answers to [3, 4], asked twice, reset, and asked again. */
async function answers(spec: string, place: object = PLACE): Promise<number[]> {
  using actor = await open(spec, place);
  const action = new Float32Array(1);
  const ask = async (): Promise<number> => {
    await actor.act(Float32Array.of(3, 4), action);
    return action[0] as number;
  };
  await actor.reset?.();
  const before = [await ask(), await ask()];
  await actor.reset?.();
  return [...before, await ask()];
}

async function refused(action: () => unknown): Promise<Refusal> {
  let refusal: Refusal | undefined;
  await linesDuring(async () => (refusal = await refusalOf(action)));
  return refusal as Refusal;
}

describe("openActor() of a Python policy", () => {
  const usual: Record<string, number[]> = {
    Act: [3, 3, 3],
    Predict: [2, 2, 2],
    Callable: [1, 2, 1],
    function: [6, 6, 6],
  };
  for (const [name, expected] of Object.entries(usual)) {
    withPython(`runs ${name}`, async () => {
      expect(await answers(`${programs}:${name}`)).toEqual(expected);
    });
  }

  withPython("gives a policy the action space it asks for, seeded", async () => {
    const actionBounds = { low: [5], high: [6] };
    const drawn = await answers(`${programs}:OfSpace`, { actionBounds });
    expect(await answers(`${programs}:OfSpace`, { actionBounds })).toEqual(drawn);
    for (const value of drawn) expect(value).toBeWithin(5, 6);
    expect(new Set(drawn).size).toBe(3);
  });

  withPython("runs in the process of a Python environment, and ends with it", async () => {
    using environment = await openEnvironment(`${programs}:Plain`, { program });
    const before = await environment.reset(9);
    {
      using actor = await openActor(`${programs}:Act`, environment, 0, undefined, program);
      const action = new Float32Array(1);
      await actor.act(before, action);
      expect([...action]).toEqual([9]);
    }
    expect([...(await environment.reset(2))]).toEqual([2, 0]);
  });

  const unusable: Record<string, string> = {
    Mute:
      `Cannot open policy "${programs}:Mute": Mute has no act(observation), predict or ` +
      "__call__",
    Strange:
      `Cannot open policy "${programs}:Strange": it needs robot, gait, terrain, which nobody ` +
      "gives; take (), (action_space) or (obs_dim, act_dim)",
    wide:
      `Cannot act with policy "${programs}:wide": it gave an action that is of shape [3], ` +
      "need 1 numbers",
    bad: `Cannot act with policy "${programs}:bad": action[0] is Infinity, need finite numbers`,
  };
  for (const [name, message] of Object.entries(unusable)) {
    withPython(`refuses ${name}`, async () => {
      const refusal = await refused(() => answers(`${programs}:${name}`));
      expect(refusal).toEqual({ code: "PROGRAM", message });
    });
  }
});

describe("openActor() of a TypeScript policy", () => {
  let count = 0;
  const module = (text: string): string => {
    const path = join(directory, `policy${count++}.ts`);
    writeFileSync(path, text);
    return path;
  };

  test("runs a class, an object, a factory and a function", async () => {
    const path = module(`
      export class Counting {
        #count = 0;
        constructor(readonly observationSize: number, readonly actionSize: number) {}
        reset() { this.#count = 10 * this.observationSize; }
        act() { return Array(this.actionSize).fill(this.#count++); }
      }
      export const object = { act: ([first]: Float32Array) => [first] };
      export const factory = () => object;
      export default async (observation: Float32Array) => Float32Array.of(2 * observation[1]!);`);
    expect(await answers(`${path}:Counting`)).toEqual([20, 21, 20]);
    expect(await answers(`${path}:object`)).toEqual([3, 3, 3]);
    expect(await answers(`${path}:factory`)).toEqual([3, 3, 3]);
    expect(await answers(path)).toEqual([8, 8, 8]);
  });

  test("cannot change the observation that is recorded", async () => {
    const path = module("export default (row: Float32Array) => { row.fill(7); return [0]; };");
    using actor = await open(path);
    const observation = Float32Array.of(1, 2);
    await actor.act(observation, new Float32Array(1));
    expect(observation).toEqual(Float32Array.of(1, 2));
  });

  const unusable: Record<string, string> = {
    "export default {}":
      "Cannot open policy PATH: it has no act(observation), need one that gives the action",
    "export default (_: unknown) => [1, 2]":
      "Cannot act with policy PATH: it gave an action of 2 numbers, need 1",
    "export default (_: unknown) => [NaN]":
      "Cannot act with policy PATH: action[0] is NaN, need finite numbers",
    "export default (_: unknown) => undefined":
      "Cannot act with policy PATH: it gave an action that is undefined, need 1 numbers",
  };
  for (const [text, message] of Object.entries(unusable)) {
    test(`refuses ${text}`, async () => {
      const path = module(text);
      const refusal = await refused(() => answers(path));
      expect(refusal).toEqual({ code: "PROGRAM", message: message.replace("PATH", `"${path}"`) });
    });
  }
});
