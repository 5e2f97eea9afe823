/**
 * The proof that an installed toolkit works: it converts a small network, as float16 and as int8,
 * and its simulator is compared with ONNX Runtime.
 */

import { Lite3Error } from "../base/errors.ts";
import { createRandom, type Random } from "../base/random.ts";
import { compareActions } from "../compare/statistics.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import type { Layer, LinearLayer } from "../policy/network.ts";
import { networkToOnnx } from "../policy/to_onnx.ts";
import type { InstalledToolkit, SelfTest } from "../rknn_toolkit/environment.ts";
import type { Quantization } from "../rknn_toolkit/job.ts";
import { runToolkitJob } from "../rknn_toolkit/run_job.ts";
import { openOnnx } from "../runtime/onnx.ts";

const SIZES = [8, 16, 16, 4] as const;
const ROWS = 64;
/** What this network has with 2.5.0, 2.3.2 and 2.2.0 is a tenth of it (fp16) and a third (w8a8). */
const GATES = { fp16: 1e-3, w8a8: 0.05 } as const;
const TIMEOUT_MS = 120_000;

/** Throws ToolkitFailure, or CHECK_FAILED where the conversion is not the network. */
export async function tryToolkit(
  toolkit: InstalledToolkit,
  signal?: AbortSignal,
): Promise<SelfTest> {
  const random = createRandom(5);
  const model = networkToOnnx(
    { layers: layersOf(random), observationSize: SIZES[0], actionSize: SIZES[3] },
    { outputName: "action", dynamicBatch: false, metadata: METADATA },
  );
  const bytes = encodeOnnx(model);
  const observations = Float32Array.from({ length: ROWS * SIZES[0] }, () => random.normal());
  const expected = new Float32Array(ROWS * SIZES[3]);
  using reference = await openOnnx(bytes, model);
  await reference.infer(observations, expected, reference.createState(), ROWS);

  const check = async (word: keyof SelfTest, quantization?: Quantization) => {
    const samples = { observations, rows: ROWS, input: "obs", output: "action", state: [] };
    const job = { model: bytes, target: "rk3588", samples, ...(quantization && { quantization }) };
    const options = { timeoutMs: TIMEOUT_MS, ...(signal && { signal }) };
    const { simulated = new Float32Array() } = await runToolkitJob(toolkit, job, options);
    const { mae, max } = compareActions(expected, simulated, ["0", "1", "2", "3"]);
    if (mae <= GATES[word]) return { mae, max };
    throw new Lite3Error(
      "CHECK_FAILED",
      `Cannot use rknn-toolkit2 ${toolkit.version}: its self-test in ${word} differs from ONNX ` +
        `by ${mae}, need at most ${GATES[word]}; another version may do: --toolkit`,
    );
  };
  const dataset = [{ name: "obs", shape: [1, SIZES[0]], data: observations }];
  return {
    fp16: await check("fp16"),
    w8a8: await check("w8a8", { algorithm: "normal", method: "channel", dataset }),
  };
}

const METADATA = {
  sourceDigest: "self-test",
  layout: "actor_critic",
  activation: "elu",
  normalizer: "none",
  toolVersion: "0",
} as const;

function layersOf(random: Random): Layer[] {
  const linears = SIZES.slice(1).map((outputs, i): LinearLayer => {
    const inputs = SIZES[i] ?? 0;
    const spread = 1 / Math.sqrt(inputs);
    const values = (length: number) =>
      Float32Array.from({ length }, () => random.normal() * spread);
    const [weight, bias] = [values(inputs * outputs), values(outputs)];
    return { kind: "linear", name: `actor.${i}`, inputs, outputs, weight, bias };
  });
  const elu = { kind: "activation", activation: "elu" } as const;
  return linears.flatMap((linear, i) => (i < linears.length - 1 ? [linear, elu] : [linear]));
}
