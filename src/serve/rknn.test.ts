/**
 * The service and the agent with a .rknn: the library, here its double, may fail, crash and hang
 * without taking the service along.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { run, runJson } from "../cli/program_fixture.ts";
import { DEMO_POLICY, demoNetwork, readGoldenActions } from "../policy/policy_fixture.ts";
import { doubleLibrary, doubleOf, doubleOptions } from "../runtime/rknn_double_fixture.ts";
import { RawClient } from "../wire/client.ts";
import { FramedClient } from "../wire/framed_client.ts";
import { killServices, startService } from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const model = join(directory, "policy.rknn");
beforeAll(async () => writeFileSync(model, doubleOf(await demoNetwork())));
afterAll(killServices);

const flags = () => [
  "--model",
  model,
  "--obs-stats",
  DEMO_POLICY.obsStats,
  "--librknnrt",
  doubleLibrary(),
];
const environment = (faults: Record<string, string | number> = {}) =>
  doubleOptions(faults).env as Record<string, string>;

describeWith("cc")("serve with a .rknn", () => {
  test("answers as the network does, and says that a double computes", async () => {
    const socket = join(directory, "plain.sock");
    const service = await startService([...flags(), "--socket", socket, "--json"], {
      env: environment(),
    });
    const { backend, evidence } = JSON.parse(service.ready);
    expect({ backend, evidence }).toEqual({ backend: "rknn", evidence: "double" });
    const golden = await readGoldenActions();
    using client = new RawClient({ kind: "unix", path: socket }, 20_000);
    const action = new Float32Array(12);
    client.infer(golden.observations.subarray(0, 45), action);
    const worst = Math.max(...action.map((x, i) => Math.abs(x - (golden.actions[i] ?? NaN))));
    expect(worst).toBeLessThan(4e-3);
    expect((await service.stop()).status).toBe(0);
  });

  test("says what the library said where it cannot load the model", async () => {
    const socket = join(directory, "none.sock");
    const { status, stderr } = await run(["serve", ...flags(), "--socket", socket, "--quiet"], {
      env: environment({ NO_DEVICE: 1 }),
    });
    expect({ status, stderr }).toEqual({
      status: 6,
      stderr:
        "error: The NPU library's rknn_init gave -1 (FAIL) " +
        '(it said "E RKNN: failed to open rknn device!"): it failed without a reason of its own; ' +
        "RKNN_LOG_LEVEL=4 has it say more, lite3rl doctor checks driver, library and permissions\n",
    });
  });

  test("says who named a library that is not there", async () => {
    const words = ["serve", "--model", model, "--socket", join(directory, "none.sock"), "--quiet"];
    const { stderr } = await run(words, { env: { LITE3RL_LIBRKNNRT: "nowhere/librknnrt.so" } });
    const path = join(process.cwd(), "nowhere/librknnrt.so");
    expect(stderr).toBe(
      `error: Cannot load the NPU library "${path}": there is no such file, ` +
        "need librknnrt.so there (LITE3RL_LIBRKNNRT)\n",
    );
  });

  test("says that it loads, and what the library said of requests that failed", async () => {
    const socket = join(directory, "words.sock");
    // The load measures both ways in, by 32 runs each.
    const service = await startService([...flags(), "--socket", socket, "--warmup", "0"], {
      env: environment({ DELAY_US: 55_000, FAIL: "run:66:-1,run:67:-1" }),
    });
    using client = new FramedClient({ kind: "unix", path: socket }, 20_000);
    const [observation, action] = [new Float32Array(45), new Float32Array(12)];
    const outcomes: string[] = [];
    for (let i = 0; i < 4; i++) {
      const refused = await refusalOf(() => client.infer(observation, action)).catch(() => null);
      outcomes.push(refused === null ? "answered" : refused.code);
    }
    await service.stderr.until(/request failed/);
    const { stderr } = await service.stop();
    expect(outcomes).toEqual(["answered", "NATIVE", "NATIVE", "answered"]);
    expect(stderr).toStartWith("loading the model … (for at most 60 s)\n");
    expect(stderr).toMatch(
      /^warning: a request failed: The NPU library's rknn_run gave -1 .*; the library's last line is "E RKNN: failed to submit!, op id: 1, op name: Conv:fail"$/m,
    );
  });

  test("goes on after a failed run, a crash and a hang", async () => {
    const once = join(directory, "once");
    mkdirSync(once);
    const socket = join(directory, "faults.sock");
    const service = await startService(
      [...flags(), "--socket", socket, "--io", "float", "--warmup", "0"],
      { env: environment({ FAIL: "run:2:-1", CRASH_AT: 4, HANG_AT: 3, ONCE: once }) },
    );
    const golden = await readGoldenActions();
    const outcomes: string[] = [];
    let answer: Float32Array<ArrayBuffer> | undefined;
    for (let client = 0; client < 12; client++) {
      using one = new RawClient({ kind: "unix", path: socket }, 20_000);
      const action = new Float32Array(12).fill(7);
      const infer = () => one.infer(golden.observations.subarray(0, 45), action);
      const refused = await refusalOf(infer).catch(() => undefined);
      outcomes.push(refused === undefined ? "answered" : "closed");
      if (refused !== undefined) expect(action.every((value) => value === 7)).toBe(true);
      else expect(action).toEqual((answer ??= action));
    }
    const { status, stderr } = await service.stop();
    // Every process fails its second run; one hangs in its third, another crashes in its fourth.
    expect(outcomes.filter((outcome) => outcome === "closed").length).toBe(5);
    expect(status).toBe(0);
    for (const said of [
      "rknn_run gave -1",
      "did not return from an inference in time",
      "ended by SIGSEGV",
    ]) {
      expect(stderr).toContain(said);
    }
  });
});

describeWith("cc")("agent with a .rknn", () => {
  test("walks, with the double as its evidence", async () => {
    const words = ["agent", ...flags(), "--env", "lite3", "--steps", "50", "--fast"];
    const { status, json } = await runJson(words, { env: environment() });
    const { backend, evidence, steps } = json;
    expect({ status, backend, evidence, steps }).toEqual({
      status: 0,
      backend: "rknn",
      evidence: "double",
      steps: 50,
    });
  });
});
