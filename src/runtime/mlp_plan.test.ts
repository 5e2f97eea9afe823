import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import {
  type AttributeValue,
  DATA_TYPE,
  encodeOnnx,
  makeNode,
  makeTensor,
  makeValueInfo,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
} from "../formats/onnx.ts";
import { modelOf } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { openMlp } from "./mlp.ts";
import { planMlp, type MlpPlan } from "./mlp_plan.ts";
import { openOnnx } from "./onnx.ts";
import { policyShape } from "./policy_shape.ts";

const floats = (name: string, dims: readonly number[], ...values: number[]): OnnxTensor =>
  makeTensor(name, dims, Float32Array.from(values));

const integers = (name: string, ...values: number[]): OnnxTensor => ({
  name,
  dims: [values.length],
  dataType: DATA_TYPE.int64,
  int64Data: values,
});

const node = (
  op: string,
  input: readonly string[],
  output: string | readonly string[] = "action",
  attributes: Readonly<Record<string, AttributeValue>> = {},
): OnnxNode => makeNode(op, input, [output].flat(), { name: op.toLowerCase(), attributes });

/** A policy of four observations and `actions` actions. */
function graph(
  nodes: readonly OnnxNode[],
  constants: readonly OnnxTensor[] = [],
  { actions = 4, opset = 18 } = {},
): OnnxModel {
  return {
    irVersion: 8,
    opsetImport: [{ domain: "", version: opset }],
    graph: {
      name: "policy",
      node: [...nodes],
      initializer: [...constants],
      input: [makeValueInfo("obs", [1, 4])],
      output: [makeValueInfo("action", [1, actions])],
    },
  };
}

const plan = (model: OnnxModel): MlpPlan => planMlp(model, policyShape(model));
const obs = { buffer: 0, from: 0, width: 4 };
const WEIGHT = [1, 2, 3, 4, 5, 6, 7, 8];

describe("planMlp()", () => {
  test("reads Gemm and MatMul, a weight either way round, with a bias or none", () => {
    const y = { buffer: 1, from: 0, width: 2 };
    const dense = { kind: "dense", x: obs, y };
    const weight = Float32Array.of(...WEIGHT);
    const turned = Float32Array.of(1, 3, 5, 7, 2, 4, 6, 8);
    const steps = (nodes: OnnxNode, dims: readonly number[], ...more: OnnxTensor[]) =>
      plan(graph([nodes], [floats("w", dims, ...WEIGHT), ...more], { actions: 2 })).steps;
    expect([
      steps(node("Gemm", ["obs", "w"], "action", { transB: 1 }), [2, 4]),
      steps(node("Gemm", ["obs", "w", "b"], "action"), [4, 2], floats("b", [2], 9, 8)),
      steps(node("Gemm", ["obs", "w", "b"], "action"), [4, 2], floats("b", [1], 9)),
      steps(node("MatMul", ["obs", "w"]), [4, 2]),
    ]).toEqual([
      [{ ...dense, weight, bias: Float32Array.of(0, 0) }],
      [{ ...dense, weight: turned, bias: Float32Array.of(9, 8) }],
      [{ ...dense, weight: turned, bias: Float32Array.of(9, 9) }],
      [{ ...dense, weight: turned, bias: Float32Array.of(0, 0) }],
    ] as never);
  });

  test("reads constants in nodes, on either side, and of one value for all", () => {
    const half = makeNode("Constant", [], ["half"], {
      attributes: { value: { name: "value", t: floats("", [], 0.5), type: 4 } },
    });
    const halves = new Float32Array(4).fill(0.5);
    const offset = Float32Array.of(1, 2, 3, 4);
    const nodes = [half, node("Sub", ["half", "obs"], "a"), node("Add", ["a", "offset"])];
    const [a, action] = [1, 2].map((buffer) => ({ buffer, from: 0, width: 4 }));
    expect(plan(graph(nodes, [floats("offset", [1, 4], ...offset)]))).toEqual({
      widths: [4, 4, 4],
      steps: [
        { kind: "combine", op: "sub", left: halves, right: obs, y: a },
        { kind: "combine", op: "add", left: a, right: offset, y: action },
      ],
      action,
    } as never);
  });

  test("reads limits as inputs and as attributes, one of them or both", () => {
    const limits = [floats("low", [], -1), floats("high", [], 2)];
    const found = (input: readonly string[], attributes = {}, opset = 18) => {
      const { steps } = plan(graph([node("Clip", input, "action", attributes)], limits, { opset }));
      return steps.map((step) => (step.kind === "map" ? [step.op, step.a, step.b] : step.kind));
    };
    expect([
      found(["obs", "low", "high"]),
      found(["obs", "", "high"]),
      found(["obs"], { min: -3, max: 4 }, 9),
    ]).toEqual([[["clip", -1, 2]], [["clip", -Infinity, 2]], [["clip", -3, 4]]]);
  });

  test("takes the parts of a split, and other names, from where they are", () => {
    const nodes = [
      node("Identity", ["obs"], "same"),
      node("Split", ["same", "sizes"], ["first", "last"], { axis: -1 }),
      node("Identity", ["last"]),
    ];
    const model = graph(nodes, [integers("sizes", 1, 3)], { actions: 3 });
    expect(plan(model)).toEqual({
      widths: [4],
      steps: [],
      action: { buffer: 0, from: 1, width: 3 },
    });
  });

  const w = floats("w", [2, 4], ...WEIGHT);
  const gemm = (attributes: Readonly<Record<string, AttributeValue>>) =>
    graph([node("Gemm", ["obs", "w"], "action", attributes)], [w], { actions: 2 });
  const add = (...constants: OnnxTensor[]) => graph([node("Add", ["obs", "c"])], constants);
  const split = (axis: number, ...sizes: number[]) =>
    graph([node("Split", ["obs", "s"], ["action", "rest"], { axis })], [integers("s", ...sizes)], {
      actions: 2,
    });
  const refused: readonly (readonly [string, OnnxModel])[] = [
    ["its opset is 6, need 7", graph([node("Tanh", ["obs"])], [], { opset: 6 })],
    ["it is recurrent", modelOf(seededNetwork("gru", 1))],
    [
      'node "softmax" (Softmax) is no part of a multi-layer perceptron',
      graph([node("Softmax", ["obs"])]),
    ],
    [
      'node "tanh" (Tanh) is no part of a multi-layer perceptron',
      graph([{ ...node("Tanh", ["obs"]), domain: "other.vendor" }]),
    ],
    ['node "gemm" (Gemm) has alpha 0.5, need 1', gemm({ transB: 1, alpha: 0.5 })],
    ['node "gemm" (Gemm) transposes its input', gemm({ transB: 1, transA: 1 })],
    ['node "gemm" (Gemm) takes 2 values, its input has 4', gemm({})],
    ['node "elu" (Elu) has attribute "axis"', graph([node("Elu", ["obs"], "action", { axis: 1 })])],
    [
      'node "tanh" (Tanh) takes "other", which is not computed from the observation',
      graph([node("Tanh", ["other"])]),
    ],
    [
      'node "add" (Add) takes "c" of shape [4, 1] for 4 values',
      add(floats("c", [4, 1], 1, 2, 3, 4)),
    ],
    [
      'node "add" (Add) takes "c" of shape [1, 1, 4] for 4 values',
      add(floats("c", [1, 1, 4], 1, 2, 3, 4)),
    ],
    [
      'node "add" (Add) takes "c", which is no constant of the type needed',
      add({ ...floats("c", [4], 1, 2, 3, 4), dataType: DATA_TYPE.int32 }),
    ],
    ['node "split" (Split) splits rows, not columns', split(0, 2, 2)],
    ['node "split" (Split) splits 4 values into [2, 3]', split(1, 2, 3)],
    [
      'node "add" (Add) joins 2 and 4 values',
      graph([node("Gemm", ["obs", "w"], "h", { transB: 1 }), node("Add", ["obs", "h"])], [w]),
    ],
    ["its output has 4 values, 3 are declared", graph([node("Tanh", ["obs"])], [], { actions: 3 })],
  ];
  for (const [reason, model] of refused) {
    test(`refuses a model: ${reason}`, async () => {
      expect(await refusalOf(() => plan(model))).toEqual({
        code: "UNSUPPORTED",
        message: `it does not fit the mlp backend: ${reason}; the onnx backend runs it`,
      });
    });
  }
});

test("openMlp() runs what no exported policy has as ONNX Runtime does", async () => {
  const nodes = [
    node("LayerNormalization", ["obs", "scale"], "normal", { axis: 1, epsilon: 0.01 }),
    node("Split", ["normal", "sizes"], ["a", "b"], { axis: 1 }),
    node("Sigmoid", ["b"], "c"),
    node("MatMul", ["c", "w"], "d"),
    node("Div", ["d", "three"], "e"),
    node("Mul", ["a", "a"], "f"),
    { ...node("MatMul", ["f", "v"], "g"), name: "second" },
    node("Sub", ["g", "e"]),
  ];
  const model = graph(
    nodes,
    [
      floats("scale", [4], 1, 2, 3, -4),
      integers("sizes", 1, 3),
      floats("w", [3, 2], 1, 2, 3, 4, 5, 6),
      floats("three", [1], 3),
      floats("v", [1, 2], 0.5, -0.25),
    ],
    { actions: 2 },
  );
  using mlp = openMlp(model);
  using onnx = await openOnnx(encodeOnnx(model), model);
  const observation = Float32Array.of(0.1, -2, 3, 0.7);
  const [actions, expected] = [new Float32Array(2), new Float32Array(2)];
  mlp.infer(observation, actions, mlp.createState(), 1);
  await onnx.infer(observation, expected, onnx.createState(), 1);
  const worst = actions.map((action, i) => Math.abs(action - (expected[i] ?? NaN)));
  expect(Math.max(...worst)).toBeLessThanOrEqual(1e-6);
});
