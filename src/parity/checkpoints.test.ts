/**
 * Parity of checkpoints: exported in memory, held against files that were made from them.
 */

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { demoNetwork, DEMO_POLICY, modelOf } from "../policy/policy_fixture.ts";
import { RKNN_FIXTURES } from "../runtime/rknn_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const { checkpoint, config } = DEMO_POLICY;
/** The same policy, whose checkpoint has the normalizer. */
const normalised = join(DEMO_POLICY.checkpoint, "..", "policy_rsl_rl.pt");
const words = ["--config", config, "--obs-stats", OBS_STATS, "--samples", "64"];
let external: string;

beforeAll(async () => {
  external = await exportDemoPolicy(directory);
});

describe("parity of a checkpoint", () => {
  test("passes against its own export, and writes nothing", async () => {
    const before = readdirSync(directory);
    const { status, json, stderr } = await runJson(["parity", checkpoint, external, ...words]);
    expect({ status, json, stderr }).toMatchObject({
      status: 0,
      json: {
        pass: true,
        mae: 0,
        space: "raw",
        sides: { a: checkpoint, b: external },
        evidence: { a: "cpu", b: "cpu" },
      },
      stderr: "",
    });
    expect(readdirSync(directory)).toEqual(before);
  });

  test("is the model of a backend and of a .rknn, whose weights are held against it", async () => {
    const rknn = join(RKNN_FIXTURES, "demo.fp16.rknn");
    const sides = ["emulated", "mlp", rknn];
    const { status, json } = await runJson(["parity", checkpoint, ...sides, ...words]);
    expect({ status, json }).toMatchObject({
      status: 0,
      json: {
        comparisons: [
          { sides: { b: `emulated (${checkpoint})` }, evidence: { b: "emulation" } },
          { sides: { b: `mlp (${checkpoint})` }, evidence: { b: "cpu" } },
          { files: [{ file: rknn, model: checkpoint, weights: { holds: true } }] },
        ],
      },
    });
    const byModel = ["parity", "mlp", "emulated", "--model", checkpoint, ...words];
    expect((await runJson(byModel)).json.mae).toBe(
      (await runJson(["parity", "mlp", "emulated", "--model", external, ...words.slice(2)])).json
        .mae,
    );
  });

  test("fails against a model of other weights", async () => {
    const other = join(directory, "other.onnx");
    const metadata = { normalizer: "external" } as const;
    const network = await demoNetwork();
    const layers = network.layers.map((layer) =>
      layer.kind === "linear" ? { ...layer, bias: layer.bias.map((value) => value + 0.1) } : layer,
    );
    writeFileSync(other, encodeOnnx(modelOf({ ...network, layers }, { metadata })));
    const { status, stderr } = await run(["parity", checkpoint, other, ...words]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^failed: MAE is [\d.]+ \(worst is \w+ with [\d.]+\), above 0.001$/m);
  });

  test("applies a normalizer of its own once, and --obs-stats to the others", async () => {
    const raw = ["parity", normalised, external, "--activation", "elu", "--normalizer-eps", "0.01"];
    const { status, json } = await runJson([...raw, ...words.slice(2)]);
    expect({ status, json }).toMatchObject({ status: 0, json: { pass: true, space: "raw" } });
    expect(Number(json.max)).toBeLessThan(1e-3);
    expect(await run([...raw, "--samples", "8"])).toEqual(
      failed(
        2,
        `Cannot compare ${normalised} with ${external}: ${normalised} normalises by itself, ` +
          `${external} expects normalised observations, need --obs-stats obs_stats.npz`,
      ),
    );
  });

  test("says which flag settles what it does not hold, and where none is needed", async () => {
    expect([
      await run(["parity", checkpoint, "emulated", "--samples", "8"]),
      await run(["parity", external, "emulated", "--activation", "elu"]),
      await run(["parity", checkpoint, checkpoint, ...words]),
      await run(["parity", external, "onnx", "--model", external, "--obs-stats", OBS_STATS]),
    ]).toEqual([
      failed(
        2,
        `Cannot choose the activation of "${checkpoint}": a checkpoint does not hold it, ` +
          "need --config actor.yaml or --activation elu",
      ),
      failed(2, "--activation is for a checkpoint (.pt), none is compared"),
      failed(2, `Cannot compare ${checkpoint} with itself: that could not fail, name another side`),
      failed(2, `Cannot compare ${external} with itself: that could not fail, name another side`),
    ]);
  });

  test("says once that no normalizer is known", async () => {
    const dataset = join(OBS_STATS, "..", "golden.npz");
    const sides = ["parity", checkpoint, "emulated", "--config", config, "--dataset", dataset];
    const { stderr } = await run(sides);
    expect(stderr.match(/no normalizer known/g)).toHaveLength(1);
    expect(stderr.match(/no normalizer in the checkpoint/g)).toHaveLength(1);
  });
});

test("parity of a project takes `onnx` beside a checkpoint for the exported file", async () => {
  const project = join(directory, "project");
  await run(["init", project]);
  const nothing = await run(["parity", "inputs/policy.pt", "onnx", "--no-model"], { cwd: project });
  expect(nothing).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('Cannot run backend "onnx": no model named, and there is no'),
  });
  await run(["export"], { cwd: project });
  const sides = ["parity", "inputs/policy.pt", "onnx", "--no-dataset"];
  expect(await runJson(sides, { cwd: project })).toMatchObject({
    status: 0,
    json: { mae: 0, sides: { a: "inputs/policy.pt", b: "onnx (build/policy.onnx)" } },
  });
});
