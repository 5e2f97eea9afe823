/**
 * Parity of a vendor's policy and the files that the toolkit made of it, held against what the
 * toolkit's simulator had answered when they were made.
 */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithShared, SHARED_DATA, testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { run, runJson } from "../cli/program_fixture.ts";
import { compareActions } from "../compare/statistics.ts";
import { readNpy } from "../formats/npy.ts";
import { decodeOnnx, encodeOnnx, makeTensor, tensorFloats } from "../formats/onnx.ts";
import { toFloat32 } from "../formats/tensor.ts";
import { outputNames } from "../policy/contract.ts";
import { openModel, readModel } from "../runtime/open.ts";
import { runRows } from "../runtime/run_rows.ts";

setDefaultTimeout(120_000);

const directory = temporaryDirectory();
const shared = (path: string): string => join(SHARED_DATA, path);
const model = shared("lite3_policy.onnx");
const rknn = (precision: string): string => shared(`rknn/lite3_policy.${precision}.rknn`);
const dataset = shared("rknn/observations.npy");
const floats = (path: string): Float32Array => toFloat32(readNpy(readFileSync(path)));

/** Of the recorded simulator's answers and ONNX Runtime's. */
async function recordedMae(precision: string): Promise<number> {
  const observations = floats(dataset);
  using backend = await openModel(await readModel(model), "onnx");
  const rows = observations.length / backend.observationSize;
  const actions = await runRows(backend, observations, rows);
  const simulated = floats(shared(`rknn/observations.${precision}.simulator.npy`));
  return compareActions(actions, simulated, outputNames(backend.actionSize)).mae;
}

/** The same policy but for one weight of one layer, by a tenth. */
function changedModel(): string {
  const { graph, ...rest } = decodeOnnx(readFileSync(model));
  const [layer] = (graph.initializer ?? []).filter(({ dims = [] }) => dims.length === 2).slice(1);
  const initializer = (graph.initializer ?? []).map((tensor) => {
    if (tensor !== layer) return tensor;
    const values = tensorFloats(tensor);
    values[0] = (values[0] ?? 0) + 0.1;
    return makeTensor(tensor.name ?? "", (tensor.dims ?? []).map(Number), values);
  });
  const path = join(directory, "changed.onnx");
  writeFileSync(path, encodeOnnx({ ...rest, graph: { ...graph, initializer } }));
  return path;
}

describeWithShared("rknn/observations.fp16.simulator.npy")("parity of the vendor's policy", () => {
  const words = (a: string, b: string): string[] => ["parity", a, b, "--dataset", dataset];

  test("passes in fp16 by emulation, within 2 % of the simulator's error", async () => {
    const { status, json } = await runJson(words(model, rknn("fp16")));
    const evidence = { a: "cpu", b: "emulation" };
    expect({ status, json }).toMatchObject({ status: 0, json: { pass: true, evidence } });
    const recorded = await recordedMae("fp16");
    expect(Number(json["mae"]) / recorded).toBeWithin(0.98, 1.02);
  });

  test("fails in w8a8 with the simulator's error, and names the worst joint", async () => {
    const { status, json, stderr } = await runJson(words(model, rknn("w8a8")));
    expect({ status, json }).toMatchObject({ status: 1, json: { pass: false } });
    expect(Number(json["mae"]) / (await recordedMae("w8a8"))).toBeWithin(0.98, 1.02);
    expect(stderr).toEndWith("failed: MAE is 0.0191 (worst is HR_Knee with 0.0238), above 0.001\n");
  });

  test("fails for a file of other weights, and names the layer", async () => {
    const { status, stderr } = await run(words(changedModel(), rknn("fp16")));
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /does not have the weights of the model: \S+\.weight \[0, 0\] is \S+, \S+ has \S+ \(1 of \d+ differ\)/,
    );
  });

  testWith("toolkit")("passes by the toolkit's own simulator, which is named", async () => {
    const flags = ["--require", "toolkit-simulator"];
    const { status, json } = await runJson([...words(model, "toolkit"), ...flags]);
    const evidence = { a: "cpu", b: "toolkit-simulator" };
    expect({ status, json }).toMatchObject({ status: 0, json: { pass: true, evidence } });
    expect(Number(json["mae"]) / (await recordedMae("fp16"))).toBeWithin(0.98, 1.02);
  });

  test("gives the same document in two runs, byte for byte", async () => {
    const twice = ["parity", "emulated", "mlp", "--model", model, "--samples", "64", "--json"];
    const [one, two] = await Promise.all([run(twice), run(twice)]);
    expect(one).toEqual(two);
  });
});
