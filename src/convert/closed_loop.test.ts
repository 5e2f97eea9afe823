/**
 * `convert --closed-loop`: the cheapest precision that walks as well as the policy.
 */

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { CLOSED_LOOP_MAE } from "../closed_loop/plan.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { MARGINS } from "../closed_loop/figures.ts";
import { drawScenarios } from "../closed_loop/scenarios.ts";
import { writeNpy } from "../formats/npy.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { readRecordBeside } from "../policy/conversion_record.ts";
import { modelOf, readGoldenActions, TINY_NETWORK } from "../policy/policy_fixture.ts";
import type { ConvertOptions } from "./conversion.ts";
import { convert } from "./convert.ts";

setDefaultTimeout(300_000);

const EPISODES = 12;
const directory = temporaryDirectory();
const place = (name: string): string => join(directory, name);
let model: string;

/** The golden observations, `scale` times as far from the middle of the policy's statistics. */
async function writeSet(name: string, scale: number): Promise<string> {
  const { observations, rows } = await readGoldenActions();
  const means = Array.from({ length: 45 }, (_, column) => {
    const values = Array.from({ length: rows }, (_, row) => observations[row * 45 + column] ?? 0);
    return values.reduce((sum, value) => sum + value, 0) / rows;
  });
  const data = Float32Array.from(observations, (value, at) => {
    const mean = means[at % 45] ?? 0;
    return mean + scale * (value - mean);
  });
  writeFileSync(place(name), writeNpy({ dtype: "float32", shape: [rows, 45], data }));
  return place(name);
}

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
});

/** By emulation, so that no toolkit is needed; few episodes, in which a fall is no news. */
const options = (more: Partial<ConvertOptions>): ConvertOptions => ({
  model,
  output: place("policy.rknn"),
  target: "rk3588",
  precision: "auto",
  doQuant: false,
  obsStats: OBS_STATS,
  mae: CLOSED_LOOP_MAE,
  closedLoop: {
    seed: 0,
    scenarios: drawScenarios(EPISODES, 0),
    margins: {
      ...MARGINS,
      falls: 0.4,
      velocity_error_mps: 0.05,
      yaw_error_radps: 0.06,
      roll_rms_deg: 1,
    },
  },
  seed: 0,
  timeoutMs: 60_000,
  force: false,
  emulate: true,
  ...more,
});

describe("convert() with a closed loop", () => {
  test("takes int8, which walks as well, though its MAE misses the gate by far", async () => {
    const dataset = await writeSet("obs.npy", 1);
    const { candidate, problems, parity, walked, closedLoop } = await convert(options({ dataset }));
    expect([candidate.precision, problems, closedLoop?.verdict]).toEqual([
      "w8a8",
      [],
      "walks as well",
    ]);
    expect(parity.mae).toBeWithin(2e-3, CLOSED_LOOP_MAE);
    expect(walked.map((one) => [one.candidate.precision, one.closedLoop.episodes])).toEqual([
      ["w8a8", EPISODES],
    ]);
  });

  test("goes on to float16 where int8 was calibrated with what is too narrow", async () => {
    // On a fifth of the very set the errors are small: only walking finds what it lacks.
    const dataset = await writeSet("narrow.npy", 0.1);
    const { candidate, problems, walked } = await convert(options({ dataset }));
    expect([candidate.precision, problems]).toEqual(["fp16", []]);
    expect(walked.map((one) => [one.candidate.precision, one.closedLoop.verdict])).toEqual([
      ["w8a8", "does not walk as well"],
      ["hybrid", "does not walk as well"],
      ["hybrid", "does not walk as well"],
      ["fp16", "walks as well"],
    ]);
  });

  test("asks the MAE first, and walks with nothing that misses it", async () => {
    const dataset = await writeSet("obs.npy", 1);
    const { candidate, walked } = await convert(options({ dataset, mae: 1e-3 }));
    expect([candidate.precision, walked.map((one) => one.candidate.precision)]).toEqual([
      "fp16",
      ["fp16"],
    ]);
  });

  test("refuses a policy that is none of the environment's robot", async () => {
    writeFileSync(place("tiny.onnx"), encodeOnnx(modelOf(TINY_NETWORK)));
    const tiny = { model: place("tiny.onnx"), obsStats: undefined, precision: "fp16" } as const;
    const { code, message } = await refusalOf(() => convert(options(tiny)));
    expect([code, message]).toEqual([
      "CONFIG",
      expect.stringContaining("it takes 2 numbers and gives 1, the built-in environment gives 45"),
    ]);
  });
});

describe("convert --closed-loop", () => {
  test("fails where nothing is shown, and says the figures", async () => {
    const words = ["convert", model, "--obs-stats", OBS_STATS, "--emulate", "--closed-loop"];
    const { status, json, stderr } = await runJson([...words, "--episodes", "3"]);
    expect([status, json["pass"], json["gate"]]).toEqual([1, false, { mae: CLOSED_LOOP_MAE }]);
    expect(json["closedLoop"]).toMatchObject({ verdict: "not shown", episodes: 3 });
    expect(stderr).toContain("margin 0.05: not shown, --episodes 90 may tell");
    const shown = await run([...words, "--episodes", "3", "--mae", "1e-3"]);
    expect(shown.stdout).toMatch(/MAE [\d.e-]+ against 0\.001 .*: ok\n/);
    expect(shown.stdout).toContain("closed loop: 3 episodes of 8 s in lite3");
  });

  testWith("toolkit")("writes what walks as well, and how it walks into its record", async () => {
    const [output, margins] = [place("w8a8.rknn"), place("margins.yaml")];
    writeFileSync(margins, "falls: 0.4\nvelocity_error_mps: 0.05\nyaw_error_radps: 0.06\n");
    const words = ["convert", model, "--obs-stats", OBS_STATS, "--output", output, "--do-quant"];
    const walk = ["--closed-loop", "--episodes", String(EPISODES), "--margins", margins];
    const { status, json } = await runJson([
      ...words,
      ...walk,
      "--dataset",
      await writeSet("obs.npy", 1),
    ]);
    expect([status, json["output"], json["evidence"]]).toEqual([0, output, "toolkit-simulator"]);
    const { parity, closedLoop, recipe } = readRecordBeside(output) ?? {};
    expect([parity?.gate, parity?.pass]).toEqual([CLOSED_LOOP_MAE, true]);
    expect(closedLoop).toMatchObject({
      verdict: "walks as well",
      evidence: "emulation",
      episodes: EPISODES,
      figures: Object.keys(MARGINS).map((name) => ({ name, verdict: "as well" })),
    });
    // The same bytes need no walk: the gate that they passed is in the recipe.
    expect(recipe?.join(" ")).toContain(`--mae ${CLOSED_LOOP_MAE}`);
  });

  test("is asked for by its name", async () => {
    expect(await run(["convert", model, "--obs-stats", OBS_STATS, "--episodes", "9"])).toEqual(
      failed(2, "--episodes and --margins are for --closed-loop: give it too"),
    );
  });
});
