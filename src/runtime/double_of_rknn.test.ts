import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithShared, SHARED_DATA, testWith } from "../../scripts/dev/test_tools.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { readNpy } from "../formats/npy.ts";
import { decodeOnnx, type OnnxModel } from "../formats/onnx.ts";
import { toFloat32 } from "../formats/tensor.ts";
import { demoNetwork, modelOf } from "../policy/policy_fixture.ts";
import { doubleOfOnnx, doubleOfRknn } from "./double_of_rknn.ts";
import { openIsolated } from "./isolated.ts";
import { doubleOf, doubleOptions } from "./rknn_double_fixture.ts";

describe("doubleOfOnnx()", () => {
  test("takes the layers of a policy, and its names", async () => {
    const network = await demoNetwork();
    const payload = (bytes: Uint8Array) =>
      bytes.slice(64, 64 + Number(new DataView(bytes.buffer).getBigUint64(16, true)));
    expect(payload(doubleOfOnnx(modelOf(network)))).toEqual(payload(doubleOf(network)));
  });
});

interface RealFile {
  readonly rknn: Uint8Array;
  readonly onnx: OnnxModel;
  /** Shape [rows, N], and what the toolkit's simulator answered: [rows, A]. */
  readonly observations: Float32Array;
  readonly simulated: Float32Array;
}

/** Share of actions that are the simulator's to the last bit. */
async function equalShare({ rknn, onnx, observations, simulated }: RealFile): Promise<number> {
  using backend = await openIsolated(doubleOfRknn(rknn, onnx), doubleOptions());
  const rows = observations.length / backend.observationSize;
  const actions = new Float32Array(rows * backend.actionSize);
  await backend.infer(observations, actions, backend.createState(), rows);
  expect(actions).toHaveLength(simulated.length);
  return actions.filter((x, i) => x === simulated[i]).length / actions.length;
}

const FIXTURES = join(import.meta.dir, "../../fixtures/rknn");
const read = (...path: string[]): Uint8Array => readFileSync(join(...path));
const floats = (...path: string[]): Float32Array => toFloat32(readNpy(read(...path)));

describe("doubleOfRknn()", () => {
  for (const precision of ["fp16", "w8a8", "w8a8_layer"]) {
    testWith("cc")(`gives what the toolkit's simulator gives, ${precision}`, async () => {
      const file = {
        rknn: read(FIXTURES, `small.${precision}.rknn`),
        onnx: decodeOnnx(read(FIXTURES, "small.onnx")),
        observations: floats(FIXTURES, "small.observations.npy"),
        simulated: floats(FIXTURES, `small.${precision}.simulator.npy`),
      };
      expect(await equalShare(file)).toBeGreaterThanOrEqual(0.98);
    });
  }

  test("needs the ONNX model for the scales of int8 weights", async () => {
    expect(await refusalOf(() => doubleOfRknn(read(FIXTURES, "small.w8a8.rknn")))).toEqual({
      code: "UNSUPPORTED",
      message:
        'the scales of int8 weight "actor.0.weight" are not in the file, ' +
        "need the ONNX model that it was converted from",
    });
  });

  test("refuses what the double has no operator for", async () => {
    expect(await refusalOf(() => doubleOfRknn(read(FIXTURES, "small.hybrid.rknn")))).toEqual({
      code: "UNSUPPORTED",
      message: 'operator "exDataConvert" is nothing the double has, need dense layers',
    });
  });
});

for (const precision of ["fp16", "w8a8"]) {
  const simulator = `rknn/observations.${precision}.simulator.npy`;
  describeWithShared(simulator)(`doubleOfRknn() of a larger file in ${precision}`, () => {
    testWith("cc")("gives what the toolkit's simulator gives", async () => {
      const file = {
        rknn: read(SHARED_DATA, `rknn/lite3_policy.${precision}.rknn`),
        onnx: decodeOnnx(read(SHARED_DATA, "lite3_policy.onnx")),
        observations: floats(SHARED_DATA, "rknn/observations.npy"),
        simulated: floats(SHARED_DATA, simulator),
      };
      expect(await equalShare(file)).toBeGreaterThanOrEqual(0.98);
    });
  });
}
