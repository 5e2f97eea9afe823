import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithShared, SHARED_DATA } from "../../scripts/dev/test_tools.ts";
import { present } from "../base/assert.ts";
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
import { runBackendSuite } from "./backend_suite.ts";
import { emulateFp16, openEmulated } from "./emulated.ts";

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
