/**
 * Prints a digest of what the kernel computes, for the test that compares two architectures: every
 * function of it on numbers large and small, alone and by fours, and a dense layer of odd widths.
 */

import { createRandom } from "../base/random.ts";
import { sha256 } from "../base/files.ts";
import type { Activation } from "../policy/activation.ts";
import type { Layer } from "../policy/network.ts";
import { linear, modelOf, networkOf } from "../policy/policy_fixture.ts";
import { openMlp } from "./mlp.ts";

const ROWS = 203;
const WIDTH = 37;
const ACTIVATIONS: readonly Activation[] = [
  "elu",
  "selu",
  "leaky_relu",
  "relu",
  "tanh",
  "sigmoid",
  "softplus",
  "gelu",
  "silu",
  "mish",
];

const random = createRandom(7);
const numbers = (count: number, scale: number): number[] =>
  Array.from({ length: count }, () => random.between(-2 * scale, 2 * scale));
const dense = (name: string, outputs: number) =>
  linear(
    name,
    Array.from({ length: outputs }, () => numbers(WIDTH, 0.3)),
    numbers(outputs, 0.5),
  );

function digest(layers: readonly Layer[]): string {
  using backend = openMlp(modelOf(networkOf(dense("first", WIDTH), ...layers, dense("last", 7))));
  const observation = Float32Array.from(
    numbers(ROWS * WIDTH, 1),
    (x, i) => x * 10 ** ((i % 9) - 6),
  );
  const action = new Float32Array(ROWS * 7);
  backend.infer(observation, action, backend.createState(), ROWS);
  return sha256(new Uint8Array(action.buffer));
}

const ones = new Float32Array(WIDTH).fill(1);
const layers: readonly (readonly Layer[])[] = [
  ...ACTIVATIONS.map((activation) => [{ kind: "activation", activation } as const]),
  [{ kind: "layer_norm", name: "norm", weight: ones, bias: ones, epsilon: 1e-5 }],
  [{ kind: "normalize", mean: Float32Array.from(numbers(WIDTH, 1)), divisor: ones, limit: 0.7 }],
];
process.stdout.write(`${sha256(new TextEncoder().encode(layers.map(digest).join()))}\n`);
