import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithShared, SHARED_DATA } from "../../scripts/dev/test_tools.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { decodeOnnx } from "../formats/onnx.ts";
import { linear, modelOf, networkOf } from "../policy/policy_fixture.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openRknnEmulated } from "./rknn_emulated.ts";
import {
  agreement,
  agreementOf,
  readFloats,
  readRknnFixture,
  readRknnModel,
  withChange,
} from "./rknn_fixture.ts";

runBackendSuite(
  "emulated .rknn",
  async () => {
    const model = await readRknnModel("demo");
    return (await openRknnEmulated(readRknnFixture("demo.fp16"), model)).backend;
  },
  { tolerance: 4e-3 },
);

describe("openRknnEmulated()", () => {
  test.each([
    ["small.fp16", 1],
    ["small.w8a8", 1],
    ["small.w8a8_layer", 1],
    ["small.hybrid", 1],
    ["normalized.fp16", 1],
    ["normalized.w8a8", 1],
    ["demo.fp16", 0.98],
  ])("gives the simulator's actions for %s", async (name, share) => {
    const [network = ""] = name.split(".");
    const model = await readRknnModel(network);
    const { backend } = await openRknnEmulated(readRknnFixture(name), model);
    const { equal, mean } = await agreementOf(backend, name);
    backend[Symbol.dispose]();
    expect(equal).toBeGreaterThanOrEqual(share);
    expect(mean).toBeLessThanOrEqual(5e-6);
  });

  test("runs the file's weights, whatever the model's are", async () => {
    const model = await readRknnModel("small");
    const other = withChange(model, "actor.0.weight", 3, (w) => w + 5);
    const { backend } = await openRknnEmulated(readRknnFixture("small.fp16"), other);
    expect(await agreementOf(backend, "small.fp16")).toEqual({ equal: 1, mean: 0 });
    backend[Symbol.dispose]();
  });

  test("says what is from the file and what is assumed", async () => {
    const model = await readRknnModel("small");
    const { backend, fromFile, assumed } = await openRknnEmulated(
      readRknnFixture("small.hybrid"),
      model,
    );
    const { name, arithmetic, subject } = backend;
    backend[Symbol.dispose]();
    expect({ name, arithmetic, subject, fromFile, assumed }).toEqual({
      name: "emulated",
      arithmetic: "emulation",
      subject: "file",
      fromFile: [
        "weights (int8 ×2, float16)",
        "biases",
        "which layers are int8 and which float16",
        "scales and zero points of values",
        "zero points of weights, and the shares of their scales",
      ],
      assumed: [
        'the ONNX\'s activation "Elu" is computed exactly',
        "float16 rounds half to even after every product and activation, sums lose nothing",
        "the size of a step of int8 weights, from the ONNX's weights",
      ],
    });
  });

  test("refuses a file of another network", async () => {
    const other = modelOf(networkOf(linear("actor.9", [[1, 2, 3]], [0.5])));
    const open = () => openRknnEmulated(readRknnFixture("small.fp16"), other);
    expect(await refusalOf(open)).toEqual({
      code: "CHECK_FAILED",
      message: "it has no layer for actor.9 [1, 3], but 3 layers of other shapes",
    });
  });
});

const RECORDED = "rknn/lite3_policy.w8a8.rknn";

describeWithShared(RECORDED)(`openRknnEmulated() of ${RECORDED} and its fp16 twin`, () => {
  const at = (path: string) => join(SHARED_DATA, path);
  const compare = async (precision: string) => {
    const model = decodeOnnx(readFileSync(at("lite3_policy.onnx")));
    const bytes = readFileSync(at(`rknn/lite3_policy.${precision}.rknn`));
    const { backend } = await openRknnEmulated(bytes, model);
    const simulated = readFloats(at(`rknn/observations.${precision}.simulator.npy`));
    const found = await agreement(backend, readFloats(at("rknn/observations.npy")), simulated);
    backend[Symbol.dispose]();
    return found;
  };

  test("agrees with the recorded simulator from the file's own weights", async () => {
    const [fp16, w8a8] = [await compare("fp16"), await compare("w8a8")];
    expect(fp16.equal).toBeGreaterThanOrEqual(0.98);
    expect(fp16.mean).toBeLessThanOrEqual(5e-6);
    expect(w8a8.equal).toBeGreaterThanOrEqual(0.999);
    expect(w8a8.mean).toBeLessThanOrEqual(5e-5);
  });
});
