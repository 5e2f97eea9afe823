import { expect, test } from "bun:test";
import { makeNode, makeTensor } from "../formats/onnx.ts";
import { npuPlacement, npuProblems } from "./npu_operators.ts";

test("npuPlacement() says where each kind of operator runs, a division by its divisor", () => {
  const node = [
    makeNode("Gemm", ["obs", "w"], ["a"]),
    makeNode("Elu", ["a"], ["b"]),
    makeNode("Gemm", ["b", "w"], ["c"]),
    makeNode("Div", ["c", "w"], ["d"]),
    makeNode("Div", ["d", "c"], ["e"]),
    makeNode("Erf", ["e"], ["f"]),
    makeNode("Einsum", ["f"], ["action"]),
  ];
  const initializer = [makeTensor("w", [1], Float32Array.of(1))];
  expect(npuPlacement({ graph: { node, initializer } })).toEqual([
    { operator: "Gemm", count: 2, runsOn: "npu" },
    { operator: "Div", count: 1, runsOn: "npu" },
    { operator: "Div by a value", count: 1, runsOn: "cpu" },
    { operator: "Einsum", count: 1, runsOn: "unknown" },
    { operator: "Elu", count: 1, runsOn: "npu" },
    { operator: "Erf", count: 1, runsOn: "cpu" },
  ]);
});

test("npuProblems() counts the tensors in another file, in one sentence", () => {
  const outside = ["w", "b"].map((name) => ({
    ...makeTensor(name, [1], Float32Array.of(1)),
    dataLocation: 1,
  }));
  const problems = (initializer: typeof outside) => npuProblems({ graph: { initializer } });
  const rest = "in another file, need all in one: onnx.save_model(onnx.load(…), …)";
  expect([problems(outside), problems(outside.slice(0, 1))]).toEqual([
    [`2 tensors are ${rest}`],
    [`w is ${rest}`],
  ]);
});
