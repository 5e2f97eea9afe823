import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { exportDemoPolicy, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { generateObservations } from "../dataset/generate_observations.ts";
import { decodeOnnx, encodeOnnx } from "../formats/onnx.ts";
import { writeNpy } from "../formats/npy.ts";
import { readObservationStats } from "../policy/normalizer.ts";
import { compareSides, type ParityOptions } from "./compare_sides.ts";

setDefaultTimeout(120_000);
const realTest = testWith("toolkit");

const directory = temporaryDirectory();
const dataset = join(directory, "obs.npy");
const rknn = join(directory, "policy.rknn");
let model: string;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  const { data } = generateObservations(200, 45, 1, await readObservationStats(OBS_STATS));
  const values = Float32Array.from(data);
  writeFileSync(dataset, writeNpy({ dtype: "float32", shape: [200, 45], data: values }));
});

const options = (more: Pick<ParityOptions, "a" | "b"> & Partial<ParityOptions>): ParityOptions => ({
  dataset,
  obsStats: OBS_STATS,
  seed: 0,
  timeoutMs: 1000,
  ...more,
});

describe("compareSides() with the toolkit's simulator", () => {
  realTest("builds the policy in float16 where no recipe is named", async () => {
    const { sides, comparison } = await compareSides(options({ a: model, b: "toolkit" }));
    expect(sides.map(({ label, evidence }) => [label, evidence])).toEqual([
      [model, "cpu"],
      [`toolkit (${model})`, "toolkit-simulator"],
    ]);
    expect(comparison.mae).toBeWithin(1e-6, 1e-3);
  });

  realTest("builds by the recipe beside a file what the file itself holds", async () => {
    const flags = ["--dataset", dataset, "--obs-stats", OBS_STATS, "--output", rknn];
    expect((await run(["convert", model, ...flags, "--do-quant", "--force"])).status).toBe(1);
    const sides = { a: `toolkit:${rknn}`, b: rknn };
    const { comparison } = await compareSides(options(sides));
    expect(comparison.mae).toBeLessThan(1e-6);

    const folded = await exportDemoPolicy(directory, "f.onnx", ["--obs-stats", OBS_STATS]);
    const other = { a: `toolkit:${rknn}`, b: folded, model: folded, obsStats: undefined };
    expect(await refusalOf(() => compareSides(options(other)))).toEqual({
      code: "CONFIG",
      message: expect.stringMatching(/that was made of another model, .* name that with --model$/),
    });
    writeFileSync(dataset, readFileSync(dataset).fill(0, 1000, 1004));
    expect(await refusalOf(() => compareSides(options({ ...sides, b: model })))).toEqual({
      code: "CONFIG",
      message: expect.stringMatching(/it is not what the recipe was made with any more/),
    });
  });
});

test("compareSides() names the record that a recipe needs", async () => {
  writeFileSync(join(directory, "bare.rknn"), "bare");
  const bare = join(directory, "bare.rknn");
  expect(await refusalOf(() => compareSides(options({ a: `toolkit:${bare}`, b: model })))).toEqual({
    code: "NOT_FOUND",
    message: `Cannot read "${bare}.json": there is no such file, need a file`,
  });
});

describe("parity of a project's .rknn with the toolkit installed", () => {
  const project = join(directory, "project");
  const here = { cwd: project };
  const required = ["--require", "toolkit-simulator", "--samples", "16"];
  const flags = ["--obs-stats", OBS_STATS, ...required];

  realTest("is joined by the simulator, whichever side comes first", async () => {
    mkdirSync(join(project, "build"), { recursive: true });
    const onnx = join(project, "build", "policy.onnx");
    copyFileSync(model, onnx);
    const made = await run(["convert", "build/policy.onnx", "--obs-stats", OBS_STATS], here);
    expect(made.status).toBe(0);
    const [file, simulator] = ["build/policy.rknn (emulated)", "toolkit:build/policy.rknn"];
    const own = "onnx (build/policy.onnx)";
    const results = [
      await runJson(["parity", "onnx", "rknn", ...flags], here),
      await runJson(["parity", "rknn", "onnx", ...flags], here),
    ];
    const sides = results.map(({ status, json }) => [
      status,
      ...(json["comparisons"] as { sides: unknown }[]).map((one) => one.sides),
    ]);
    const last = { a: own, b: `${simulator} (build/policy.onnx)` };
    expect(sides).toEqual([
      [0, { a: own, b: file }, last],
      [0, { a: file, b: own }, last],
    ]);
  });

  realTest("goes without the simulator where the recipe's set is another now", async () => {
    const set = join(project, "obs.npy");
    const bytes = readFileSync(dataset);
    writeFileSync(set, bytes);
    const words = ["--dataset", "obs.npy", "--obs-stats", OBS_STATS, "--do-quant", "--force"];
    expect((await run(["convert", "build/policy.onnx", ...words], here)).status).toBe(1);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    writeFileSync(set, bytes);
    const { status, stderr } = await run(["parity", "onnx", "rknn", ...flags], here);
    expect(status).toBe(1);
    expect(stderr).toContain("the toolkit's simulator is left out: Cannot calibrate with");
    expect(stderr).toContain("--require toolkit-simulator needs more");
  });

  realTest("fails by its layer where the model is another now, and is not simulated", async () => {
    const changed = decodeOnnx(readFileSync(model));
    const [weights] = changed.graph.initializer?.filter(({ dims = [] }) => dims.length > 1) ?? [];
    const { rawData = new Uint8Array() } = weights ?? {};
    // The exponent of the first float32.
    rawData[3] = (rawData[3] ?? 0) ^ 1;
    writeFileSync(join(project, "build", "policy.onnx"), encodeOnnx(changed));
    const { status, stderr } = await run(["parity", "onnx", "rknn", ...flags], here);
    expect(status).toBe(1);
    expect(stderr).toContain("the toolkit's simulator is left out");
    expect(stderr).toMatch(/^failed: .*does not have the weights of the model: actor\.0\.weight /m);
    expect(stderr).toContain("--require toolkit-simulator needs more");
  });
});
