import { describe, expect, test } from "bun:test";
import type { RknnFile } from "../formats/rknn.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { policyShape } from "../runtime/policy_shape.ts";
import { type ParameterProof, recurrentCells } from "../runtime/rknn_weights.ts";
import { containerProblems, weightProblems } from "./file_problems.ts";

const tensor = (name: string, shape: readonly number[]) => ({ name, shape, dtype: "float16" });

/** The container of a file with these tensors. */
function file(inputs: RknnFile["inputs"], outputs: RknnFile["outputs"]): RknnFile {
  const document = {
    version: "2.5.0",
    target_platform: ["rk3588"],
    input_num: inputs.length,
    output_num: outputs.length,
    norm_tensor: [],
    graph: [],
  };
  return { version: 6, payloadBytes: 8, document, inputs, outputs };
}

describe("containerProblems()", () => {
  const tiny = policyShape(modelOf(TINY_NETWORK));
  const good = file([tensor("obs", [1, 2])], [tensor("action", [1, 1])]);

  test("finds none in the model's own, recurrent state included, in any order", () => {
    const lstm = policyShape(modelOf(seededNetwork("lstm", 2)));
    const [h, c] = ["h", "c"].map((name) => (side: string) => tensor(`${name}_${side}`, [2, 1, 5]));
    const recurrent = file(
      [tensor("obs", [1, 3]), h!("in"), c!("in")],
      [c!("out"), tensor("action", [1, 2]), h!("out")],
    );
    expect([
      containerProblems(good, tiny, "rk3588"),
      containerProblems(recurrent, lstm, "rk3588"),
    ]).toEqual([[], []]);
  });

  test("names another platform, another input and another output", () => {
    expect(containerProblems(good, tiny, "rk3576")).toEqual(["the file is for rk3588"]);
    const other = file([tensor("x", [1, 3])], [tensor("action", [1, 2])]);
    expect(containerProblems(other, tiny, "rk3588")).toEqual([
      "the file's inputs are x [1, 3], the model's obs [1, 2]",
      "the file's outputs are action [1, 2], the model's action [1, 1]",
    ]);
  });
});

describe("weightProblems()", () => {
  const sound: ParameterProof = {
    layer: "actor.0",
    parameter: "weight",
    dtype: "float16",
    offset: 64,
    elements: 6,
    differing: 0,
    maxError: 0,
  };

  test("finds none where the weights are proven", () => {
    expect(weightProblems({ holds: true, layers: [sound] })).toEqual([]);
  });

  test("names layer and element of another weight, and what is not in the file", () => {
    const first = { index: [1, 2], offset: 74, file: 0.5, model: 0.25 };
    const changed = { ...sound, differing: 2, maxError: 0.25, first };
    const absent = { ...sound, parameter: "bias", offset: null, differing: 6 } as const;
    expect(weightProblems({ holds: false, layers: [sound, changed, absent] })).toEqual([
      "weight of actor.0 differs in 2 of 6 elements, first [1, 2]: 0.5 for 0.25",
      "bias of actor.0 is not in the file",
    ]);
  });

  test("never passes without a proof", () => {
    expect(weightProblems({ holds: false, layers: [] })).toEqual([
      "the file's weights are not the model's",
    ]);
  });
});

test("recurrentCells() names what no proof of weights covers", () => {
  expect([
    recurrentCells(modelOf(TINY_NETWORK)),
    recurrentCells(modelOf(seededNetwork("gru", 2))),
  ]).toEqual([[], ["rnn.l0/GRU", "rnn.l1/GRU"]]);
});
