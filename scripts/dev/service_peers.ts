/**
 * What the service is measured against and driven by: programs in C and Python, and the files that
 * they take. Nothing of it is in a release.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../src/base/assert.ts";
import { createRandom } from "../../src/base/random.ts";
import { decodeOnnx, type OnnxModel, tensorFloats } from "../../src/formats/onnx.ts";
import type { Normalizer } from "../../src/policy/normalizer.ts";
import type { Policy } from "../../src/runtime/policy.ts";
import { ROOT, run } from "./project.ts";

const SOURCES = join(ROOT, "scripts", "dev", "service_peers");
export const PYTHON_SERVICE = join(SOURCES, "service.py");

/** Programs with their sources. */
const PROGRAMS = {
  server: ["server.c", "mlp.c"],
  mlp_loop: ["mlp_loop.c", "mlp.c"],
  client: ["client.c", "exchange.c"],
  soak: ["soak.c", "soak_connection.c", "exchange.c"],
} as const;

/** The flags of the comparison: what a C programmer gets from this machine's compiler. */
const FLAGS = ["-std=gnu11", "-O3", "-march=native", "-Wall", "-Wextra", "-Werror"];

/** Compiles a program for this machine into `directory`; its path. */
export function buildPeer(name: keyof typeof PROGRAMS, cc: string, directory: string): string {
  const path = join(directory, name);
  const sources = PROGRAMS[name].map((file) => join(SOURCES, file));
  const { status, stderr } = run([cc, ...FLAGS, "-o", path, ...sources, "-lm"]);
  if (status !== 0) throw new Error(`${name} was not compiled:\n${stderr}`);
  return path;
}

/** Writes an exported MLP with its normalizer as `service_peers/mlp.h` has it. */
export function writeNetwork(path: string, onnx: string, { mean, divisor }: Normalizer): void {
  const layers = denseLayers(decodeOnnx(readFileSync(onnx)));
  const parts = layers.flatMap(({ inputs, outputs, weight, bias }) => {
    // From torch's [outputs, inputs] to the order of the loops.
    const turned = Float32Array.from({ length: weight.length }, (_, i) =>
      present(weight[(i % outputs) * inputs + Math.floor(i / outputs)]),
    );
    return [Uint32Array.of(inputs, outputs), turned, bias];
  });
  writeFileSync(
    path,
    join32([Uint32Array.of(layers.length, mean.length), mean, divisor, ...parts]),
  );
}

export interface Answers {
  readonly rows: number;
  /** Shape [rows, observationSize], around the normalizer's mean. */
  readonly observations: Float32Array;
  /** Shape [rows, actionSize]. */
  readonly actions: Float32Array;
}

/** Observations as this policy may meet them, and what it answers to each. */
export async function answersOf(policy: Policy, rows: number): Promise<Answers> {
  const { observationSize, actionSize } = policy;
  const { mean, divisor } = present(policy.normalizer);
  const random = createRandom(7);
  const observations = Float32Array.from({ length: rows * observationSize }, (_, i) => {
    const term = i % observationSize;
    return present(mean[term]) + present(divisor[term]) * random.normal();
  });
  const actions = new Float32Array(rows * actionSize);
  const state = policy.backend.createState();
  for (let row = 0; row < rows; row++) {
    const observation = observations.subarray(row * observationSize, (row + 1) * observationSize);
    const action = actions.subarray(row * actionSize, (row + 1) * actionSize);
    await policy.act(observation, action, state);
  }
  return { rows, observations, actions };
}

/** Writes them as `service_peers/exchange.h` has it. */
export function writeExchange(path: string, { rows, observations, actions }: Answers): void {
  const head = Uint32Array.of(rows, observations.length / rows, actions.length / rows);
  writeFileSync(path, join32([head, observations, actions]));
}

interface DenseLayer {
  readonly inputs: number;
  readonly outputs: number;
  /** Shape [outputs, inputs]. */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

function denseLayers({ graph }: OnnxModel): DenseLayer[] {
  const named = new Map(graph?.initializer?.map((tensor) => [tensor.name, tensor]));
  return (graph?.node ?? [])
    .filter(({ opType }) => opType === "Gemm")
    .map(({ input }) => {
      const [weight, bias] = [1, 2].map((i) => tensorFloats(present(named.get(input?.[i] ?? ""))));
      const outputs = present(bias).length;
      const inputs = present(weight).length / outputs;
      return { inputs, outputs, weight: present(weight), bias: present(bias) };
    });
}

/** The 32-bit words of all of them; every machine that runs this is little-endian. */
function join32(parts: readonly (Float32Array | Uint32Array)[]): Uint8Array {
  return Buffer.concat(
    parts.map(
      ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
    ),
  );
}
