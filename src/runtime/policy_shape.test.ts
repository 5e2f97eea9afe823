import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import {
  DATA_TYPE,
  makeTensor,
  makeValueInfo,
  type OnnxModel,
  type OnnxValueInfo,
} from "../formats/onnx.ts";
import { policyShape } from "./policy_shape.ts";

const obs = makeValueInfo("obs", [1, 45]);
const action = makeValueInfo("action", [1, 12]);
const modelOf = (input: OnnxValueInfo[], output: OnnxValueInfo[]): OnnxModel => ({
  graph: { input, output },
});

describe("policyShape()", () => {
  test("reads a batch of one", () => {
    expect(policyShape(modelOf([obs], [action]))).toEqual({
      input: { name: "obs", shape: [1, 45] },
      output: { name: "action", shape: [1, 12] },
      observationSize: 45,
      actionSize: 12,
      dynamicBatch: false,
      state: [],
    });
  });

  test("reads a dynamic batch, named or not", () => {
    const unnamed: OnnxValueInfo = {
      name: "obs",
      type: { tensorType: { elemType: 1, shape: { dim: [{}, { dimValue: 45 }] } } },
    };
    for (const input of [makeValueInfo("obs", ["batch", 45]), unnamed]) {
      expect(policyShape(modelOf([input], [makeValueInfo("action", ["batch", 12])]))).toEqual({
        input: { name: "obs", shape: [null, 45] },
        output: { name: "action", shape: [null, 12] },
        observationSize: 45,
        actionSize: 12,
        dynamicBatch: true,
        state: [],
      });
    }
  });

  test("pairs the state of a recurrent policy, for a batch of one", () => {
    const [h, c] = [
      [2, 1, 64],
      [2, "batch", 64],
    ] as const;
    const inputs = [makeValueInfo("h_in", h), obs, makeValueInfo("c_in", c)];
    const outputs = [makeValueInfo("c_out", c), makeValueInfo("h_out", h), action];
    expect(policyShape(modelOf(inputs, outputs))).toEqual({
      input: { name: "obs", shape: [1, 45] },
      output: { name: "action", shape: [1, 12] },
      observationSize: 45,
      actionSize: 12,
      dynamicBatch: false,
      state: [
        { input: "h_in", output: "h_out", shape: [2, 1, 64] },
        { input: "c_in", output: "c_out", shape: [2, 1, 64] },
      ],
    });
  });

  test("counts no initializer as an input, as files of IR version 3 list them", () => {
    const weight = makeTensor("weight", [1, 1], Float32Array.of(1));
    const { graph } = modelOf([obs, makeValueInfo("weight", [1, 1])], [action]);
    expect(policyShape({ graph: { ...graph, initializer: [weight] } })).toEqual(
      policyShape(modelOf([obs], [action])),
    );
  });

  const refused: readonly [
    what: string,
    input: OnnxValueInfo[],
    output: OnnxValueInfo[],
    found: string,
  ][] = [
    [
      "two inputs",
      [obs, makeValueInfo("hidden", [1, 64])],
      [action],
      'takes "obs" [1, 45], "hidden" [1, 64] and gives "action" [1, 12]',
    ],
    [
      "two outputs",
      [obs],
      [action, makeValueInfo("value", [1, 1])],
      'takes "obs" [1, 45] and gives "action" [1, 12], "value" [1, 1]',
    ],
    [
      "a state that does not come out again",
      [obs, makeValueInfo("h_in", [1, 1, 64])],
      [action, makeValueInfo("c_out", [1, 1, 64])],
      'takes "obs" [1, 45], "h_in" [1, 1, 64] and gives "action" [1, 12], "c_out" [1, 1, 64]',
    ],
    [
      "a state of eight robots",
      [obs, makeValueInfo("h_in", [1, 8, 64])],
      [action, makeValueInfo("h_out", [1, 8, 64])],
      'takes "obs" [1, 45], "h_in" [1, 8, 64] and gives "action" [1, 12], "h_out" [1, 8, 64]',
    ],
    [
      "a state of two dimensions",
      [obs, makeValueInfo("h_in", [1, 64])],
      [action, makeValueInfo("h_out", [1, 64])],
      'takes "obs" [1, 45], "h_in" [1, 64] and gives "action" [1, 12], "h_out" [1, 64]',
    ],
    ["no inputs", [], [action], 'takes nothing and gives "action" [1, 12]'],
    ["no outputs", [obs], [], 'takes "obs" [1, 45] and gives nothing'],
    [
      "an int64 input",
      [makeValueInfo("obs", [1, 45], DATA_TYPE.int64)],
      [action],
      'takes "obs" [1, 45] (not float32) and gives "action" [1, 12]',
    ],
    [
      "a float16 output",
      [obs],
      [makeValueInfo("action", [1, 12], DATA_TYPE.float16)],
      'takes "obs" [1, 45] and gives "action" [1, 12] (not float32)',
    ],
    [
      "an image",
      [makeValueInfo("image", [1, 3, 224, 224])],
      [action],
      'takes "image" [1, 3, 224, 224] and gives "action" [1, 12]',
    ],
    [
      "a vector without a batch",
      [makeValueInfo("obs", [45])],
      [action],
      'takes "obs" [45] and gives "action" [1, 12]',
    ],
    [
      "a fixed batch of eight",
      [makeValueInfo("obs", [8, 45])],
      [action],
      'takes "obs" [8, 45] and gives "action" [1, 12]',
    ],
    [
      "a dynamic width",
      [makeValueInfo("obs", ["batch", "width"])],
      [action],
      'takes "obs" [batch, width] and gives "action" [1, 12]',
    ],
    [
      "an action of nothing",
      [obs],
      [makeValueInfo("action", [1, 0])],
      'takes "obs" [1, 45] and gives "action" [1, 0]',
    ],
    [
      "an observation over the limit",
      [makeValueInfo("obs", [1, 65_537])],
      [action],
      'takes "obs" [1, 65537] and gives "action" [1, 12]',
    ],
    [
      "tensors without a type",
      [{ name: "obs" }],
      [{}],
      'takes "obs" [] (not float32) and gives "" [] (not float32)',
    ],
  ];
  for (const [what, input, output, found] of refused) {
    test(`refuses ${what}`, async () => {
      expect(await refusalOf(() => policyShape(modelOf(input, output)))).toEqual({
        code: "UNSUPPORTED",
        message:
          `it ${found}, need a policy: ` +
          "one float observation [1, N] in, one float action [1, A] out",
      });
    });
  }

  test("takes the widest observation", () => {
    expect(
      policyShape(modelOf([makeValueInfo("obs", [1, 65_536])], [action])).observationSize,
    ).toBe(65_536);
  });
});
