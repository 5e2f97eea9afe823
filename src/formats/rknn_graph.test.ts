import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { parseRknnGraph } from "./rknn_graph.ts";
import { decodeBias, decodeMatrix } from "./rknn_weights.ts";

const FIXTURES = join(import.meta.dir, "../../fixtures/rknn");
const read = (name: string): Uint8Array => readFileSync(join(FIXTURES, `${name}.rknn`));

describe("parseRknnGraph()", () => {
  test("gives operators with their tensors, in the order in which they run", () => {
    const { operators } = parseRknnGraph(read("small.hybrid"));
    expect(
      operators.map(({ type, inputs, outputs }) => [
        type,
        inputs.map(({ name }) => name).filter((name) => !/_i1$|_exSecondary$/.test(name)),
        outputs.map(({ name, dtype }) => `${name} ${dtype}`),
      ]),
    ).toEqual([
      ["InputOperator", [], ["obs float16"]],
      ["Reshape", ["obs"], ["obs_tp_rs float16"]],
      ["ConvElu", ["obs_tp_rs", "actor.0.weight", "actor.0.bias"], ["elu.1/Elu-rs float16"]],
      ["exDataConvert", ["elu.1/Elu-rs"], ["elu.1/Elu-rs__int8 int8"]],
      ["ConvElu", ["elu.1/Elu-rs__int8", "actor.2.weight", "actor.2.bias"], ["elu.3/Elu-rs int8"]],
      ["Conv", ["elu.3/Elu-rs", "actor.4.weight", "actor.4.bias"], ["action_mm int8"]],
      ["Reshape", ["action_mm"], ["action int8"]],
      ["OutputOperator", ["action"], []],
    ]);
  });

  test("gives a value's scale, a constant's bytes and how they are stored", () => {
    const { tensors } = parseRknnGraph(read("small.w8a8"));
    const named = (name: string) => tensors.find((tensor) => tensor.name === name);
    expect([named("obs"), named("actor.0.weight")]).toEqual([
      {
        name: "obs",
        dtype: "int8",
        shape: [1, 45],
        stored: [1, 45],
        quantization: { scale: Math.fround(0.02804962731897831), zeroPoint: -10 },
      },
      {
        name: "actor.0.weight",
        dtype: "int8",
        shape: [33, 45, 1, 1],
        // 32 outputs in tiles of 32 and 16 inputs, then the last and its padding likewise.
        stored: [
          [1, 1, 1, 1, 32, 32],
          [1, 1, 1, 1, 32, 16],
          [1, 1, 1, 1, 2, 32],
          [1, 1, 1, 1, 2, 16],
        ].flat(),
        content: { offset: expect.any(Number), data: expect.any(Uint8Array) },
      },
    ]);
  });

  test("refuses a file that is cut off anywhere", async () => {
    const bytes = read("small.fp16");
    for (let length = 0; length < bytes.length; length += 97) {
      await failureOf(() => parseRknnGraph(bytes.subarray(0, length)));
    }
  });

  test.each(["small.fp16", "small.w8a8"])(
    "gives a graph or a FormatError where offsets of %s are damaged",
    async (name) => {
      // The tables are at the ends of the payload, where a flip among the weights would do nothing.
      const bytes = read(name);
      await fuzzDecoder(bytes.subarray(64, 8_000), (damaged) =>
        decodeAll(
          Buffer.concat([bytes.subarray(0, 64), damaged, bytes.subarray(64 + damaged.length)]),
        ),
      );
    },
  );
});

function decodeAll(bytes: Uint8Array): unknown {
  return parseRknnGraph(bytes).operators.flatMap(({ type, inputs: [, weight, bias] }) => {
    if (!type.startsWith("Conv") || weight === undefined || bias === undefined) return [];
    const matrix = decodeMatrix(weight);
    return [matrix, decodeBias(bias, matrix.outputs)];
  });
}
