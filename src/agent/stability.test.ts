/**
 * `agent --verdict`: a run that keeps its limits, and one that breaks a single one of them.
 */

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { GAIT_LIMITS } from "../run_log/verdict.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let agent: string[];

beforeAll(async () => {
  const model = await exportDemoPolicy(directory);
  agent = ["agent", "--model", model, "--obs-stats", OBS_STATS, "--fast"];
});

function limitsFile(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

type Row = { name: string; found: number; limit: number; ok: boolean };
const rowsOf = (json: Record<string, unknown>): Row[] => (json.verdict as { limits: Row[] }).limits;

describe("agent --verdict", () => {
  test("passes with the demo policy under changing commands", async () => {
    // Latency is this machine's, which has other work.
    const limits = limitsFile("latency.yaml", "latency_p99_ms: 1000\n");
    const words = [...agent, "--duration", "60s", "--verdict", "--limits", limits];
    const { status, json } = await runJson(words);
    expect({ status, falls: json.falls, pass: (json.verdict as { pass: boolean }).pass }).toEqual({
      status: 0,
      falls: 0,
      pass: true,
    });
    expect(rowsOf(json).map(({ name, limit, ok }) => [name, limit, ok])).toEqual(
      Object.entries({ ...GAIT_LIMITS, latency_p99_ms: 1000 })
        .filter(([name]) => name !== "overrun_share")
        .map(([name, limit]) => [name, limit, true]),
    );
    // One command's figures would mean nothing here.
    expect(json.velocityError).toBeUndefined();
  });

  test("fails the row whose limit is broken, and no other", async () => {
    const limits = limitsFile("peak.yaml", "torque_peak_nm: 1\nlatency_p99_ms: 1000\n");
    const words = [...agent, "--duration", "20s", "--verdict", "--limits", limits];
    const { status, json } = await runJson(words);
    const broken = rowsOf(json).filter(({ ok }) => !ok);
    expect([status, broken.map(({ name }) => name)]).toEqual([1, ["torque_peak_nm"]]);
  });

  test("leaves overruns out with --fast, and fails them where the limits name them", async () => {
    const limits = limitsFile("overruns.yaml", "overrun_share: 0.5\nlatency_p99_ms: 1000\n");
    const words = [...agent, "--steps", "100", "--verdict"];
    const [left, named] = await Promise.all([run(words), run([...words, "--limits", limits])]);
    expect(left.stdout).toMatch(/^overrun_share +not measured +left out by --fast$/m);
    expect([named.status, named.stderr]).toEqual([
      1,
      expect.stringContaining("overrun_share is not measured, at most 0.5"),
    ]);
  });

  test("fails what was not measured", async () => {
    const text = `export default class {
      observationSize = 45; actionSize = 12; controlPeriodMs = 20;
      reset() { return new Float32Array(45); }
      step() {
        const observation = new Float32Array(45);
        return { observation, reward: 0, terminated: false, truncated: false };
      }
    }`;
    const env = limitsFile("blind.ts", text);
    const words = [...agent, "--env", env, "--steps", "50", "--verdict"];
    const { status, json } = await runJson(words);
    const found = rowsOf(json).map(({ name, found: value, ok }) => [name, value === null, ok]);
    expect(status).toBe(1);
    expect(found).toContainEqual(["slip_mps", true, false]);
    expect(found).toContainEqual(["falls", false, true]);
  });

  test("refuses limits that are none, and --limits alone", async () => {
    const limits = limitsFile("typo.yaml", "slip: 1\n");
    const { status, stderr } = await run([...agent, "--verdict", "--limits", limits]);
    expect([status, stderr]).toEqual([
      2,
      expect.stringContaining(
        `error: Cannot use config "${limits}": unknown key "slip", need one of falls, `,
      ),
    ]);
    expect(await run([...agent, "--limits", limits])).toEqual(
      failed(2, "--limits is for --verdict: give both"),
    );
  });
});
