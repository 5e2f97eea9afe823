import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const log = join(directory, "run.mcap");
let model: string;
const STEPS = 120;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  const flags = ["--fast", "--steps", String(STEPS), "--log", log];
  const { status } = await run(["agent", "--model", model, "--obs-stats", OBS_STATS, ...flags]);
  expect(status).toBe(0);
});

describe("log summary", () => {
  test("gives the gait of a run that walked", async () => {
    const { status, json } = await runJson(["log", "summary", log]);
    expect({ status, steps: json.steps, complete: json.complete }).toEqual({
      status: 0,
      steps: STEPS,
      complete: true,
    });
    const { velocityErrorMps, slipMps, costOfTransport, torquePeakNm, footForcePeakN } =
      json as Record<string, number> & { torquePeakNm: number[]; footForcePeakN: number[] };
    expect(velocityErrorMps).toBeWithin(0.01, 0.3);
    expect(slipMps).toBeWithin(0, 0.3);
    expect(costOfTransport).toBeWithin(0.05, 3);
    expect([torquePeakNm.length, footForcePeakN.length]).toEqual([12, 4]);
    expect(Math.max(...torquePeakNm)).toBeWithin(3, 40);
  });

  test("says that overruns were not counted where no period was kept", async () => {
    const { json } = await runJson(["log", "summary", log]);
    const { stdout } = await run(["log", "summary", log]);
    const { stdout: csv } = await run(["log", "csv", log]);
    const lines = csv.trimEnd().split("\n");
    expect([json.overruns, lines[0]?.split(",").at(-1), lines[1]?.split(",").at(-1)]).toEqual([
      null,
      "overrun",
      "",
    ]);
    expect(stdout).toMatch(/^overruns +not counted: the run kept no period \(--fast\)$/m);
  });

  test("says that the end is missing where the run was cut off", async () => {
    const cut = join(directory, "cut.mcap");
    const bytes = readFileSync(log);
    writeFileSync(cut, bytes);
    truncateSync(cut, Math.floor(bytes.length * 0.7));
    const { status, stdout } = await run(["log", "summary", cut]);
    expect([status, stdout.includes("missing: the run was cut off")]).toEqual([0, true]);
  });

  test("refuses what is no log", async () => {
    expect(await run(["log", "summary", model])).toMatchObject({ status: 4, stdout: "" });
    expect(await run(["log", "tail", log])).toEqual(
      failed(2, 'Unknown action "tail" for log: need one of summary, csv, replay'),
    );
    expect(await run(["log", "csv", log, "--model", model])).toEqual(
      failed(2, "--model is for log replay, not csv"),
    );
  });
});

test("log csv writes a line per step with a column per number", async () => {
  const output = join(directory, "run.csv");
  const { status, json } = await runJson(["log", "csv", log, "--output", output]);
  const lines = readFileSync(output, "utf8").trimEnd().split("\n");
  const columns = (lines[0] ?? "").split(",");
  expect({ status, json, lines: lines.length }).toEqual({
    status: 0,
    json: { rows: STEPS, columns, output },
    lines: STEPS + 1,
  });
  for (const column of ["timeS", "command.0", "observation.44", "action.11", "jointTorque.0"]) {
    expect(columns).toContain(column);
  }
  expect(lines.every((line) => line.split(",").length === columns.length)).toBe(true);
});

describe("log replay", () => {
  test("gets the recorded actions to the last bit from the policy of the run", async () => {
    const words = ["log", "replay", log, "--model", model, "--obs-stats", OBS_STATS];
    const { status, json } = await runJson(words);
    expect(json).toMatchObject({
      pass: true,
      samples: STEPS,
      mae: 0,
      max: 0,
      evidence: { recorded: "cpu", replayed: "cpu" },
    });
    expect(status).toBe(0);
  });

  test("fails with another policy", async () => {
    const other = await exportDemoPolicy(directory, "other.onnx", []);
    const { status, json } = await runJson(["log", "replay", log, "--model", other]);
    expect([status, json.pass]).toEqual([1, false]);
  });

  test("needs a policy", async () => {
    expect(await run(["log", "replay", log])).toEqual(
      failed(2, "log replay needs a policy: --model policy.onnx"),
    );
  });
});
