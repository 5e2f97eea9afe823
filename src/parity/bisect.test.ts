/**
 * The layer at which an error starts.
 */

import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { run, runJson } from "../cli/program_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { modelOf } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { readRknnModel, RKNN_FIXTURES, withChange } from "../runtime/rknn_fixture.ts";
import { compareSides } from "./compare_sides.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const write = (name: string, bytes: Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
};
const onnx = join(RKNN_FIXTURES, "small.onnx");
const rknn = join(RKNN_FIXTURES, "small.fp16.rknn");
const basis = { seed: 0, timeoutMs: 1000, samples: 64, bisect: 1e-3 } as const;
const bisectionOf = async (a: string, b: string) =>
  present((await compareSides({ ...basis, a, b })).bisection);

test("bisect() finds no layer where every one is near, in either order", async () => {
  const [forth, back] = [await bisectionOf(onnx, rknn), await bisectionOf(rknn, onnx)];
  expect(forth).toMatchObject({ samples: 64, limit: 1e-3, first: null });
  expect(forth.layers.map(({ name, op }) => [name, op])).toEqual([
    ["elu.1/Elu", "Gemm+Elu"],
    ["elu.3/Elu", "Gemm+Elu"],
    ["action", "Gemm"],
  ]);
  for (const { mae, max } of forth.layers) {
    expect(mae).toBeWithin(1e-6, 1e-3);
    expect(max).toBeWithin(mae, 1e-2);
  }
  expect(back.layers.map(({ mae }) => mae)).toEqual(forth.layers.map(({ mae }) => mae));
});

test("bisect() names the layer whose weight is another, and those before it are near", async () => {
  const other = withChange(await readRknnModel("small"), "actor.2.weight", 40, (w) => w + 1);
  const { first, layers } = await bisectionOf(write("other.onnx", encodeOnnx(other)), onnx);
  expect(first).toBe("elu.3/Elu");
  expect(layers.map(({ mae }) => mae > 0)).toEqual([false, true, true]);
});

test("bisect() gives as its last layer the actions' own errors", async () => {
  const { bisection, comparison } = await compareSides({ ...basis, a: onnx, b: rknn });
  const { mae, max } = present(bisection?.layers.at(-1));
  expect([mae, max]).toEqual([expect.closeTo(comparison.mae, 12), comparison.max]);
});

test("bisect() takes the cells of a recurrent policy as layers, over one sequence", async () => {
  const model = write("lstm.onnx", encodeOnnx(modelOf(seededNetwork("lstm", 2))));
  const { layers } = await bisectionOf(model, `emulated`);
  expect(layers.map(({ op }) => op)).toContain("LSTM");
  expect(layers.every(({ mae }) => mae < 1e-2)).toBe(true);
});

test("bisect() refuses a side without inner values, and networks with no layer alike", async () => {
  const model = await readRknnModel("small");
  const inner = new Set(["elu.1/Elu", "elu.3/Elu"]);
  const renamed = (names: readonly string[] = []) =>
    names.map((name) => (inner.has(name) ? `other/${name}` : name));
  const node = (model.graph.node ?? []).map((one) => ({
    ...one,
    input: renamed(one.input),
    output: renamed(one.output),
  }));
  const other = write("renamed.onnx", encodeOnnx({ ...model, graph: { ...model.graph, node } }));
  const refusal = (a: string, b: string) =>
    refusalOf(() => compareSides({ ...basis, a, b, model: onnx }));
  expect((await refusal("onnx", "mlp")).message).toBe(
    `Cannot bisect mlp (${onnx}): its inner values cannot be asked for, ` +
      "need an .onnx, onnx, emulated, or a .rknn that is emulated",
  );
  expect(await refusal(other, rknn)).toEqual({
    code: "CHECK_FAILED",
    message:
      `Cannot bisect ${other} and ${rknn} (emulated): they have no layer by the same name, ` +
      "need two forms of one ONNX",
  });
});

test("parity --bisect shows the layers, and has them in its document", async () => {
  const w8a8 = join(RKNN_FIXTURES, "small.w8a8.rknn");
  const words = ["parity", onnx, w8a8, "--bisect", "--samples", "64"];
  const { status, json } = await runJson(words);
  expect({ status, json }).toMatchObject({
    status: 1,
    json: { bisection: { samples: 64, limit: 1e-3, first: "elu.1/Elu" } },
  });
  const { stdout } = await run(words);
  expect(stdout.trimEnd().split("\n").slice(-5)).toEqual([
    expect.stringMatching(/^elu\.1\/Elu +Gemm\+Elu( +[\d.e-]+){3}$/),
    expect.stringMatching(/^elu\.3\/Elu +Gemm\+Elu( +[\d.e-]+){3}$/),
    expect.stringMatching(/^action +Gemm( +[\d.e-]+){3}$/),
    "",
    "inside, on 64 observations: the MAE is above 0.001 from elu.1/Elu on",
  ]);
});
