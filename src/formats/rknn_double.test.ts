import { expect, test } from "bun:test";
import { AssertionError } from "../base/assert.ts";
import { parseRknn } from "./rknn.ts";
import { type DoubleLayer, encodeRknnDouble } from "./rknn_double.ts";

const FLOAT16 = { kind: "float16" } as const;
const INT8 = { kind: "int8", scale: 0.5, zeroPoint: -3 } as const;
const LAYER: DoubleLayer = {
  kind: "dense",
  inputs: 2,
  outputs: 1,
  activation: "elu",
  sum: { kind: "none" },
  result: INT8,
  weight: Float32Array.of(1, 2),
  bias: Float32Array.of(3),
};

const encode = (layer: DoubleLayer) =>
  encodeRknnDouble({
    of: "policy",
    inputs: [{ name: "obs", shape: [1, 2], rounding: FLOAT16 }],
    outputs: [{ name: "action", shape: [1, 1], rounding: INT8 }],
    layers: [layer],
  });

test("encodeRknnDouble() writes a .rknn that says that it is none for an NPU", () => {
  const { inputs, outputs, document } = parseRknn(encode(LAYER));
  expect({ inputs, outputs, name: document.name, version: document.version }).toEqual({
    inputs: [{ name: "obs", shape: [1, 2], dtype: "float16" }],
    outputs: [{ name: "action", shape: [1, 1], dtype: "int8" }],
    name: "lite3rl test double of policy, not for an NPU",
    version: "lite3rl double",
  });
});

test("encodeRknnDouble() asserts sizes of weights", () => {
  expect(() => encode({ ...LAYER, bias: new Float32Array(2) })).toThrow(AssertionError);
  expect(() => encode({ ...LAYER, kind: "lstm" })).toThrow(AssertionError);
});
