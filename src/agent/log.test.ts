/**
 * `agent --log`: the log of a run, also of one that fell, and of one that was killed.
 */

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, run, runJson, start } from "../cli/program_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { linear, modelOf, networkOf } from "../policy/policy_fixture.ts";
import { readRunLog } from "../run_log/read_run_log.ts";
import type { RunStep } from "../run_log/run_step.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let agent: string[];

beforeAll(async () => {
  const model = await exportDemoPolicy(directory);
  agent = ["agent", "--model", model, "--obs-stats", OBS_STATS];
});

function readLog(path: string) {
  const steps: RunStep[] = [];
  return { end: readRunLog(path, (step) => steps.push(step)), steps };
}

describe("agent --log", () => {
  test("records every step with what the robot felt", async () => {
    const path = join(directory, "run.mcap");
    const { status, json } = await runJson([...agent, "--fast", "--steps", "60", "--log", path]);
    expect({ status, log: json.log }).toEqual({ status: 0, log: { path, complete: true } });
    const { end, steps } = readLog(path);
    expect(end.events.map(({ name, message }) => [name, message])).toEqual([
      ["started", `${join(directory, "policy.onnx")} in lite3`],
      ["ended", "ended as asked"],
    ]);
    expect(end.description).toMatchObject({ environment: "lite3", controlPeriodMs: "20" });
    expect(steps.map(({ timeS }) => timeS)).toEqual(steps.map((_, i) => ((i + 1) * 20) / 1000));
    const { sensors, command, observation, action } = steps[59] as RunStep;
    expect({ steps: steps.length, command }).toEqual({ steps: 60, command: [0.5, 0, 0] });
    const sizes = Object.entries({ ...sensors, observation, action }).map(([name, values]) => [
      name,
      (values as ArrayLike<number>).length,
    ]);
    expect(Object.fromEntries(sizes)).toEqual({
      angularVelocity: 3,
      linearAcceleration: 3,
      jointPosition: 12,
      jointVelocity: 12,
      jointTorque: 12,
      footForce: 4,
      footPosition: 12,
      observation: 45,
      action: 12,
    });
    // What the accelerometer and the feet say of a robot that walks must carry its weight.
    const mean = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
    const settled = steps.slice(20);
    expect(mean(settled.map((s) => s.sensors?.linearAcceleration?.[2] ?? NaN))).toBeWithin(8, 12);
    const weight = Number(end.description.massKg) * 9.81;
    const carried = mean(
      settled.map((s) => s.sensors?.footForce?.reduce((sum, x) => sum + x, 0) ?? NaN),
    );
    expect(carried / weight).toBeWithin(0.8, 1.2);
  });

  test("says how the robot fell", async () => {
    const path = join(directory, "fall.mcap");
    const model = join(directory, "fall.onnx");
    const layer = linear("actor.0", Array(12).fill(Array<number>(45).fill(0)), Array(12).fill(-6));
    const metadata = { normalizer: "folded" } as const;
    writeFileSync(model, encodeOnnx(modelOf(networkOf(layer), { metadata })));
    const { status } = await run(["agent", "--model", model, "--fast", "--log", path]);
    const { end } = readLog(path);
    expect([status, end.complete, ...end.events.map(({ name }) => name)]).toEqual([
      1,
      true,
      "started",
      "fall",
      "ended",
    ]);
  });

  test("refuses a log that is there before the robot moves", async () => {
    const path = join(directory, "there.mcap");
    writeFileSync(path, "mine");
    const { status, stderr } = await run([...agent, "--fast", "--log", path]);
    expect([status, stderr]).toEqual([
      2,
      `error: Cannot write log "${path}": it is there already, need another name; ` +
        "a log is never written over\n",
    ]);
  });

  test("leaves all but the last chunk after kill -9", async () => {
    const path = join(directory, "killed.mcap");
    const program = start([...agent, "--quiet", "--steps", "100000", "--log", path]);
    const isLong = () => existsSync(path) && statSync(path).size > 100_000;
    while (!isLong() && program.exitCode === null) await Bun.sleep(20);
    program.kill("SIGKILL");
    await program.exited;
    const { end, steps } = readLog(path);
    expect(end.complete).toBe(false);
    // A second is in the chunk that was not written yet.
    expect(steps.length).toBeGreaterThan(50);
  });
});
