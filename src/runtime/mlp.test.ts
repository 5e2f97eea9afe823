import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { describeOnAarch64, findTool } from "../../scripts/dev/test_tools.ts";
import { BINARIES, ROOT, run } from "../../scripts/dev/project.ts";
import { AARCH64_ENV, asAarch64 } from "../../scripts/dev/emulate.ts";
import { present } from "../base/assert.ts";
import { createRandom } from "../base/random.ts";
import { encodeOnnx, type OnnxModel } from "../formats/onnx.ts";
import { activate, type Activation } from "../policy/activation.ts";
import type { Layer, LinearLayer } from "../policy/network.ts";
import { demoNetwork, linear, modelOf, networkOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import type { Backend } from "./backend.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openMlp } from "./mlp.ts";
import { openOnnx } from "./onnx.ts";

/** Largest |difference| to ONNX Runtime, relative to actions above 1. */
const TOLERANCE = 1e-6;

const ACTIVATIONS = [
  "elu",
  "relu",
  "tanh",
  "sigmoid",
  "selu",
  "celu",
  "leaky_relu",
  "softplus",
  "gelu",
  "silu",
  "mish",
  "identity",
  "elu(0.5)",
  "leaky_relu(0.2)",
] as const satisfies Activation[];

/** Where exponentials over- and underflow, and numbers that have a sign and no size. */
const EXTREMES = [0, -0, 1e-30, -1e-30, 1e-6, -1e-6, 16.6, -16.6, 88, -88, 104, -104, 1e4, -1e4];

const open = (model: OnnxModel): Promise<Backend> => openOnnx(encodeOnnx(model), model);

async function actionsOf(
  backend: Backend,
  observations: Float32Array,
  rows: number,
): Promise<Float32Array> {
  const actions = new Float32Array(rows * backend.actionSize).fill(NaN);
  await backend.infer(observations, actions, backend.createState(), rows);
  return actions;
}

function worstOf(actions: Float32Array, expected: ArrayLike<number>): number {
  const errors = Array.from(actions, (action, i) => {
    const wanted = present(expected[i]);
    return Math.abs(action - wanted) / Math.max(1, Math.abs(wanted));
  });
  return errors.reduce((max, error) => (error <= max ? max : error), 0);
}

const scalar = (activation: Activation): OnnxModel => {
  const [first, last] = [linear("a", [[1]], [0]), linear("b", [[1]], [0])];
  return modelOf(networkOf(first, { kind: "activation", activation }, last), {
    dynamicBatch: true,
  });
};

/** An MLP of these widths, its weights as large as keeps the values of size 1. */
function randomLayers(
  widths: readonly number[],
  activation: Activation,
  seed: number,
): readonly Layer[] {
  const random = createRandom(seed);
  return widths.slice(1).flatMap((outputs, i): Layer[] => {
    const inputs = present(widths[i]);
    const row = () => Array.from({ length: inputs }, () => random.normal() / Math.sqrt(inputs));
    const bias = Array.from({ length: outputs }, () => 0.1 * random.normal());
    const layer = linear(`actor.${2 * i}`, Array.from({ length: outputs }, row), bias);
    return i === widths.length - 2 ? [layer] : [layer, { kind: "activation", activation }];
  });
}

const normals = (count: number, seed: number): Float32Array => {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random.normal());
};

/** What the kernel's `dense` is defined as, number by number. */
function denseByDefinition(layer: LinearLayer, x: Float32Array): Float32Array {
  return layer.bias.map((bias, n) =>
    x.reduce(
      (sum, value, k) =>
        Math.fround(sum + Math.fround(value * present(layer.weight[n * layer.inputs + k]))),
      bias,
    ),
  );
}

runBackendSuite("mlp, static batch", async () => openMlp(modelOf(await demoNetwork())), {
  tolerance: 1e-5,
});

runBackendSuite(
  "mlp, dynamic batch",
  async () => openMlp(modelOf(await demoNetwork(), { dynamicBatch: true })),
  { tolerance: 1e-5 },
);

describe("openMlp()", () => {
  test("names itself, its evidence and the model's tensors", () => {
    using backend = openMlp(modelOf(TINY_NETWORK, { dynamicBatch: true }));
    const { name, arithmetic, subject, inputs, outputs } = backend;
    expect({ name, arithmetic, subject, inputs, outputs }).toEqual({
      name: "mlp",
      arithmetic: "cpu",
      subject: "file",
      inputs: [{ name: "obs", shape: [null, 2] }],
      outputs: [{ name: "action", shape: [null, 1] }],
    });
  });

  test("answers at once, without a promise", () => {
    using backend = openMlp(modelOf(TINY_NETWORK));
    const action = new Float32Array(1);
    const answer = backend.infer(Float32Array.of(1, 2), action, backend.createState(), 1);
    // 2 · elu(5.5) + elu(-2) − 0.25 · elu(1) + 0.125
    expect([answer, action[0]]).toEqual([undefined, Math.fround(11 + Math.expm1(-2) - 0.125)]);
  });

  for (const activation of ACTIVATIONS) {
    test(`computes ${activation} as its scalar function and as ONNX Runtime`, async () => {
      using mlp = openMlp(scalar(activation));
      using onnx = await open(scalar(activation));
      const sweep = Array.from({ length: 3201 }, (_, i) => (i - 1600) / 200);
      const inputs = Float32Array.from([...sweep, ...EXTREMES]);
      const actions = await actionsOf(mlp, inputs, inputs.length);
      const exact = Array.from(inputs, (x) => activate(activation, x));
      expect(worstOf(actions, exact)).toBeLessThanOrEqual(TOLERANCE);
      // ONNX Runtime is further off itself where a sigmoid is multiplied by a large number.
      const byOnnx = await actionsOf(onnx, Float32Array.from(sweep), sweep.length);
      expect(worstOf(actions.subarray(0, sweep.length), byOnnx)).toBeLessThanOrEqual(TOLERANCE);
    });

    test(`gives NaN for NaN by ${activation}`, async () => {
      using mlp = openMlp(scalar(activation));
      expect([...(await actionsOf(mlp, Float32Array.of(NaN), 1))]).toEqual([NaN]);
    });
  }

  test("sums a dense layer in the order of its inputs, to the last bit, row by row", async () => {
    // Widths around those of a panel of weights, odd and even numbers of inputs.
    for (const [inputs, outputs] of [
      [1, 1],
      [2, 15],
      [5, 16],
      [6, 17],
      [33, 31],
      [64, 32],
      [7, 33],
      [8, 48],
      [45, 100],
    ] as const) {
      const [layer] = randomLayers([inputs, outputs], "identity", 3) as [LinearLayer];
      using mlp = openMlp(modelOf(networkOf(layer), { dynamicBatch: true }));
      const rows = normals(5 * inputs, 4);
      const expected = Array.from({ length: 5 }, (_, row) => [
        ...denseByDefinition(layer, rows.subarray(row * inputs, (row + 1) * inputs)),
      ]);
      expect([...(await actionsOf(mlp, rows, 5))]).toEqual(expected.flat());
    }
  });

  test("agrees with ONNX Runtime and with itself on any MLP, in batches of any size", async () => {
    const widths = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 2, maxLength: 5 });
    const property = fc.asyncProperty(
      widths,
      fc.constantFrom(...ACTIVATIONS),
      fc.integer({ min: 1, max: 11 }),
      fc.nat(1000),
      async (sizes, activation, rows, seed) => {
        const network = networkOf(...randomLayers(sizes, activation, seed));
        const model = modelOf(network, { dynamicBatch: true });
        using mlp = openMlp(model);
        using onnx = await open(model);
        const size = network.observationSize;
        const observations = normals(rows * size, seed + 1);
        const actions = await actionsOf(mlp, observations, rows);
        const alone: number[] = [];
        for (let row = 0; row < rows; row++) {
          const one = observations.slice(row * size, (row + 1) * size);
          alone.push(...(await actionsOf(mlp, one, 1)));
        }
        expect([...actions]).toEqual(alone);
        expect(worstOf(actions, await actionsOf(onnx, observations, rows))).toBeLessThanOrEqual(
          TOLERANCE,
        );
      },
    );
    await fc.assert(property, { numRuns: 60, seed: 11 });
  });

  test("keeps two open models apart", async () => {
    using one = openMlp(modelOf(TINY_NETWORK));
    using two = openMlp(modelOf(await demoNetwork()));
    const observation = Float32Array.of(1, 2);
    const before = await actionsOf(one, observation, 1);
    await actionsOf(two, normals(45, 1), 1);
    expect(await actionsOf(one, observation, 1)).toEqual(before);
  });
});

/** Of the whole output of `mlp_bits_fixture.ts`, on every machine. */
const BITS = "f9ccba1e5deed43862dfea534f93585d0276822b416029ffe3088541aab5fd4e";
const FIXTURE = "src/runtime/mlp_bits_fixture.ts";

test("the kernel gives the same bits as always", () => {
  const { stdout } = run([process.execPath, FIXTURE]);
  expect(stdout.trim()).toBe(BITS);
});

describeOnAarch64()("the kernel on aarch64", () => {
  test("gives the same bits as on x64", () => {
    // The binary is Bun with the program inside; so told, it is Bun alone.
    const command = asAarch64(findTool("qemu") ?? "", [BINARIES.arm64, FIXTURE]);
    const env = { ...AARCH64_ENV, BUN_BE_BUN: "1" };
    expect(run(command, { cwd: ROOT, env })).toEqual({
      status: 0,
      stdout: `${BITS}\n`,
      stderr: "",
    });
  });
});
