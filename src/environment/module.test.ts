import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { openEnvironment } from "./open.ts";
import { PROGRAM_DEFAULTS } from "./program.ts";

const directory = temporaryDirectory();
let count = 0;

/** Writes a module and returns its path. */
function module(text: string): string {
  const path = join(directory, `env${count++}.ts`);
  writeFileSync(path, text);
  return path;
}

const SIZES = "observationSize: 2, actionSize: 1,";
const RESET = "reset: (seed: number) => [seed, 0],";
/** An environment whose step has this body. */
const stepping = (body: string): string =>
  module(`export default { ${SIZES} ${RESET} step(action: Float32Array) { ${body} } };`);

describe("openEnvironment() of a TypeScript module", () => {
  test("opens a class with everything it may have", async () => {
    const path = module(`
      enum Part { Gyro = "gyro", Command = "command" }
      export class Walker {
        observationSize = 2;
        actionSize = 1;
        controlPeriodMs = 10;
        observationTerms = [{ name: Part.Gyro, size: 1 }, { name: Part.Command, size: 1 }];
        actionBounds = { low: [-2], high: [2] };
        #command = 0;
        reset(seed: number) { return Float32Array.of(seed, this.#command); }
        setCommand([vx]: readonly [number, number, number]) { this.#command = vx; }
        async step([action]: Float32Array) {
          const info = { timeS: 7, position: [1, 2, 3], ending: "it fell" };
          return { observation: [action, this.#command], reward: 1.5, terminated: true, info };
        }
      }`);
    using environment = await openEnvironment(`${path}:Walker`, { command: [0.5, 0, 0] });
    const { name, observationSize, actionSize, controlPeriodMs, observationTerms, actionBounds } =
      environment;
    expect({
      observationSize,
      actionSize,
      controlPeriodMs,
      observationTerms,
      actionBounds,
    }).toEqual({
      observationSize: 2,
      actionSize: 1,
      controlPeriodMs: 10,
      observationTerms: [
        { name: "gyro", size: 1 },
        { name: "command", size: 1 },
      ],
      actionBounds: { low: [-2], high: [2] },
    });
    expect(name).toBe(`${path}:Walker`);
    expect(await environment.reset(4)).toEqual(Float32Array.of(4, 0.5));
    expect(await environment.step(Float32Array.of(-3))).toEqual({
      observation: Float32Array.of(-3, 0.5),
      reward: 1.5,
      terminated: true,
      truncated: false,
      info: { timeS: 7, position: [1, 2, 3], ending: "it fell" },
    });
  });

  test("opens an object, and a factory that takes its time, and counts time for them", async () => {
    const body = "{ return { observation: [1, 2], reward: 0, terminated: false }; }";
    const object = `{ ${SIZES} ${RESET} step() ${body} }`;
    for (const value of [object, `async () => (${object})`]) {
      using environment = await openEnvironment(module(`export default ${value};`), { rateHz: 25 });
      await environment.reset(1);
      await environment.step(new Float32Array(1));
      const { info } = await environment.step(new Float32Array(1));
      expect([environment.controlPeriodMs, info, environment.observationTerms]).toEqual([
        40,
        { timeS: 0.08 },
        [{ name: "observation", size: 2 }],
      ]);
    }
  });

  test("keeps what the module prints off stdout", async () => {
    const path = module(`console.log("made", 1); export default { ${SIZES} ${RESET} step() {} };`);
    const lines = await linesDuring(async () => (await openEnvironment(path))[Symbol.dispose]());
    expect(lines).toEqual(["made 1"]);
  });

  test("gives the module lite3rl's own environment to wrap", async () => {
    const path = module(`
      import { createLite3, LITE3_CONTRACT } from "lite3rl";
      export default async () => {
        const lite3 = await createLite3({ terrain: { kind: "step", heightM: 0.05 } });
        return Object.assign(lite3, { setCommand() {}, pose: LITE3_CONTRACT.defaultPose });
      };`);
    using environment = await openEnvironment(path);
    await environment.reset(1);
    const { observation, info } = await environment.step(new Float32Array(12));
    expect([observation.length, environment.controlPeriodMs, info.timeS]).toEqual([45, 20, 0.02]);
    expect(info.position?.[2]).toBeCloseTo(0.33, 1);
  });

  const unusable: Record<string, [text: string, code: string, reason: string]> = {
    "no default export": [
      "export const walk = 1;",
      "NOT_FOUND",
      'the file exports "walk", need "default", or name one: PATH:walk',
    ],
    "syntax that is none": ["export default {", "PROGRAM", "BuildMessage: "],
    "a throw at the top": [
      'throw new Error("no display");',
      "PROGRAM",
      "Error: no display in FILE:1",
    ],
    "no step": [
      `export default { ${SIZES} ${RESET} };`,
      "PROGRAM",
      'the environment has no "step"',
    ],
    "a size that is none": [
      `export default { observationSize: "2", actionSize: 1, ${RESET} step() {} };`,
      "PROGRAM",
      'observationSize of the environment is "2", need number',
    ],
    "terms that are not the observation": [
      `export default { ${SIZES} ${RESET} step() {}, observationTerms: [{ name: "a", size: 3 }] };`,
      "PROGRAM",
      "its observation terms add up to 3, need the observation's 2",
    ],
    nothing: ["export default null;", "PROGRAM", "the environment is null, need Object"],
  };
  for (const [what, [text, code, reason]] of Object.entries(unusable)) {
    test(`refuses ${what}`, async () => {
      const path = module(text);
      let found;
      await linesDuring(async () => (found = await refusalOf(() => openEnvironment(path))));
      const name = path.split("/").at(-1) as string;
      const message = reason.replace("PATH", path).replace("FILE", name);
      expect(found).toEqual({
        code,
        message: expect.stringContaining(`Cannot open environment "${path}": ${message}`),
      } as never);
    });
  }

  const failing: Record<string, [body: string, reason: string]> = {
    "a throw": ['throw new RangeError("too far")', "RangeError: too far in FILE:1"],
    nothing: ["", "the step is undefined, need Object"],
    NaN: [
      "return { observation: [0, NaN], reward: 0, terminated: false }",
      "observation[1] is NaN, need finite numbers",
    ],
    "another width": [
      "return { observation: [0], reward: 0, terminated: false }",
      "it gave an observation of 1 numbers, need 2",
    ],
    text: [
      'return { observation: ["a", 1], reward: 0, terminated: false }',
      "it gave an observation with string at 0, need numbers",
    ],
    "an object for an observation": [
      "return { observation: {}, reward: 0, terminated: false }",
      "it gave an observation that is object, need 2 numbers",
    ],
    "old Gym's done": [
      "return { observation: [0, 0], reward: 0, done: false }",
      'the step has no "terminated"',
    ],
    "a promise that never settles": [
      "return new Promise(() => {})",
      "no answer within 0.05 s; give it longer with --env-timeout",
    ],
  };
  for (const [what, [body, reason]] of Object.entries(failing)) {
    test(`refuses a step that gives ${what}`, async () => {
      const path = stepping(body);
      const program = { ...PROGRAM_DEFAULTS, timeoutMs: 50 };
      using environment = await openEnvironment(path, { program });
      await environment.reset();
      let found;
      await linesDuring(async () => {
        found = await refusalOf(() => environment.step(new Float32Array(1)));
      });
      const name = path.split("/").at(-1) as string;
      expect(found).toEqual({
        code: "PROGRAM",
        message: `Cannot step environment "${path}": ${reason.replace("FILE", name)}`,
      } as never);
    });
  }

  test("refuses options it has nothing for", async () => {
    const path = stepping("");
    const opening = `Cannot open environment "${path}"`;
    expect(await refusalOf(() => openEnvironment(path, { start: "lying" }))).toEqual({
      code: "USAGE",
      message: `${opening}: --start is for lite3, leave it out`,
    });
    expect(await refusalOf(() => openEnvironment(path, { command: [1, 0, 0] }))).toEqual({
      code: "USAGE",
      message:
        `${opening}: it takes no --command, need set_command in Python or setCommand in ` +
        "TypeScript",
    });
    const own = module(`export default { ${SIZES} ${RESET} controlPeriodMs: 12, step() {} };`);
    expect((await openEnvironment(own, { rateHz: 83.3 })).controlPeriodMs).toBe(12);
    expect(await refusalOf(() => openEnvironment(own, { rateHz: 50 }))).toEqual({
      code: "CONFIG",
      message:
        `Cannot open environment "${own}": its control period is 12 ms and --rate is 50 Hz; ` +
        "leave --rate out",
    });
    expect(await refusalOf(() => openEnvironment("./none.ts"))).toEqual({
      code: "NOT_FOUND",
      message: 'Cannot open environment "./none.ts": there is no such file',
    });
  });
});
