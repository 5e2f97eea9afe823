/** One inference of the `mlp` backend, against C of the same network and against ONNX Runtime. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../../src/base/assert.ts";
import { createNormalizer } from "../../../src/policy/normalizer.ts";
import type { Backend } from "../../../src/runtime/backend.ts";
import { openModel, readModel } from "../../../src/runtime/open.ts";
import { NATIVE_BINARY, run } from "../project.ts";
import { buildPeer, writeNetwork } from "../service_peers.ts";
import { TOOLS } from "../tools.ts";
import { randomCheckpoint, WIDTHS } from "./checkpoints.ts";
import { line, RUNS } from "./measure.ts";

const CALLS = 10_000;

export async function kernel(directory: string): Promise<void> {
  const [checkpoint, model] = ["kernel.pt", "kernel.onnx"].map((file) => join(directory, file)) as [
    string,
    string,
  ];
  writeFileSync(checkpoint, randomCheckpoint());
  const words = ["export", checkpoint, "--activation", "elu", "--output", model];
  const { status, stderr } = run([NATIVE_BINARY, ...words]);
  if (status !== 0) throw new Error(stderr);
  const file = await readModel(model);
  using mlp = await openModel(file, "mlp");
  using onnx = await openModel(file, "onnx");
  const c = cLoop(directory, model);
  const rounds: { mlp: number; onnx: number; c: number }[] = [];
  for (let i = 0; i < RUNS; i++) {
    rounds.push({ mlp: await medianUs(mlp), onnx: await medianUs(onnx), c: c?.() ?? NaN });
  }
  const middle = (figures: readonly number[]): number =>
    present([...figures].sort((a, b) => a - b)[figures.length >> 1]);
  const of = (key: "mlp" | "onnx" | "c") => middle(rounds.map((round) => round[key]));
  const name = `one inference of ${WIDTHS.join("-")}`;
  line({ name, unit: "us", mlp: of("mlp"), onnx: of("onnx"), ...(c && { c: of("c") }) });
  const ratioTo = (key: "onnx" | "c") => middle(rounds.map((round) => round.mlp / round[key]));
  line({ name: `${name}, against ONNX Runtime`, ratio: ratioTo("onnx"), budget: 1 });
  if (c === undefined) line({ name: `${name}, against C`, skipped: "no C compiler" });
  else line({ name: `${name}, against C`, ratio: ratioTo("c"), budget: 1 });
}

/** Median in C, µs; nothing without a compiler. */
function cLoop(directory: string, model: string): (() => number) | undefined {
  const cc = TOOLS.cc();
  if ("missing" in cc) return undefined;
  const size = present(WIDTHS[0]);
  const none = { mean: new Float32Array(size), std: new Float32Array(size).fill(1) };
  const network = join(directory, "kernel.bin");
  writeNetwork(network, model, createNormalizer(none));
  const loop = buildPeer("mlp_loop", cc.path, directory);
  return () => {
    const { status, stdout, stderr } = run([loop, network, String(CALLS)]);
    if (status !== 0) throw new Error(stderr);
    return Number(stdout) / 1000;
  };
}

async function medianUs(backend: Backend): Promise<number> {
  const observation = Float32Array.from({ length: backend.observationSize }, (_, i) => 0.1 * i - 2);
  const action = new Float32Array(backend.actionSize);
  const state = backend.createState();
  const tookNs = new Float64Array(CALLS);
  for (let i = 0; i < CALLS; i++) {
    const started = Bun.nanoseconds();
    const running = backend.infer(observation, action, state, 1);
    if (running !== undefined) await running;
    tookNs[i] = Bun.nanoseconds() - started;
  }
  return present(tookNs.sort()[CALLS >> 1]) / 1000;
}
