import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { compareWalks } from "./compare_walks.ts";
import { figureFailure } from "./describe.ts";
import { type FigureName, MARGINS, readMargins } from "./figures.ts";
import { planClosedLoop } from "./plan.ts";
import { drawScenarios } from "./scenarios.ts";
import type { Walk } from "./walk.ts";

const GAIT = {
  falls: 0,
  velocity_error_mps: 0.2,
  yaw_error_radps: 0.1,
  distance_m: 2,
  height_m: 0.32,
  roll_rms_deg: 2,
  pitch_rms_deg: 3,
  slip_mps: 0.05,
  torque_rms_nm: 6,
  cost_of_transport: 0.9,
};
const EPISODES = 80;

/** As many walks, each with what `change` says of it. */
function walks(change: (i: number) => Partial<Record<FigureName, number | null>> = () => ({})) {
  return Array.from({ length: EPISODES }, (_, i): Walk => {
    const figures = { ...GAIT, ...change(i) };
    return { ending: figures.falls === 1 ? "pitch 50°" : null, figures };
  });
}
const plan = { seed: 0, margins: MARGINS, scenarios: drawScenarios(EPISODES, 0) };
const compare = (b: Walk[], a = walks()) => compareWalks(plan, a, b);
const verdicts = (b: Walk[], a = walks()) => {
  const { verdict, figures } = compare(b, a);
  const others = figures.filter((figure) => figure.verdict !== "as well");
  return [verdict, Object.fromEntries(others.map((one) => [one.name, one.verdict]))];
};
/** ±1 in turn. */
const swing = (i: number): number => (i % 2 === 0 ? 1 : -1);

describe("compareWalks()", () => {
  test("finds that the same walk walks as well, figure by figure", () => {
    const { figures, runs, ...rest } = compare(walks());
    expect(rest).toEqual({
      verdict: "walks as well",
      environment: "lite3",
      episodes: EPISODES,
      durationS: 8,
      seed: 0,
      method: expect.stringContaining("Student's t") as string,
      level: 0.95,
    });
    expect(figures.map(({ name, pairs, verdict }) => [name, pairs, verdict])).toEqual(
      Object.keys(GAIT).map((name) => [name, EPISODES, "as well"]),
    );
    expect(figures[1]).toEqual({
      name: "velocity_error_mps",
      unit: "m/s",
      a: 0.2,
      b: 0.2,
      worsening: { mean: 0, low: 0, high: 0 },
      margin: 0.025,
      pairs: EPISODES,
      verdict: "as well",
    });
    expect(runs).toHaveLength(EPISODES);
  });

  test("takes less distance and height for worse, and more of the others", () => {
    expect(verdicts(walks(() => ({ distance_m: 1.7, height_m: 0.3 })))).toEqual([
      "does not walk as well",
      { distance_m: "worse", height_m: "worse" },
    ]);
    expect(verdicts(walks(() => ({ distance_m: 2.3, height_m: 0.34 })))).toEqual([
      "walks as well",
      {},
    ]);
    expect(verdicts(walks(() => ({ velocity_error_mps: 0.23, torque_rms_nm: 5 })))).toEqual([
      "does not walk as well",
      { velocity_error_mps: "worse" },
    ]);
  });

  test("does not take what may be worse for as well, nor what may be as well for worse", () => {
    const wide = walks((i) => ({ roll_rms_deg: 2.4 + 2 * swing(i) }));
    expect(verdicts(wide)).toEqual(["not shown", { roll_rms_deg: "not shown" }]);
    const { figures, ...all } = compare(wide);
    const roll = figures.find(({ name }) => name === "roll_rms_deg");
    expect(roll && figureFailure(roll, { ...all })).toBe(
      "roll_rms_deg may be worse by up to 0.848 ° (95 %: -0.0479 to 0.848), margin 0.5: " +
        "not shown, --episodes 1770 may tell",
    );
  });

  test("counts falls in pairs, and no other gait of an episode with one", () => {
    const falling = walks((i) => (i % 4 === 0 ? { falls: 1, distance_m: 1.9, slip_mps: 9 } : {}));
    const { verdict, figures } = compare(falling);
    const of = (name: string) => figures.find((figure) => figure.name === name);
    expect(verdict).toBe("does not walk as well");
    expect([of("falls"), of("slip_mps"), of("distance_m")]).toMatchObject([
      { a: 0, b: 0.25, pairs: EPISODES, verdict: "worse" },
      { b: 0.05, pairs: 60, verdict: "as well" },
      { b: 1.975, pairs: EPISODES, verdict: "as well" },
    ]);
  });

  test("says that a fall on both sides in the same episodes is no difference", () => {
    const falling = (i: number) => (i % 10 === 0 ? { falls: 1 } : {});
    const { figures } = compare(walks(falling), walks(falling));
    expect(figures[0]).toMatchObject({ a: 0.1, b: 0.1, worsening: { mean: 0 } });
  });

  test("shows nothing of what no pair has, and says so", () => {
    const { verdict, figures, ...rest } = compare(walks(() => ({ cost_of_transport: null })));
    const cost = figures.at(-1);
    expect([verdict, cost]).toMatchObject([
      "not shown",
      { a: null, b: null, worsening: null, pairs: 0, verdict: "not shown" },
    ]);
    expect(cost && figureFailure(cost, { ...rest, verdict })).toBe(
      "cost_of_transport is not shown: 0 pairs of episodes to compare",
    );
  });

  test("shows less with fewer episodes: none falling in ten may be one in four", () => {
    const few = { ...plan, scenarios: drawScenarios(10, 0) };
    const { verdict, figures, ...rest } = compareWalks(few, walks().slice(70), walks().slice(70));
    const [falls] = figures;
    expect([verdict, falls?.worsening?.high]).toEqual(["not shown", expect.closeTo(0.2775, 4)]);
    expect(falls && figureFailure(falls, { ...rest, verdict })).toEndWith(
      "margin 0.05: not shown, --episodes 90 may tell",
    );
  });
});

describe("readMargins()", () => {
  const directory = temporaryDirectory();
  const yaml = (text: string): string => {
    const path = join(directory, "margins.yaml");
    writeFileSync(path, text);
    return path;
  };

  test("takes a file's over the usual, and refuses what is none", async () => {
    expect(readMargins(yaml("falls: 0.2\nheight_m: 0.05\n"))).toEqual({
      ...MARGINS,
      falls: 0.2,
      height_m: 0.05,
    });
    expect(readMargins(yaml(""))).toEqual(MARGINS);
    for (const text of ["fall: 0.2", "falls: -1", "falls: many"]) {
      const { code } = await refusalOf(() => readMargins(yaml(text)));
      expect(code).toBe("CONFIG");
    }
  });
});

describe("planClosedLoop()", () => {
  test("is none unless asked for, and refuses flags that would mean nothing", async () => {
    expect(planClosedLoop({ closedLoop: false, seed: 0 })).toBeUndefined();
    expect(planClosedLoop({ closedLoop: true, seed: 7, episodes: 3 })).toEqual({
      seed: 7,
      margins: MARGINS,
      scenarios: drawScenarios(3, 7),
    });
    const given = { closedLoop: false, seed: 0, episodes: 3 };
    expect(await refusalOf(() => planClosedLoop(given))).toEqual({
      code: "USAGE",
      message: "--episodes and --margins are for --closed-loop: give it too",
    });
  });
});
