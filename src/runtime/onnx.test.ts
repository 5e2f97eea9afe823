import { describe, expect, test } from "bun:test";
import { present } from "../base/assert.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import {
  DATA_TYPE,
  decodeOnnx,
  encodeOnnx,
  makeNode,
  makeValueInfo,
  type OnnxModel,
} from "../formats/onnx.ts";
import { activate, type Activation } from "../policy/activation.ts";
import { demoNetwork, linear, modelOf, networkOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import type { Backend } from "./backend.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openOnnx } from "./onnx.ts";

/** Opens a model through the bytes of its file. */
function open(model: OnnxModel): Promise<Backend> {
  const bytes = encodeOnnx(model);
  return openOnnx(bytes, decodeOnnx(bytes));
}

runBackendSuite("onnx, static batch", async () => open(modelOf(await demoNetwork())), {
  tolerance: 1e-5,
});

runBackendSuite(
  "onnx, dynamic batch",
  async () => open(modelOf(await demoNetwork(), { dynamicBatch: true })),
  { tolerance: 1e-5 },
);

describe("openOnnx()", () => {
  test("names itself, its evidence and the model's tensors", async () => {
    using backend = await open(modelOf(TINY_NETWORK, { dynamicBatch: true }));
    const { name, arithmetic, subject, inputs, outputs } = backend;
    expect({ name, arithmetic, subject, inputs, outputs }).toEqual({
      name: "onnx",
      arithmetic: "cpu",
      subject: "file",
      inputs: [{ name: "obs", shape: [null, 2] }],
      outputs: [{ name: "action", shape: [null, 1] }],
    });
  });

  test("refuses what ONNX Runtime does not know, in one line", async () => {
    const model: OnnxModel = {
      irVersion: 8,
      opsetImport: [{ domain: "", version: 18 }],
      graph: {
        name: "policy",
        node: [makeNode("Walk", ["obs"], ["action"])],
        input: [makeValueInfo("obs", [1, 2])],
        output: [makeValueInfo("action", [1, 2])],
      },
    };
    const { code, message } = await refusalOf(() => open(model));
    expect([code, message.split("\n").length]).toEqual(["UNSUPPORTED", 1]);
    expect(message).toStartWith("ONNX Runtime refuses it: ");
    expect(message).toContain("Walk");
  });

  test("refuses an output that has fewer rows than the input", async () => {
    using backend = await open({
      irVersion: 8,
      opsetImport: [{ domain: "", version: 18 }],
      graph: {
        name: "policy",
        node: [makeNode("ReduceSum", ["obs", "axis"], ["action"])],
        initializer: [{ name: "axis", dims: [1], dataType: DATA_TYPE.int64, int64Data: [0] }],
        input: [makeValueInfo("obs", ["batch", 2])],
        output: [makeValueInfo("action", [1, 2])],
      },
    });
    const infer = (rows: number) => {
      const action = new Float32Array(2 * rows);
      return backend.infer(new Float32Array(2 * rows), action, backend.createState(), rows);
    };
    await infer(1);
    expect(await refusalOf(() => infer(3))).toEqual({
      code: "UNSUPPORTED",
      message: 'Cannot run the model: output "action" has 2 values, need 6',
    });
  });

  for (const activation of [
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
  ] as const satisfies Activation[]) {
    test(`computes ${activation} as its scalar function from -8 to 8`, async () => {
      const network = networkOf(
        linear("a", [[1]], [0]),
        { kind: "activation", activation },
        linear("b", [[1]], [0]),
      );
      using backend = await open(modelOf(network, { dynamicBatch: true }));
      const inputs = Float32Array.from({ length: 1601 }, (_, i) => (i - 800) / 100);
      const outputs = new Float32Array(inputs.length);
      await backend.infer(inputs, outputs, backend.createState(), inputs.length);
      // Relative above 1, where float32 itself is coarser than 1e-6 of an absolute error.
      const errors = inputs.map((x, i) => {
        const expected = activate(activation, x);
        return Math.abs(present(outputs[i]) - expected) / Math.max(1, Math.abs(expected));
      });
      expect(Math.max(...errors)).toBeLessThanOrEqual(1e-6);
    });
  }
});
