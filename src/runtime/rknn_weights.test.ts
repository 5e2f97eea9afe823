import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithShared, SHARED_DATA } from "../../scripts/dev/test_tools.ts";
import { fuzzDecoder } from "../formats/decoder_fixture.ts";
import { decodeOnnx } from "../formats/onnx.ts";
import { linear, modelOf, networkOf } from "../policy/policy_fixture.ts";
import { nextFloat16, readRknnFixture, readRknnModel, withChange } from "./rknn_fixture.ts";
import { proveWeights } from "./rknn_weights.ts";

const FILES = [
  "small.fp16",
  "small.w8a8",
  "small.w8a8_layer",
  "small.hybrid",
  "normalized.fp16",
  "normalized.w8a8",
  "demo.fp16",
];
const small = await readRknnModel("small");

/** Every parameter that is not the model's, without its place in the file. */
function wrong(file: string, model = small) {
  const { holds, layers } = proveWeights(readRknnFixture(file), model);
  const found = layers.filter(({ differing }) => differing > 0);
  return [
    holds,
    ...found.map((one) => [one.layer, one.parameter, one.differing, one.first?.index]),
  ];
}

describe("proveWeights()", () => {
  test.each(FILES)("finds every weight of the model in %s", async (file) => {
    const [network = ""] = file.split(".");
    const model = await readRknnModel(network);
    const { holds, layers } = proveWeights(readRknnFixture(file), model);
    expect([holds, layers.filter(({ differing }) => differing > 0)]).toEqual([true, []]);
    expect(layers.every(({ offset, elements }) => offset !== null && elements > 0)).toBe(true);
  });

  test("says of each parameter what it is in the file", () => {
    const { layers } = proveWeights(readRknnFixture("small.hybrid"), small);
    expect(layers.map((one) => [one.layer, one.parameter, one.dtype, one.elements])).toEqual([
      ["actor.0", "weight", "float16", 33 * 45],
      ["actor.0", "bias", "float32", 33],
      ["actor.2", "weight", "int8", 17 * 33],
      ["actor.2", "bias", "int32", 17],
      ["actor.4", "weight", "int8", 12 * 17],
      ["actor.4", "bias", "int32", 12],
    ]);
  });

  test("names layer and element that is one step of float16 off, and where it lies", () => {
    const bytes = readRknnFixture("small.fp16");
    const [row, column] = [16, 32]; // In the last block, of one output and eight inputs.
    const changed = withChange(small, "actor.2.weight", row * 33 + column, (w) =>
      nextFloat16(Math.f16round(w)),
    );
    const { holds, layers } = proveWeights(bytes, changed);
    const [first, ...more] = layers.filter(({ differing }) => differing > 0);
    expect([holds, more, first]).toEqual([
      false,
      [],
      {
        layer: "actor.2",
        parameter: "weight",
        dtype: "float16",
        offset: expect.any(Number),
        elements: 561,
        differing: 1,
        maxError: expect.any(Number),
        first: {
          index: [row, column],
          offset: expect.any(Number),
          file: expect.any(Number),
          model: expect.any(Number),
        },
      },
    ]);
    const { offset = 0, file, model } = first?.first ?? {};
    const stored = new DataView(bytes.buffer, bytes.byteOffset + offset, 2).getFloat16(0, true);
    expect([stored, nextFloat16(stored)]).toEqual([file as number, model as number]);
  });

  test("names a bias that is one step of float32 off", () => {
    const changed = withChange(small, "actor.4.bias", 11, (b) => Math.fround(b * (1 + 2 ** -23)));
    expect(wrong("small.fp16", changed)).toEqual([false, ["actor.4", "bias", 1, [11]]]);
  });

  test.each(["small.w8a8", "small.w8a8_layer"])("names a weight of another step in %s", (file) => {
    const inside = withChange(small, "actor.4.weight", 40, (w) => w * 0.9 - 0.02);
    expect(wrong(file, inside)).toEqual([false, ["actor.4", "weight", 1, [2, 6]]]);
    const bias = withChange(small, "actor.2.bias", 3, (b) => b + 0.01);
    expect(wrong(file, bias)).toEqual([false, ["actor.2", "bias", 1, [3]]]);
  });

  test("names what an int8 output was scaled by, where it is not the model's", () => {
    const rows = (w: number) => w * 2;
    let scaled = small;
    for (let i = 0; i < 17; i++) scaled = withChange(scaled, "actor.4.weight", 5 * 17 + i, rows);
    const { holds, layers } = proveWeights(readRknnFixture("small.w8a8"), scaled);
    const first = layers.find(({ differing }) => differing > 0);
    expect([holds, first?.layer, first?.parameter, first?.first?.index]).toEqual([
      false,
      "actor.4",
      "weight",
      [5, 0],
    ]);
    expect(first?.differing).toBeWithin(10, 18);
  });

  test("names another mean of a normalizer that is folded in", async () => {
    const normalized = await readRknnModel("normalized");
    const mean = withChange(normalized, "obs_normalizer.mean", 4, (m) => m + 1e-3);
    const std = withChange(normalized, "obs_normalizer.std", 8, (s) => s * 1.01);
    for (const file of ["normalized.fp16", "normalized.w8a8"]) {
      expect([wrong(file, mean), wrong(file, std)]).toEqual([
        [false, ["obs_normalizer/Sub", "bias", 1, [4]]],
        [false, ["obs_normalizer/Div", "weight", 1, [8]]],
      ]);
    }
  });

  test("has no place for a layer of a shape that the file does not have", () => {
    const other = modelOf(networkOf(linear("actor.9", [[1, 2, 3]], [0.5])));
    expect(proveWeights(readRknnFixture("small.fp16"), other)).toEqual({
      holds: false,
      layers: [
        { parameter: "weight" as const, dtype: "float16" as const, elements: 3 },
        { parameter: "bias" as const, dtype: "float32" as const, elements: 1 },
      ].map((one) => ({
        ...one,
        layer: "actor.9",
        offset: null,
        differing: one.elements,
        maxError: Infinity,
      })),
      unproven: [],
    });
  });

  test.each(["small.fp16", "small.w8a8", "small.hybrid"])(
    "gives a proof or a FormatError for damaged copies of %s",
    (file) => fuzzDecoder(readRknnFixture(file), (it) => proveWeights(it, small), { cases: 150 }),
    60_000,
  );
});

const VENDOR = "rknn/lite3_policy.w8a8.rknn";

describeWithShared(VENDOR)(`proveWeights() of ${VENDOR} and its fp16 twin`, () => {
  const read = (path: string) => readFileSync(join(SHARED_DATA, path));
  const model = decodeOnnx(read("lite3_policy.onnx"));

  test("holds for the model they were made from", () => {
    for (const file of [VENDOR, "rknn/lite3_policy.fp16.rknn"]) {
      const { holds, layers } = proveWeights(read(file), model);
      const elements = layers.reduce((sum, one) => sum + one.elements, 0);
      expect([holds, elements]).toEqual([true, 189_324]);
    }
  });

  test("names layer and element of one step of float16", () => {
    const changed = withChange(model, "mlp.2.weight", 70_000, (w) => nextFloat16(Math.f16round(w)));
    const { holds, layers } = proveWeights(read("rknn/lite3_policy.fp16.rknn"), changed);
    const found = layers.flatMap(({ layer, parameter, first, differing }) =>
      differing > 0 ? [[layer, parameter, differing, first?.index]] : [],
    );
    expect([holds, found]).toEqual([false, [["mlp.2", "weight", 1, [136, 368]]]]);
  });
});
