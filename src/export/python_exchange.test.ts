/**
 * Files for other programs: numpy reads our arrays, onnx's checker accepts our models, and
 * Python's ONNX Runtime gives the actions that torch gave.
 */

import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../scripts/dev/project.ts";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { collect } from "../collect/collect.ts";
import { exportCheckpoint } from "./export_checkpoint.ts";

const FIXTURES = join(import.meta.dir, "../../fixtures/demo_policy");
const python = findTool("python") ?? "";
const testPython = testWith("python");
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "lite3rl-python-"));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs a Python program with the fixtures' folder as its argument; returns its JSON. */
function ask(program: string): unknown {
  const path = join(directory, "ask.py");
  writeFileSync(path, program);
  const { status, stdout, stderr } = run([python, "-I", path, FIXTURES], { cwd: directory });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

const CHECK_MODEL = (model: string, batches: readonly number[]): string => `
import json, sys, numpy, onnx, onnxruntime
onnx.checker.check_model("${model}", full_check=True)
golden = numpy.load(sys.argv[1] + "/golden.npz")
stats = numpy.load(sys.argv[1] + "/obs_stats.npz")
obs = (golden["obs"] - stats["mean"]) / numpy.maximum(stats["std"], 1e-3)
session = onnxruntime.InferenceSession("${model}", providers=["CPUExecutionProvider"])
errors = []
for n in ${JSON.stringify(batches)}:
    action = session.run(["action"], {"obs": obs[:n]})[0]
    assert action.dtype == numpy.float32 and action.shape == (n, 12), (action.dtype, action.shape)
    errors.append(float(numpy.abs(action - golden["actions"][:n]).max()))
shape = [list(x.shape) for x in session.get_inputs() + session.get_outputs()]
print(json.dumps({"worst": max(errors) < 1e-5, "shape": shape,
                  "opset": onnx.load("${model}").opset_import[0].version}))
`;

testPython("exportCheckpoint() writes what Python's onnx and ONNX Runtime agree with", async () => {
  const options = {
    checkpoint: join(FIXTURES, "policy.pt"),
    config: join(FIXTURES, "actor_config.yaml"),
    outputName: "action",
    check: false,
  };
  const fixed = { ...options, dynamicBatch: false, output: join(directory, "static.onnx") };
  const dynamic = { ...options, dynamicBatch: true, output: join(directory, "dynamic.onnx") };
  await exportCheckpoint(fixed);
  await exportCheckpoint(dynamic);
  expect(ask(CHECK_MODEL("static.onnx", [1]))).toEqual({
    worst: true,
    opset: 18,
    shape: [
      [1, 45],
      [1, 12],
    ],
  });
  expect(ask(CHECK_MODEL("dynamic.onnx", [1, 7, 256]))).toEqual({
    worst: true,
    opset: 18,
    shape: [
      ["batch", 45],
      ["batch", 12],
    ],
  });
});

testPython("collect() writes arrays that numpy reads", async () => {
  const output = join(directory, "calib_obs.npy");
  const obsStats = join(directory, "new_stats.npz");
  const options = { env: "lite3", policy: "random", samples: 64, start: "standing" } as const;
  await collect({ ...options, output, obsStats, rateHz: 50, seed: 1 });
  const program = `
import json, numpy
obs = numpy.load("calib_obs.npy")
stats = numpy.load("new_stats.npz")
print(json.dumps({
    "dtype": str(obs.dtype), "shape": obs.shape, "c": bool(obs.flags["C_CONTIGUOUS"]),
    "keys": sorted(stats.files),
    "mean": bool(numpy.allclose(stats["mean"], obs.mean(axis=0), atol=1e-6)),
    "std": bool(numpy.allclose(stats["std"], obs.std(axis=0), atol=1e-6))}))
`;
  expect(ask(program)).toEqual({
    dtype: "float32",
    shape: [64, 45],
    c: true,
    keys: ["collected_samples", "mean", "std"],
    mean: true,
    std: true,
  });
});
