import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { sha256 } from "../base/files.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { demoNetwork, modelOf, readGoldenActions } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { requireToolkit } from "./environment.ts";
import type { ToolkitJob } from "./job.ts";
import { runToolkitJob } from "./run_job.ts";
import { processesIn, tinyJob } from "./toolkit_fixture.ts";

const directory = temporaryDirectory();
const testToolkit = testWith("toolkit");
const run = (job: ToolkitJob, onStage?: (stage: string) => void) =>
  runToolkitJob(requireToolkit(), job, { timeoutMs: 60_000, ...(onStage && { onStage }) });

/** Runs `action` with these variables, which are taken back afterwards. */
async function withVariables<T>(
  variables: Readonly<Record<string, string>>,
  action: () => Promise<T>,
): Promise<T> {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    return await action();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

/** The demo policy in int8, with its golden observations to simulate. */
async function demoJob(float16Layers?: readonly string[]): Promise<ToolkitJob> {
  const { normalised, rows } = await readGoldenActions();
  const data = normalised.slice(0, 100 * 45);
  const dataset = [{ name: "obs", shape: [45], data }];
  const layers = float16Layers === undefined ? {} : { float16Layers };
  return {
    model: encodeOnnx(modelOf(await demoNetwork())),
    target: "rk3588",
    quantization: { algorithm: "normal", method: "channel", dataset, ...layers },
    samples: { observations: normalised, rows, input: "obs", output: "action", state: [] },
  };
}

/** Mean error against the golden actions, and the layers that stayed float16. */
async function errorOf(job: ToolkitJob): Promise<{ mae: number; layers: readonly string[] }> {
  const { actions } = await readGoldenActions();
  const { simulated = new Float32Array(), layers = [] } = await run(job);
  const sum = actions.reduce((total, x, i) => total + Math.abs(x - (simulated[i] ?? NaN)), 0);
  return { mae: sum / actions.length, layers };
}

describe("runToolkitJob()", () => {
  testToolkit("gives the same bytes for the same job, wherever it runs", async () => {
    for (const precision of ["fp16", "w8a8"] as const) {
      const temporary = join(directory, `a place with spaces ${precision}`);
      mkdirSync(temporary);
      const first = await run(tinyJob(precision));
      const second = await withVariables({ TMPDIR: temporary }, () => run(tinyJob(precision)));
      expect(sha256(second.rknn)).toBe(sha256(first.rknn));
      expect(second.simulated).toEqual(first.simulated!);
      expect(readdirSync(temporary)).toEqual([]);
    }
  });

  testToolkit("says each stage as it begins, and how long it took", async () => {
    const said: string[] = [];
    const { stages, versions, rknn, log } = await run(tinyJob(), (stage) => said.push(stage));
    const all = ["import", "config", "load", "build", "init_runtime", "simulate", "export"];
    expect([said, Object.keys(stages)]).toEqual([all, all]);
    expect(Object.values(stages).every((seconds) => seconds >= 0)).toBe(true);
    expect(Object.keys(versions).toSorted()).toEqual([
      "numpy",
      "onnx",
      "onnxruntime",
      "protobuf",
      "python",
      "rknn-toolkit2",
      "torch",
    ]);
    expect(new TextDecoder().decode(rknn.subarray(0, 4))).toBe("RKNN");
    expect(log).toContain("rknn-toolkit2 version");
    expect(["\r", "\u001b"].filter((mark) => log.includes(mark))).toEqual([]);
  });

  testToolkit("reads no Python variable of the user's", async () => {
    const foreign = { PYTHONHOME: "/nonexistent", PYTHONPATH: directory, PYTHONSTARTUP: "x" };
    const { rknn } = await withVariables(foreign, () => run(tinyJob()));
    expect(sha256(rknn)).toBe(sha256((await run(tinyJob())).rknn));
  });

  testToolkit("keeps layers in float16, which come closer than int8 alone", async () => {
    const int8 = await errorOf(await demoJob());
    const first = await errorOf(await demoJob(["actor.0/Gemm"]));
    const both = await errorOf(await demoJob(["elu.1/Elu", "action"]));
    expect([int8.layers, first.layers, both.layers]).toEqual([
      [],
      ["obs_tp_rs", "obs_int8", "actor.0/Gemm_mm", "elu.1/Elu-rs"],
      ["obs_tp_rs", "obs_int8", "actor.0/Gemm_mm", "elu.1/Elu-rs", "action_mm", "action_int8"],
    ]);
    expect(first.mae).toBeLessThan(int8.mae);
    expect(both.mae).toBeLessThan(first.mae);
  });

  for (const cell of ["gru", "lstm"] as const) {
    testToolkit(`gives the state of a ${cell} from row to row`, async () => {
      const model = modelOf(seededNetwork(cell, 2));
      const inputs = (model.graph.input ?? []).map(({ name = "", type }) => ({
        name,
        shape: type?.tensorType?.shape?.dim?.map(({ dimValue }) => Number(dimValue)) ?? [],
      }));
      const state = inputs.slice(1).map(({ name, shape }) => {
        return { input: name, output: name.replace("_in", "_out"), shape };
      });
      const width = inputs[0]?.shape[1] ?? 0;
      const row = Float32Array.from({ length: width }, (_, i) => Math.sin(i));
      const job = (rows: number): ToolkitJob => ({
        model: encodeOnnx(model),
        target: "rk3588",
        samples: {
          observations: Float32Array.from({ length: rows * width }, (_, i) => row[i % width] ?? 0),
          rows,
          input: "obs",
          output: "action",
          state,
        },
      });
      const { simulated: actions = new Float32Array() } = await run(job(3));
      const { simulated: one = new Float32Array() } = await run(job(1));
      const size = one.length;
      const step = (i: number) => Array.from(actions.subarray(i * size, (i + 1) * size));
      expect([actions.length, step(0)]).toEqual([3 * size, Array.from(one)]);
      expect(step(1)).not.toEqual(step(0));
    });
  }

  testToolkit("leaves nothing when the user presses Ctrl-C", async () => {
    const temporary = join(directory, "interrupted");
    mkdirSync(temporary);
    const script = join(import.meta.dir, "../rknn_toolkit/hanging_job_fixture.ts");
    const child = Bun.spawn([process.execPath, script], {
      env: { ...process.env, TMPDIR: temporary },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const reader = child.stdout.getReader();
    let said = "";
    while (!said.includes("build")) said += new TextDecoder().decode((await reader.read()).value);
    const [name = ""] = readdirSync(temporary);
    expect(processesIn(join(temporary, name))).not.toEqual([]);
    child.kill("SIGINT");
    expect(await child.exited).toBe(6);
    expect([readdirSync(temporary), processesIn(join(temporary, name))]).toEqual([[], []]);
  });
});
