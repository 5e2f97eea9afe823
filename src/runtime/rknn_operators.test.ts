/**
 * The operators of files of our own networks beside models of the same weights.
 */

import { describe, expect, test } from "bun:test";
import { makeNode, type OnnxModel } from "../formats/onnx.ts";
import { readRknnFixture, readRknnModel, withActivation } from "./rknn_fixture.ts";
import { readRknnLayers } from "./rknn_layers.ts";
import { compareOperators } from "./rknn_operators.ts";

const small = await readRknnModel("small");
const compare = (file: string, model: OnnxModel) =>
  compareOperators(readRknnLayers(readRknnFixture(file)), model);
const contradictions = (model: OnnxModel) => compare("small.fp16", model).contradictions;

/** The model with an operator behind its action. */
function withEnd(model: OnnxModel, opType: string): OnnxModel {
  const node = (model.graph.node ?? []).map((one) =>
    one.output?.includes("action") === true ? { ...one, output: ["inner"] } : one,
  );
  return {
    ...model,
    graph: { ...model.graph, node: [...node, makeNode(opType, ["inner"], ["action"])] },
  };
}

describe("compareOperators()", () => {
  test.each(["small.fp16", "small.w8a8", "small.w8a8_layer", "small.hybrid", "demo.fp16"])(
    "finds nothing against the model of %s",
    async (file) => {
      const model = await readRknnModel(file.split(".")[0] ?? "");
      expect(compare(file, model)).toEqual({ contradictions: [], assumed: [] });
    },
  );

  test.each(["normalized.fp16", "normalized.w8a8"])(
    "says of %s what its operators do not tell",
    async (file) => {
      expect(compare(file, await readRknnModel("normalized"))).toEqual({
        contradictions: [],
        assumed: ["limits of Clip after obs, from the ONNX"],
      });
    },
  );

  test.each("Relu Tanh Sigmoid LeakyRelu Softplus Celu HardSwish Mish Softsign".split(" "))(
    "names Elu in the file when the model has %s",
    (other) => {
      expect(contradictions(withActivation(small, "Elu", other))).toEqual([
        `the file computes Elu after actor.0, the model ${other}`,
        `the file computes Elu after actor.2, the model ${other}`,
      ]);
    },
  );

  test("names the one activation that the model does not have, or has more", () => {
    expect([
      contradictions(withActivation(small, "Elu", "Identity", 1)),
      contradictions(withEnd(small, "Tanh")),
      contradictions(withEnd(small, "Clip")),
    ]).toEqual([
      ["the file computes Elu after actor.2, the model nothing"],
      ["the file computes nothing after actor.4, the model Tanh"],
      ["the file computes nothing after actor.4, the model Clip"],
    ]);
  });

  test("never fails for a name of the toolkit's own, and lists it", () => {
    const { graph, layers } = readRknnLayers(readRknnFixture("small.fp16"));
    for (const layer of layers) {
      if (layer.operator.type === "ConvElu") Object.assign(layer.operator, { type: "ConvExOwn" });
    }
    expect(compareOperators({ graph, layers }, small)).toEqual({
      contradictions: [],
      assumed: [
        "Own after actor.0, taken for the model's Elu",
        "Own after actor.2, taken for the model's Elu",
      ],
    });
  });
});
