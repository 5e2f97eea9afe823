import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import { demoNetwork, modelOf } from "../policy/policy_fixture.ts";
import { quantizableLayers } from "../runtime/emulated.ts";
import { findLayers } from "./layers.ts";

const model = modelOf(await demoNetwork());
const layers = quantizableLayers(model);
const outputs = layers.map(({ output }) => output);
const find = (...names: string[]) => findLayers(model, layers, names);

describe("findLayers()", () => {
  test("takes the checkpoint's name, the product's and the activation's for one layer", () => {
    expect(["actor.0", "actor.0/Gemm", "elu.1/Elu"].map((name) => find(name))).toEqual([
      [outputs[0]!],
      [outputs[0]!],
      [outputs[0]!],
    ]);
  });

  test("gives the graph's order, each layer once", () => {
    expect(find("action", "actor.0", "actor.6")).toEqual([outputs[0]!, outputs[3]!]);
  });

  test("lists the layers there are when one is unknown", async () => {
    expect(await refusalOf(() => find("actor.0", "actor.1"))).toEqual({
      code: "CONFIG",
      message:
        '--layers names "actor.1", which the model has not: its layers are ' +
        `${outputs.map((output, i) => `"actor.${2 * i}" or ${JSON.stringify(output)}`).join(", ")}`,
    });
  });

  test("refuses a choice that is no hybrid", async () => {
    expect([await refusalOf(() => find()), await refusalOf(() => find(...outputs))]).toEqual([
      {
        code: "USAGE",
        message: "--layers leaves no layer in float16: that is --precision w8a8",
      },
      {
        code: "USAGE",
        message: "--layers leaves every layer in float16: that is --precision fp16",
      },
    ]);
  });
});
