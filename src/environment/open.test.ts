import { describe, expect, test } from "bun:test";
import { Lite3Error } from "../base/errors.ts";
import { openEnvironment, parseEnvironmentSpec } from "./open.ts";

test("openEnvironment() opens what the spec names, with the options of the flags", async () => {
  using environment = await openEnvironment("lite3:terrain=step,height=0.1", { rateHz: 83.3 });
  expect(environment.name).toBe("lite3");
  expect(environment.controlPeriodMs).toBe(12);
});

describe("parseEnvironmentSpec()", () => {
  test("reads every form of the Lite3", () => {
    expect(parseEnvironmentSpec("lite3")).toEqual({ kind: "flat" });
    expect(parseEnvironmentSpec("lite3:terrain=flat")).toEqual({ kind: "flat" });
    const step = { kind: "step", heightM: 0.1 } as const;
    expect(parseEnvironmentSpec("lite3:terrain=step,height=0.1")).toEqual(step);
    expect(parseEnvironmentSpec("lite3:height=.1,terrain=step")).toEqual(step);
  });

  const own = "your own is module.path:function or ./my_env.ts";
  const refused: readonly [spec: string, code: string, reason: string][] = [
    ["lite4", "USAGE", `no environment "lite4", known: lite3; ${own}; did you mean "lite3"?`],
    ["", "USAGE", `no environment "", known: lite3; ${own}; did you mean "lite3"?`],
    [
      "lite3:terain=step",
      "USAGE",
      'unknown key "terain", known are terrain and height; did you mean "terrain"?',
    ],
    [
      "lite3:terrain=stairs",
      "USAGE",
      'terrain is "stairs", need flat or step; did you mean "step"?',
    ],
    [
      "lite3:terrain=step",
      "USAGE",
      "terrain=step has no height, need one in metres; add height=0.1",
    ],
    [
      "lite3:height=0.1",
      "USAGE",
      'height is for terrain=step, and terrain is "flat"; add terrain=step',
    ],
    ["lite3:terrain=step,height=-1", "USAGE", 'height is "-1", need metres, such as height=0.1'],
    ["lite3:make_env", "USAGE", '"make_env" is no setting, need key=value, such as terrain=step'],
    ["lite3:terrain=flat,terrain=step", "USAGE", '"terrain" is there twice, need it once'],
  ];
  for (const [spec, code, reason] of refused) {
    test(`refuses ${JSON.stringify(spec)}`, () => {
      const error = thrownBy(() => parseEnvironmentSpec(spec));
      expect([error.code, error.message]).toEqual([
        code,
        `Cannot open environment ${JSON.stringify(spec)}: ${reason}`,
      ]);
    });
  }
});

function thrownBy(action: () => unknown): Lite3Error {
  try {
    action();
  } catch (error) {
    if (error instanceof Lite3Error) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
