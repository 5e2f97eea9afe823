import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithShared, SHARED_DATA } from "../../scripts/dev/test_tools.ts";
import { present } from "../base/assert.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import {
  decodeOnnx,
  encodeOnnx,
  makeNode,
  makeTensor,
  makeValueInfo,
  tensorFloats,
} from "../formats/onnx.ts";
import { readNpy } from "../formats/npy.ts";
import { toFloat32 } from "../formats/tensor.ts";
import { demoNetwork, linear, modelOf, networkOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { runBackendSuite } from "./backend_suite.ts";
import {
  emulate,
  emulateFp16,
  type EmulationRecipe,
  openEmulated,
  quantizableLayers,
} from "./emulated.ts";
import { agreementOf, readCalibration, readRknnModel } from "./rknn_fixture.ts";

runBackendSuite("emulated", async () => openEmulated(modelOf(await demoNetwork())), {
  tolerance: 4e-3,
});

const THIRD = networkOf(linear("actor.0", [[1 / 3, -1 / 3]], [1 / 3]));

/** TensorProto.DataType. */
const TYPES: Readonly<Record<number, string>> = { 1: "float32", 10: "float16", 11: "float64" };

describe("emulateFp16()", () => {
  test("rounds weights to float16 and leaves biases in float32", () => {
    const { initializer = [] } = emulateFp16(modelOf(THIRD)).graph;
    const third = 0.333251953125; // 1365 / 4096, the float16 next to 1/3.
    expect(initializer).toEqual([
      makeTensor("actor.0.weight", [1, 2], Float32Array.of(third, -third)),
      makeTensor("actor.0.bias", [1], Float32Array.of(1 / 3)),
    ]);
  });

  test("rounds the input and every result by a pair of casts, and sums in float64", () => {
    const { node = [], input, output } = emulateFp16(modelOf(TINY_NETWORK)).graph;
    const lines = node.map(({ opType, input: from = [], output: to = [], attribute }) => {
      const type = TYPES[Number(attribute?.[0]?.i)];
      return `${from.join(" ")} → ${opType === "Cast" ? type : opType} → ${to.join(" ")}`;
    });
    expect(lines).toEqual([
      "obs → float16 → obs/fp16/half",
      "obs/fp16/half → float32 → obs/fp16",
      "obs/fp16 → float64 → obs/fp16/wide",
      "actor.0.weight → float64 → actor.0.weight/wide",
      "actor.0.bias → float64 → actor.0.bias/wide",
      "obs/fp16/wide actor.0.weight/wide actor.0.bias/wide → Gemm → actor.0/Gemm/exact",
      "actor.0/Gemm/exact → float16 → actor.0/Gemm/fp16/half",
      "actor.0/Gemm/fp16/half → float32 → actor.0/Gemm/fp16",
      "actor.0/Gemm/fp16 → Elu → elu.1/Elu/exact",
      "elu.1/Elu/exact → float16 → elu.1/Elu/fp16/half",
      "elu.1/Elu/fp16/half → float32 → elu.1/Elu/fp16",
      "elu.1/Elu/fp16 → float64 → elu.1/Elu/fp16/wide",
      "actor.2.weight → float64 → actor.2.weight/wide",
      "actor.2.bias → float64 → actor.2.bias/wide",
      "elu.1/Elu/fp16/wide actor.2.weight/wide actor.2.bias/wide → Gemm → action/exact",
      "action/exact → float16 → action/half",
      "action/half → float32 → action",
    ]);
    const { graph } = modelOf(TINY_NETWORK);
    expect([input, output]).toEqual([graph.input, graph.output]);
  });

  test("casts a value once that two sums take, and no input that is left out", () => {
    const model = decodeOnnx(
      encodeOnnx({
        graph: {
          node: [
            makeNode("Gemm", ["x", "w", ""], ["a"]),
            makeNode("MatMul", ["x", "w"], ["b"]),
            makeNode("Add", ["a", "b"], ["y"]),
          ],
          initializer: [makeTensor("w", [1, 1], Float32Array.of(1))],
          input: [makeValueInfo("x", [1, 1])],
          output: [makeValueInfo("y", [1, 1])],
        },
      }),
    );
    const { node = [] } = emulateFp16(model).graph;
    const inputsOf = (type: string) => node.find(({ opType }) => opType === type)?.input;
    expect([
      node.filter(({ output }) => output?.[0]?.endsWith("/wide")).map(({ input }) => input?.[0]),
      ...["Gemm", "MatMul", "Add"].map(inputsOf),
    ]).toEqual([
      ["x/fp16", "w"],
      ["x/fp16/wide", "w/wide", ""],
      ["x/fp16/wide", "w/wide"],
      ["a/fp16", "b/fp16"],
    ]);
  });

  test("leaves the model that it was given alone", () => {
    const model = modelOf(THIRD);
    emulateFp16(model);
    expect(model).toEqual(modelOf(THIRD));
  });

  test("casts no weight that an older file lists among its inputs", () => {
    const model = modelOf(THIRD);
    const listed = [...(model.graph.input ?? []), { name: "actor.0.weight" }];
    const { node } = emulateFp16({ ...model, graph: { ...model.graph, input: listed } }).graph;
    expect(node).toEqual(emulateFp16(model).graph.node);
  });
});

describe("openEmulated()", () => {
  test("says that it is an emulation, built from the recipe", async () => {
    using backend = await openEmulated(modelOf(THIRD));
    const { name, arithmetic, subject } = backend;
    expect({ name, arithmetic, subject }).toEqual({
      name: "emulated",
      arithmetic: "emulation",
      subject: "recipe",
    });
  });

  test("rounds input, weights and result, and nothing between", async () => {
    using backend = await openEmulated(modelOf(THIRD));
    const action = new Float32Array(1);
    await backend.infer(Float32Array.of(0.1, 0.7), action, backend.createState(), 1);
    const half = Math.f16round;
    const exact = half(0.1) * half(1 / 3) - half(0.7) * half(1 / 3) + Math.fround(1 / 3);
    expect([action[0], action[0] === half(exact)]).toEqual([half(exact), true]);
    expect(half(0.1) * half(1 / 3) - half(0.7) * half(1 / 3) + half(1 / 3)).not.toBe(exact);
  });
});

describe("openEmulated() in int8", () => {
  const small = readRknnModel("small");
  const first = "elu.1/Elu";

  test.each<[string, EmulationRecipe]>([
    ["small.fp16", { precision: "fp16" }],
    ["small.w8a8", { precision: "w8a8" }],
    ["small.w8a8_layer", { precision: "w8a8", method: "layer" }],
    ["small.hybrid", { precision: "hybrid", float16Layers: [first] }],
  ])("gives the simulator's actions of %s from the recipe alone", async (name, recipe) => {
    using backend = await openEmulated(await small, { ...recipe, calibration: readCalibration() });
    const { equal, mean } = await agreementOf(backend, name);
    expect([equal, backend.subject]).toEqual([1, "recipe"]);
    expect(mean).toBeLessThanOrEqual(2e-7);
  });

  test("gives what only a Clip takes the Clip's range", async () => {
    const calibration = Float32Array.from({ length: 90 }, (_, i) => 4 * Math.sin(i));
    const recipe = { precision: "w8a8", calibration } as const;
    const { graph } = await emulate(await readRknnModel("normalized"), recipe);
    const scaleOf = (value: string) =>
      graph.initializer
        ?.filter(({ name }) => name === `${value}/scale`)
        .map((tensor) => tensorFloats(tensor)[0]);
    const clip = scaleOf("obs_normalizer/Clip");
    expect([clip, scaleOf("obs_normalizer/Div")]).toEqual([[Math.fround(4 / 255)], clip]);
  });

  test("takes a layer by its product or by its activation", async () => {
    const model = await small;
    const recipe = { precision: "hybrid", calibration: readCalibration() } as const;
    const of = async (name: string) =>
      encodeOnnx(await emulate(model, { ...recipe, float16Layers: [name] }));
    expect(await of("actor.0/Gemm")).toEqual(await of(first));
  });

  test("is standard ONNX of QuantizeLinear and DequantizeLinear", async () => {
    const calibration = Float32Array.of(1, 2, -3, 0.5);
    const recipe = { precision: "w8a8", calibration } as const;
    const { graph } = await emulate(modelOf(TINY_NETWORK), recipe);
    const lines = (graph.node ?? []).map(({ opType, input = [], output = [] }) =>
      [opType, ...input, "→", ...output].join(" "),
    );
    expect(lines.slice(0, 12)).toEqual([
      "QuantizeLinear obs obs/scale obs/zero_point → obs/int8/q",
      "DequantizeLinear obs/int8/q obs/scale obs/zero_point → obs/int8",
      "Cast obs/int8 → obs/int8/wide",
      "DequantizeLinear actor.0.weight/int8 actor.0.weight/scale actor.0.weight/zero_point → " +
        "actor.0.weight/real",
      "Cast actor.0.weight/real → actor.0.weight/real/wide",
      "DequantizeLinear actor.0.bias/int32 actor.0.bias/scale → actor.0.bias/real",
      "Cast actor.0.bias/real → actor.0.bias/real/wide",
      "Gemm obs/int8/wide actor.0.weight/real/wide actor.0.bias/real/wide → actor.0/Gemm/sum",
      "Cast actor.0/Gemm/sum → actor.0/Gemm/exact",
      "Elu actor.0/Gemm/exact → elu.1/Elu/exact",
      "QuantizeLinear elu.1/Elu/exact elu.1/Elu/scale elu.1/Elu/zero_point → elu.1/Elu/int8/q",
      "DequantizeLinear elu.1/Elu/int8/q elu.1/Elu/scale elu.1/Elu/zero_point → elu.1/Elu/int8",
    ]);
    expect(lines.at(-1)).toBe("DequantizeLinear action/q action/scale action/zero_point → action");
    const named = (name: string) => graph.initializer?.find((tensor) => tensor.name === name);
    const weight = present(named("actor.0.weight/int8"));
    expect([weight.dims, [...tensorFloats(weight)]]).toEqual([
      [3, 2],
      [-1, 127, -128, 127, 0, 0],
    ]);
  });

  test("refuses a layer that is not there with those that are", async () => {
    const calibration = readCalibration();
    const recipe = { precision: "hybrid", float16Layers: ["mlp.0"], calibration } as const;
    const model = await small;
    expect(await refusalOf(() => emulate(model, recipe))).toEqual({
      code: "USAGE",
      message:
        'Cannot keep layer "mlp.0" in float16: there is none, ' +
        "need one of elu.1/Elu, elu.3/Elu, action",
    });
  });

  test("keeps the recurrent cells of a policy in float16 and its head in int8", async () => {
    const model = modelOf(seededNetwork("gru", 1));
    const calibration = Float32Array.from({ length: 30 }, (_, i) => Math.sin(i));
    const { graph } = await emulate(model, { precision: "w8a8", calibration });
    const count = (type: string) => graph.node?.filter(({ opType }) => opType === type).length;
    expect([count("GRU"), count("QuantizeLinear")]).toEqual([1, 2]);
    using backend = await openEmulated(model, { precision: "w8a8", calibration });
    const action = new Float32Array(2);
    await backend.infer(calibration.slice(0, 3), action, backend.createState(), 1);
    expect(action.every(Number.isFinite)).toBe(true);
  });
});

test("quantizableLayers() names each by what it gives", async () => {
  expect(quantizableLayers(await readRknnModel("small"))).toEqual([
    { output: "elu.1/Elu", op: "Gemm+Elu", weights: 33 * 45 },
    { output: "elu.3/Elu", op: "Gemm+Elu", weights: 17 * 33 },
    { output: "action", op: "Gemm", weights: 12 * 17 },
  ]);
});

/** Made by rknn-toolkit2's simulator from data that is not part of the repository. */
const SIMULATOR = "rknn/observations.fp16.simulator.npy";

describeWithShared(SIMULATOR)(`openEmulated() beside ${SIMULATOR}`, () => {
  const floatsOf = (path: string) => toFloat32(readNpy(readFileSync(path)));

  test("agrees with the toolkit's simulator", async () => {
    using backend = await openEmulated(
      decodeOnnx(readFileSync(join(SHARED_DATA, "lite3_policy.onnx"))),
    );
    const observations = floatsOf(join(SHARED_DATA, "rknn/observations.npy"));
    const simulated = floatsOf(join(SHARED_DATA, SIMULATOR));
    const rows = observations.length / backend.observationSize;
    const actions = new Float32Array(rows * backend.actionSize);
    await backend.infer(observations, actions, backend.createState(), rows);
    const errors = actions.map((x, i) => Math.abs(x - present(simulated[i])));
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    const equal = errors.filter((error) => error === 0).length / errors.length;
    expect(actions).toHaveLength(simulated.length);
    expect(rows).toBeGreaterThan(100);
    expect(equal).toBeGreaterThanOrEqual(0.98);
    expect(mean).toBeLessThanOrEqual(5e-6);
  });
});

test("tensorFloats() of the emulation are float16 values throughout", async () => {
  const { initializer = [] } = emulateFp16(modelOf(await demoNetwork())).graph;
  const weights = initializer.filter(({ dims = [] }) => dims.length === 2);
  const floats = weights.map((tensor) => tensorFloats(tensor));
  expect([weights.length, floats.map((values) => values.map(Math.f16round))]).toEqual([4, floats]);
});
