import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithShared, SHARED_DATA, testWith } from "../../scripts/dev/test_tools.ts";
import { present } from "../base/assert.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { readNpy } from "../formats/npy.ts";
import { decodeOnnx } from "../formats/onnx.ts";
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

/** Made by rknn-toolkit2 from data that is not part of the repository. */
const FILES = [
  ["fp16", 0.98],
  ["w8a8", 0.98],
] as const;

for (const [precision, equalShare] of FILES) {
  const simulator = `rknn/observations.${precision}.simulator.npy`;
  describeWithShared(simulator)(`doubleOfRknn() of a real file in ${precision}`, () => {
    const read = (path: string) => readFileSync(join(SHARED_DATA, path));
    const floats = (path: string) => toFloat32(readNpy(read(path)));
    const file = read(`rknn/lite3_policy.${precision}.rknn`);
    const onnx = decodeOnnx(read("lite3_policy.onnx"));

    testWith("cc")("gives what the toolkit's simulator gives", async () => {
      using backend = await openIsolated(doubleOfRknn(file, onnx), doubleOptions());
      const observations = floats("rknn/observations.npy");
      const simulated = floats(simulator);
      const rows = observations.length / backend.observationSize;
      const actions = new Float32Array(rows * backend.actionSize);
      await backend.infer(observations, actions, backend.createState(), rows);
      const errors = actions.map((x, i) => Math.abs(x - present(simulated[i])));
      const equal = errors.filter((error) => error === 0).length / errors.length;
      expect(actions).toHaveLength(simulated.length);
      expect(equal).toBeGreaterThanOrEqual(equalShare);
    });

    if (precision === "w8a8") {
      test("needs the ONNX model for the scales of int8 weights", async () => {
        expect(await refusalOf(() => doubleOfRknn(file))).toEqual({
          code: "UNSUPPORTED",
          message:
            'the scales of int8 weight "mlp.0.weight" are not in the file, ' +
            "need the ONNX model that it was converted from",
        });
      });
    }
  });
}
