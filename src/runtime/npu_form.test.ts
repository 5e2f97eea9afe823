import { describe, expect, test } from "bun:test";
import { present } from "../base/assert.ts";
import {
  makeNode,
  makeTensor,
  makeValueInfo,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
} from "../formats/onnx.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { npuForm } from "./npu_form.ts";

const WEIGHT = makeTensor("w", [2, 2], Float32Array.of(1, 2, 3, 4));
const BIAS = makeTensor("b", [2], Float32Array.of(10, 20));

function graphOf(node: readonly OnnxNode[], initializer: readonly OnnxTensor[]): OnnxModel {
  const input = [makeValueInfo("x", [1, 2])];
  const output = [makeValueInfo("y", [1, 2])];
  return { graph: { node, initializer, input, output } };
}

/** The only layer, and the graph's other nodes. */
function formOf(nodes: readonly OnnxNode[], constants: readonly OnnxTensor[]) {
  const { model, layers } = npuForm(graphOf(nodes, constants));
  const [layer] = layers;
  const { weight, bias, input, output, op } = present(layer);
  const others = model.graph.node?.flatMap(({ opType = "" }) => (opType === "Gemm" ? [] : opType));
  return { weight: [...weight], bias: [...bias], input, output, op, others };
}

const gemm = (from: string, to: string, attributes = {}) =>
  makeNode("Gemm", [from, "w", "b"], [to], { attributes: { transB: 1, ...attributes } });
const row = (name: string, a: number, b: number) => makeTensor(name, [1, 2], Float32Array.of(a, b));
const plain = {
  weight: [1, 2, 3, 4],
  bias: [10, 20],
  input: "x",
  output: "y",
  op: "Gemm",
  others: [],
};

describe("npuForm()", () => {
  test("leaves a network that is in it as it is, and names its layers", () => {
    const model = modelOf(TINY_NETWORK);
    const form = npuForm(model);
    expect(form.model.graph).toEqual({ ...model.graph, valueInfo: [] });
    expect(form.layers.map(({ name, op, output, within }) => [name, op, output, within])).toEqual([
      ["actor.0", "Gemm+Elu", "elu.1/Elu", ["actor.0/Gemm", "elu.1/Elu"]],
      ["actor.2", "Gemm", "action", ["action"]],
    ]);
  });

  test.each<[string, OnnxNode[], OnnxTensor[], object]>([
    ["a Gemm of its form", [gemm("x", "y")], [WEIGHT, BIAS], plain],
    [
      "a Gemm of columns, with factors",
      [makeNode("Gemm", ["x", "w", "b"], ["y"], { attributes: { alpha: 2, beta: 0.5 } })],
      [WEIGHT, BIAS],
      { ...plain, weight: [2, 6, 4, 8], bias: [5, 10] },
    ],
    [
      "MatMul and Add",
      [makeNode("MatMul", ["x", "w"], ["m"]), makeNode("Add", ["b", "m"], ["y"])],
      [WEIGHT, BIAS],
      { ...plain, weight: [1, 3, 2, 4] },
    ],
    [
      "a MatMul alone",
      [makeNode("MatMul", ["x", "w"], ["y"])],
      [WEIGHT],
      { ...plain, weight: [1, 3, 2, 4], bias: [0, 0] },
    ],
    [
      "a division before it, and leaves the difference",
      [makeNode("Sub", ["x", "c"], ["d"]), makeNode("Div", ["d", "s"], ["q"]), gemm("q", "y")],
      [WEIGHT, BIAS, row("c", 5, 6), row("s", 2, 4)],
      { ...plain, weight: [0.5, 0.5, 1.5, 1], input: "d", others: ["Add"] },
    ],
    [
      "a product and a sum behind it",
      [gemm("x", "g"), makeNode("Mul", ["g", "s"], ["m"]), makeNode("Add", ["m", "c"], ["y"])],
      [WEIGHT, BIAS, row("s", 2, -1), row("c", 0.5, 0)],
      { ...plain, weight: [2, 4, -3, -4], bias: [20.5, -20] },
    ],
    [
      "the activation that alone takes it",
      [gemm("x", "g"), makeNode("Tanh", ["g"], ["y"])],
      [WEIGHT, BIAS],
      { ...plain, op: "Gemm+Tanh", others: ["Tanh"] },
    ],
    [
      "x · sigmoid(x)",
      [gemm("x", "g"), makeNode("Sigmoid", ["g"], ["s"]), makeNode("Mul", ["s", "g"], ["y"])],
      [WEIGHT, BIAS],
      { ...plain, op: "Gemm+Swish", others: ["Sigmoid", "Mul"] },
    ],
  ])("makes one layer of %s", (_name, nodes, constants, expected) => {
    expect(formOf(nodes, constants)).toEqual(expected as never);
  });

  test("folds nothing that somebody else takes too", () => {
    const nodes = [
      gemm("x", "g"),
      makeNode("Mul", ["g", "s"], ["m"]),
      makeNode("Add", ["m", "g"], ["y"]),
    ];
    const found = formOf(nodes, [WEIGHT, BIAS, row("s", 2, 3)]);
    expect(found).toEqual({ ...plain, output: "g", others: ["Mul", "Add"] });
  });

  test("makes a layer of each part of a Split that is taken", () => {
    const split = makeNode("Split", ["g", "sizes"], ["y", "unused"], { attributes: { axis: 1 } });
    const sizes = {
      name: "sizes",
      dims: [2],
      dataType: 7,
      rawData: new Uint8Array(BigInt64Array.of(1n, 1n).buffer),
    };
    expect(formOf([gemm("x", "g"), split], [WEIGHT, BIAS, sizes])).toEqual({
      ...plain,
      weight: [1, 2],
      bias: [10],
    });
  });

  test("has no layers for a model without weights", () => {
    expect(npuForm(graphOf([makeNode("Tanh", ["x"], ["y"])], [])).layers).toEqual([]);
  });
});
