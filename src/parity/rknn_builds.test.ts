/**
 * Parity of files that the toolkit has just built: joined activations, layers in tiles, recurrent
 * cells, and a record that is the file's or not.
 */

import { describe, expect, setDefaultTimeout } from "bun:test";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { createRandom } from "../base/random.ts";
import { run } from "../cli/program_fixture.ts";
import {
  encodeOnnx,
  makeNode,
  makeTensor,
  type OnnxNode,
  type OnnxTensor,
} from "../formats/onnx.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";

setDefaultTimeout(120_000);
const realTest = testWith("toolkit");
const directory = temporaryDirectory();

/** 2-width-24-1, and between the layers what `activate` computes of "x" as "y". */
function write(
  name: string,
  width: number,
  activate: readonly OnnxNode[],
  more: OnnxTensor[] = [],
) {
  const random = createRandom(1);
  const layer = (label: string, inputs: number, outputs: number): OnnxTensor[] => [
    makeTensor(
      `${label}.weight`,
      [outputs, inputs],
      Float32Array.from({ length: outputs * inputs }, () => random.normal() / Math.sqrt(inputs)),
    ),
    makeTensor(`${label}.bias`, [outputs], Float32Array.from({ length: outputs }, random.normal)),
  ];
  const product = (label: string, from: string, to: string): OnnxNode =>
    makeNode("Gemm", [from, `${label}.weight`, `${label}.bias`], [to], {
      name: label,
      attributes: { transB: 1 },
    });
  const model = modelOf(TINY_NETWORK);
  const graph = {
    ...model.graph,
    node: [
      product("a", "obs", "x"),
      ...activate,
      product("b", "y", "z"),
      product("c", "z", "action"),
    ],
    initializer: [...layer("a", 2, width), ...layer("b", width, 24), ...layer("c", 24, 1), ...more],
  };
  const path = join(directory, `${name}.onnx`);
  writeFileSync(path, encodeOnnx({ ...model, graph }));
  return path;
}

const convert = async (onnx: string): Promise<string> => {
  const { status, stderr } = await run(["convert", onnx]);
  expect({ status, stderr }).toMatchObject({ status: 0 });
  return onnx.replace(/onnx$/, "rknn");
};
const parity = async (a: string, b: string) => {
  const { status, stdout, stderr } = await run(["parity", a, b, "--samples", "16"]);
  return { status, stdout, last: stderr.trimEnd().split("\n").at(-1) ?? "" };
};
const constant = (name: string, value: number) => makeTensor(name, [], Float32Array.of(value));
const swish = [makeNode("Sigmoid", ["x"], ["s"]), makeNode("Mul", ["x", "s"], ["y"])];
const sigmoid = [makeNode("Sigmoid", ["x"], ["y"])];
const gelu = [
  makeNode("Div", ["x", "root"], ["d"]),
  makeNode("Erf", ["d"], ["e"]),
  makeNode("Add", ["e", "one"], ["f"]),
  makeNode("Mul", ["x", "f"], ["p"]),
  makeNode("Mul", ["p", "half"], ["y"]),
];
const ofGelu = [constant("root", Math.SQRT2), constant("one", 1), constant("half", 0.5)];

describe("parity of a .rknn that was just built", () => {
  realTest("knows x · sigmoid(x) and GELU, which the toolkit joins, from others", async () => {
    const [a, b, c] = [
      write("swish", 24, swish),
      write("gelu", 24, gelu, ofGelu),
      write("sigmoid", 24, sigmoid),
    ];
    const [ofA, ofB, ofC] = [await convert(a), await convert(b), await convert(c)];
    expect([(await parity(a, ofA)).status, (await parity(b, ofB)).status]).toEqual([0, 0]);
    const wrong = await Promise.all([parity(a, ofB), parity(b, ofA), parity(a, ofC)]);
    expect(
      wrong.map(({ status, last }) => [status, /computes (\w+) after a/.exec(last)?.[1]]),
    ).toEqual([
      [1, "Gelu"],
      [1, "Swish"],
      [1, "Sigmoid"],
    ]);
  });

  realTest("joins a layer that the toolkit cut into tiles", async () => {
    const onnx = write("wide", 2000, [makeNode("Elu", ["x"], ["y"])]);
    const { status, stdout } = await parity(onnx, await convert(onnx));
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: expect.stringContaining("its 54049 weights and biases are those of"),
    });
  });

  realTest("takes a recurrent one by the record of this file and this ONNX only", async () => {
    const onnx = join(directory, "gru.onnx");
    writeFileSync(onnx, encodeOnnx(modelOf(seededNetwork("gru", 1))));
    const rknn = await convert(onnx);
    const proven = await parity(onnx, rknn);
    expect([proven.status, proven.stdout]).toEqual([
      0,
      expect.stringContaining("not compared: rnn.l0/GRU: the toolkit's simulator passed this file"),
    ]);
    rmSync(`${rknn}.json`);
    const { status, last } = await parity(onnx, rknn);
    expect([status, last]).toEqual([
      1,
      `failed: ${rknn} is not proven: the weights of rnn.l0/GRU cannot be compared, and no ` +
        "record beside it says that the simulator passed it; convert the model again",
    ]);
  });

  realTest("says whether the record is of this file, and the recipe makes it", async () => {
    const onnx = write("elu", 24, [makeNode("Elu", ["x"], ["y"])]);
    const rknn = await convert(onnx);
    const again = await parity(onnx, `toolkit:${rknn}`);
    expect([again.status, again.last]).toEqual([
      0,
      expect.stringMatching(/^built again with [\d.]+, the same bytes: this is .*elu\.rknn$/),
    ]);
    const changed = join(directory, "changed.rknn");
    const bytes = Buffer.from(readFileSync(rknn));
    // A digit of the JSON's version, which nothing else looks at.
    const digit = /"version": *"\d/.exec(bytes.toString("latin1"))?.[0] ?? "";
    bytes.write("9", bytes.indexOf(digit) + digit.length - 1);
    writeFileSync(changed, bytes);
    copyFileSync(`${rknn}.json`, `${changed}.json`);
    const { status, last } = await parity(onnx, changed);
    expect([status, last]).toEqual([
      1,
      expect.stringMatching(
        /changed\.rknn" is \w{12}…, but .* describes \w{12}…: the file was changed/,
      ),
    ]);
    const { stdout } = await run(["inspect", changed, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ record: "does not fit" });
  });
});
