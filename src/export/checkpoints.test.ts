/**
 * Every checkpoint that the real libraries wrote: exported, run in ONNX Runtime, and held against
 * the actions that the library computed.
 */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { memorySource } from "../base/files.ts";
import { present } from "../base/assert.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { readNpz } from "../formats/npz.ts";
import { toFloat32 } from "../formats/tensor.ts";
import { openModel, openPolicy, readModel } from "../runtime/open.ts";
import { exportCheckpoint, type ExportOptions, type ExportResult } from "./export_checkpoint.ts";

const FOLDER = join(import.meta.dir, "../../fixtures/checkpoints");
const TOLERANCE = 1e-5;

interface Expected {
  readonly file: string;
  readonly layout: string;
  readonly observationSize: number;
  readonly actionSize: number;
  readonly activation: string | null;
  readonly activationFrom: string;
  readonly normalizer: {
    readonly form: string;
    readonly eps: number;
    readonly clip?: number;
  } | null;
  readonly recurrent: { readonly kind: string; readonly layers: number } | null;
  readonly flags: readonly string[];
  readonly golden: string;
}

const rows = JSON.parse(readFileSync(join(FOLDER, "expect.json"), "utf8")) as Expected[];
const directory = temporaryDirectory();

/** `["--activation", "relu"]` → the value after a flag. */
function flag(row: Expected, name: string): string | undefined {
  const at = row.flags.indexOf(name);
  return at < 0 ? undefined : row.flags[at + 1];
}

/** Exports without a word: what is said is tested elsewhere. */
async function exportRow(row: Expected, output: string, normalizer?: "external") {
  const isFromFile = ["checkpoint", "agent.yaml", "params/agent.yaml"].includes(row.activationFrom);
  const epsilon = row.layout === "torchscript" ? undefined : row.normalizer?.eps;
  const options: ExportOptions = {
    checkpoint: join(FOLDER, row.file),
    output,
    activation: isFromFile
      ? undefined
      : (flag(row, "--activation") ?? row.activation ?? "identity"),
    outputActivation: flag(row, "--output-activation"),
    distribution: flag(row, "--distribution") as "gaussian" | "beta" | undefined,
    normalizerEpsilon: epsilon,
    normalizer,
    outputName: "action",
    dynamicBatch: false,
    check: false,
  };
  const results: ExportResult[] = [];
  await linesDuring(async () => results.push(await exportCheckpoint(options)));
  return present(results[0]);
}

/** Actions for the golden observations, one at a time with the state kept. */
async function act(model: string, obsStats: string | undefined, observations: Float32Array) {
  using policy = await openPolicy(model, obsStats);
  const { observationSize, actionSize } = policy;
  const count = observations.length / observationSize;
  const actions = new Float32Array(count * actionSize);
  const state = policy.backend.createState();
  for (let i = 0; i < count; i++) {
    const observation = observations.subarray(i * observationSize, (i + 1) * observationSize);
    await policy.act(observation, actions.subarray(i * actionSize, (i + 1) * actionSize), state);
  }
  return actions;
}

/** Largest difference to what the library computed, and whether there are as many actions. */
async function compare(row: Expected, model: string, obsStats?: string) {
  const golden = await readNpz(memorySource(readFileSync(join(FOLDER, row.golden))));
  // SAC and TD3 are held against predict(), which stretches tanh(mu) to the action space.
  const name = ["sb3_sac", "sb3_td3"].includes(row.layout) ? "predicted" : "actions";
  const expected = toFloat32(present(golden.get(name)));
  const actions = await act(model, obsStats, toFloat32(present(golden.get("obs"))));
  const worst = actions.reduce(
    (max, value, i) => Math.max(max, Math.abs(value - (expected[i] ?? NaN))),
    0,
  );
  return { isWhole: actions.length === expected.length, isExact: worst <= TOLERANCE };
}

test("exportCheckpoint() needs no eps of a normalizer that is dropped", async () => {
  const result = await exportCheckpoint({
    checkpoint: join(FOLDER, "rsl_rl_5_5_normalized.pt"),
    output: join(directory, "dropped.onnx"),
    activation: "elu",
    normalizer: "drop",
    outputName: "action",
    dynamicBatch: false,
    check: false,
  });
  expect(result.normalizer).toBe("none");
});

describe("exportCheckpoint() acts as the library that wrote it:", () => {
  for (const row of rows) {
    test(row.file, async () => {
      const output = join(directory, `${row.file.replaceAll("/", "_")}.onnx`);
      const exported = await exportRow(row, output);
      expect({
        layout: exported.source.layout,
        normalizer: exported.normalizer,
        ...(await compare(row, output)),
      }).toEqual({
        layout: row.layout,
        normalizer: row.normalizer === null ? "none" : "folded",
        isWhole: true,
        isExact: true,
      });
    });
  }
});

/** Actions of one backend for the golden observations, all at once. */
async function actionsOf(model: string, backend: "onnx" | "mlp", observations: Float32Array) {
  using opened = await openModel(await readModel(model), backend);
  const rows = observations.length / opened.observationSize;
  const actions = new Float32Array(rows * opened.actionSize);
  await opened.infer(observations, actions, opened.createState(), rows);
  return actions;
}

describe("the mlp backend runs what is exported as ONNX Runtime does:", () => {
  for (const row of rows) {
    const output = join(directory, "mlp", row.file, "policy.onnx");
    const isRecurrent = row.recurrent !== null;
    test(`${row.file}${isRecurrent ? " is refused, as recurrent" : ""}`, async () => {
      await exportRow(row, output);
      const golden = await readNpz(memorySource(readFileSync(join(FOLDER, row.golden))));
      const observations = toFloat32(present(golden.get("obs")));
      if (isRecurrent) {
        expect(await refusalOf(() => actionsOf(output, "mlp", observations))).toEqual({
          code: "UNSUPPORTED",
          message:
            `Cannot run model "${output}": it does not fit the mlp backend: it is recurrent; ` +
            "the onnx backend runs it",
        });
        return;
      }
      const expected = await actionsOf(output, "onnx", observations);
      const errors = (await actionsOf(output, "mlp", observations)).map((action, i) => {
        const wanted = present(expected[i]);
        return Math.abs(action - wanted) / Math.max(1, Math.abs(wanted));
      });
      expect(errors).toHaveLength(expected.length);
      expect(errors.reduce((max, error) => (error <= max ? max : error), 0)).toBeLessThan(1e-6);
    });
  }
});

describe("exportCheckpoint() with --normalizer external acts as the library that wrote it:", () => {
  const normalised = rows.filter(({ normalizer }) => normalizer !== null);
  for (const row of normalised.filter(({ normalizer }) => normalizer?.clip === undefined)) {
    test(row.file, async () => {
      const output = join(directory, "external", row.file, "policy.onnx");
      const obsStats = join(output, "..", "obs_stats.npz");
      const exported = await exportRow(row, output, "external");
      expect({
        normalizer: exported.normalizer,
        obsStats: exported.obsStats,
        ...(await compare(row, output, obsStats)),
      }).toEqual({ normalizer: "external", obsStats, isWhole: true, isExact: true });
    });
  }

  for (const row of normalised.filter(({ normalizer }) => normalizer?.clip !== undefined)) {
    test(`${row.file} is refused, since the service has no limit`, async () => {
      const output = join(directory, "external", row.file, "policy.onnx");
      expect(await refusalOf(() => exportRow(row, output, "external"))).toEqual({
        code: "UNSUPPORTED",
        message:
          "Cannot leave the normalizer outside: it cuts off at ±5, which the service does not; " +
          "fold it in by --normalizer fold",
      });
    });
  }
});
