/** Calibration, emulated parity, conversion, and the proof of a converted file. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeOnnx } from "../../../src/formats/onnx.ts";
import { DEMO_POLICY } from "../../../src/policy/policy_fixture.ts";
import { proveWeights } from "../../../src/runtime/rknn_weights.ts";
import { NATIVE_BINARY, run } from "../project.ts";
import { TOOLS } from "../tools.ts";
import { line, RUNS, time } from "./measure.ts";

/** Needs `p.onnx` and `l.onnx` in the directory. */
export function conversion(directory: string): void {
  const stats = ["--obs-stats", DEMO_POLICY.obsStats];
  const collect = ["collect", "--env", "lite3", "--policy", "p.onnx", "--output", "obs.npy"];
  time("collect 2,048 observations", 3, 5000, [NATIVE_BINARY, ...collect, ...stats], directory);
  const parity = ["parity", "p.onnx", "emulated", "--dataset", "obs.npy", ...stats];
  time("parity with emulation, 2,048", 3, 2000, [NATIVE_BINARY, ...parity], directory);
  const toolkit = TOOLS.toolkit();
  if ("missing" in toolkit) {
    line({ name: "convert", skipped: toolkit.missing });
    return;
  }
  const convert = [NATIVE_BINARY, "convert", "p.onnx", "--dataset", "obs.npy", ...stats, "--json"];
  const besideMs = Array.from({ length: 3 }, () => {
    const started = performance.now();
    const { status, stdout, stderr } = run(convert, { cwd: directory });
    if (status !== 0) throw new Error(stderr);
    const { built } = JSON.parse(stdout) as { built: { toolkitSeconds: number }[] };
    return performance.now() - started - 1000 * (built[0]?.toolkitSeconds ?? NaN);
  }).sort((a, b) => a - b);
  const name = "convert, beside the toolkit's own time";
  line({ name, unit: "ms", best: besideMs[0], median: besideMs[1], runs: 3, budget: 500 });
  // The network of `startUp`: a file of 440 kB.
  const large = run([NATIVE_BINARY, "convert", "l.onnx", "--mae", "1"], { cwd: directory });
  if (large.status !== 0) throw new Error(large.stderr);
  const [rknn, onnx] = ["l.rknn", "l.onnx"].map((file) => readFileSync(join(directory, file)));
  const model = decodeOnnx(onnx as Uint8Array);
  const tookMs = Array.from({ length: RUNS }, () => {
    const started = performance.now();
    if (!proveWeights(rknn as Uint8Array, model).holds) throw new Error("l.rknn is not l.onnx");
    return performance.now() - started;
  }).sort((a, b) => a - b);
  const proof = { name: `weights of ${rknn?.length} bytes decoded and compared`, unit: "ms" };
  line({ ...proof, best: tookMs[0], median: tookMs[RUNS >> 1], runs: RUNS, budget: 50 });
}
