import { describe, expect, test } from "bun:test";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { parseProgram, PROGRAM_DEFAULTS, programError } from "./program.ts";

describe("parseProgram()", () => {
  const taken: Record<string, ReturnType<typeof parseProgram>> = {
    "interface.robot.simulation.pybullet_env:make_env": {
      kind: "python",
      module: "interface.robot.simulation.pybullet_env",
      name: "make_env",
    },
    "my_env:Factory.build": { kind: "python", module: "my_env", name: "Factory.build" },
    "../envs/my_env.py:make": {
      kind: "python",
      module: "my_env",
      path: "../envs/my_env.py",
      name: "make",
    },
    "./my_env.ts": { kind: "module", path: "./my_env.ts" },
    "my_env.js:walk": { kind: "module", path: "my_env.js", name: "walk" },
    lite3: undefined,
    "lite3:terrain=flat": undefined,
    "policy.onnx": undefined,
    "unix:/tmp/x": undefined,
  };
  for (const [spec, expected] of Object.entries(taken)) {
    test(`takes ${spec} for what it is`, () => expect(parseProgram(spec)).toEqual(expected));
  }

  test("refuses a Python file without the name of what is in it", async () => {
    expect(await refusalOf(() => parseProgram("a/my_env.py"))).toEqual({
      code: "USAGE",
      message:
        'Cannot use "a/my_env.py": a Python file needs the name of a function or class in it, ' +
        "for example a/my_env.py:make_env",
    });
  });
});

test("programError() shows the end of a long traceback, all of it on request", async () => {
  const traceback = Array.from({ length: 30 }, (_, line) => `line ${line}`).join("\n");
  const show = (wholeTraceback: boolean): Promise<string[]> =>
    linesDuring(() => {
      const options = { ...PROGRAM_DEFAULTS, wholeTraceback };
      const { code, message } = programError("Cannot step", "it failed", traceback, options);
      expect([code, message]).toEqual(["PROGRAM", "Cannot step: it failed"]);
    });
  expect(await show(true)).toEqual(traceback.split("\n"));
  expect(await show(false)).toEqual([
    "… 18 lines before, shown with --traceback",
    ...traceback.split("\n").slice(-12),
  ]);
});
