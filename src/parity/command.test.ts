import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { writeNpy } from "../formats/npy.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { LITE3_CONTRACT } from "../policy/contract.ts";
import { modelOf, readGoldenActions, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { compareSides, type ParityOptions } from "./compare_sides.ts";
import { parityDocument } from "./document.ts";
import { killServices, startService } from "../serve/service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const socket = join(directory, "s");
const dataset = join(directory, "obs.npy");
const tiny = join(directory, "tiny.onnx");
const stats = ["--obs-stats", OBS_STATS];
let model: string;
let folded: string;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  folded = await exportDemoPolicy(directory, "folded.onnx", ["--obs-stats", OBS_STATS]);
  await startService(["--model", model, ...stats, "--socket", socket]);
  const { observations, rows } = await readGoldenActions();
  writeFileSync(
    dataset,
    writeNpy({ dtype: "float32", shape: [rows, 45], data: Float32Array.from(observations) }),
  );
  const metadata = { normalizer: "folded" } as const;
  writeFileSync(tiny, encodeOnnx(modelOf(TINY_NETWORK, { metadata })));
});

afterAll(killServices);

const number = expect.any(Number);
const quantiles = { p50: number, p90: number, p99: number, p999: number };

describe("parity --json", () => {
  test("gives its document for a model and its fp16 emulation", async () => {
    const flags = [...stats, "--dataset", dataset];
    const { status, json, stderr } = await runJson(["parity", model, "emulated", ...flags]);
    expect({ status, stderr, json }).toEqual({
      status: 0,
      stderr: "",
      json: {
        pass: true,
        checks: [{ name: "MAE", pass: true, failures: [], found: json.mae, limit: 0.001 }],
        gate: { mae: 0.001 },
        mae: number,
        max: number,
        rmse: number,
        quantiles,
        cosine: number,
        sqnrDb: number,
        perOutput: LITE3_CONTRACT.joints.map((name) => ({
          name,
          mae: number,
          rmse: number,
          max: number,
          quantiles,
          cosine: number,
          sqnrDb: number,
          radians: { mae: number, max: number },
        })),
        worst: { sample: number, output: expect.any(String), error: json.max },
        worstSamples: Array.from({ length: 10 }, () => ({
          sample: number,
          output: expect.any(String),
          error: number,
          observation: Array.from({ length: 45 }, () => number),
          a: Array.from({ length: 12 }, () => number),
          b: Array.from({ length: 12 }, () => number),
        })),
        samples: 256,
        dataset: "obs.npy",
        space: "raw",
        requiredTolerance: { mae: json.mae, max: json.max },
        sides: { a: model, b: `emulated (${model})` },
        evidence: { a: "cpu", b: "emulation" },
      },
    });
    expect(json.mae).toBeWithin(1e-6, 1e-3);
    expect(json.max).toBeWithin(Number(json.mae), 2e-2);
  });

  test("exits with 1 when the gate is missed, on either side of the limit", async () => {
    const args = ["parity", model, "emulated", ...stats, "--dataset", dataset];
    const { status, json, stderr } = await runJson([...args, "--mae", "1e-9"]);
    expect({ status, json }).toMatchObject({
      status: 1,
      json: { pass: false, gate: { mae: 1e-9 } },
    });
    expect(stderr).toMatch(
      /^failed: MAE is [\d.e-]+ \(worst is \w+ with [\d.e-]+\), above 1e-9\n$/,
    );
    // The tolerance that it says it needs is enough, and the next smaller number is not.
    const needed = (json.requiredTolerance as { mae: number }).mae;
    const [enough, short] = await Promise.all([
      runJson([...args, "--mae", String(needed)]),
      runJson([...args, "--mae", String(needed * (1 - 1e-12))]),
    ]);
    expect([enough.status, short.status]).toEqual([0, 1]);
  });

  test("finds no difference between a model and its service, in either order", async () => {
    const endpoint = `unix:${socket}`;
    const flags = [...stats, "--dataset", dataset, "--mae", "0", "--model", model];
    const [forth, back] = await Promise.all([
      runJson(["parity", "mlp", endpoint, ...flags]),
      runJson(["parity", endpoint, "mlp", ...flags]),
    ]);
    const label = `mlp (${model})`;
    const sha256 = createHash("sha256").update(readFileSync(model)).digest("hex");
    const about = { program: "lite3rl", backend: "mlp", evidence: "cpu", model: { sha256 } };
    const same = { pass: true, mae: 0, max: 0, samples: 256, evidence: { a: "cpu", b: "cpu" } };
    expect([forth, back]).toMatchObject([
      {
        status: 0,
        json: { ...same, sides: { a: label, b: endpoint }, services: { b: about } },
      },
      {
        status: 0,
        json: { ...same, sides: { a: endpoint, b: label }, services: { a: about } },
      },
    ]);
  });
});

describe("compareSides()", () => {
  const basis = { seed: 9, timeoutMs: 1000 } as const;
  const seeded = { ...basis, samples: 64 } as const;

  test("applies the normalizer once to a folded and to an external model", async () => {
    const sides = { a: model, b: folded, obsStats: OBS_STATS };
    const { comparison, samples } = await compareSides({ ...seeded, ...sides });
    expect(comparison.max).toBeWithin(0, 1e-4);
    expect([comparison.samples, samples.label]).toEqual([64, "generated, seed 9"]);
  });

  test("takes an .npz", async () => {
    const npz = join(dirname(OBS_STATS), "golden.npz");
    const sides = { a: model, b: "emulated", obsStats: OBS_STATS, dataset: npz };
    const { comparison, samples } = await compareSides({ ...basis, ...sides });
    expect([comparison.samples, samples.label]).toEqual([256, "golden.npz"]);
  });

  test("generates the same observations for the same seed", async () => {
    const compare = async (seed: number) =>
      parityDocument(await compareSides({ ...seeded, a: tiny, b: "emulated", seed }));
    const document = await compare(1);
    expect(document).toMatchObject({ samples: 64, dataset: "generated, seed 1" });
    expect(document.perOutput.map(({ name }) => name)).toEqual(["action[0]"]);
    expect(await compare(1)).toEqual(document);
    expect((await compare(2)).mae).not.toBe(document.mae);
  });

  test("runs backends by name on the model that --model names", async () => {
    const labels = async (a: string, b: string) => {
      const { sides } = await compareSides({ ...seeded, a, b, model: tiny });
      return sides.map(({ label, evidence }) => [label, evidence]);
    };
    const onnx = [`onnx (${tiny})`, "cpu"];
    expect([await labels("onnx", "emulated"), await labels("emulated:fp16", "onnx")]).toEqual([
      [onnx, [`emulated (${tiny})`, "emulation"]],
      [[`emulated:fp16 (${tiny})`, "emulation"], onnx],
    ]);
  });

  const bad = (shape: readonly number[], value = 0): string => {
    const path = join(directory, `bad-${shape.join("x")}-${value}.npy`);
    const data = new Float32Array(shape.reduce((size, one) => size * one, 1)).fill(value);
    writeFileSync(path, writeNpy({ dtype: "float32", shape, data }));
    return path;
  };
  const refusal = (more: Partial<ParityOptions>) =>
    refusalOf(() =>
      compareSides({ ...basis, a: model, b: "emulated", obsStats: OBS_STATS, ...more }),
    );

  test("refuses observations that do not fit, or are none, or are not finite", async () => {
    const [narrow, empty, nan] = [bad([4, 44]), bad([0, 45]), bad([1, 45], NaN)];
    const shapes = (path: string, shape: string) => ({
      code: "CONFIG",
      message:
        `Cannot use observations "${path}": they have shape ${shape}, ` +
        "need [rows, 45] with at least one row",
    });
    expect([
      await refusal({ dataset: narrow }),
      await refusal({ dataset: empty }),
      await refusal({ dataset: nan }),
    ]).toEqual([
      shapes(narrow, "[4, 44]"),
      shapes(empty, "[0, 45]"),
      {
        code: "MALFORMED",
        message: `Cannot use observations "${nan}": row 0, column 0 is NaN, need finite numbers`,
      },
    ] as never);
  });

  test("refuses sides that cannot be compared", async () => {
    expect([
      await refusal({ b: tiny, obsStats: undefined }),
      await refusal({ dataset: dataset, obsStats: undefined }),
      await refusal({ a: tiny, b: `unix:${socket}`, timeoutMs: 200, obsStats: undefined }),
      await refusal({ a: "a.rknn" }),
      await refusal({ a: "none.onnx" }),
      await refusal({ b: model }),
      await refusal({ dataset, samples: 5 }),
      await refusal({ b: folded, model: tiny }),
    ]).toEqual([
      {
        code: "CHECK_FAILED",
        message: `${model} is 45 → 12, ${tiny} is 2 → 1: they are not the same policy`,
      },
      {
        code: "CONFIG",
        message:
          `Cannot run "${model}": it expects normalised observations, ` +
          "need --obs-stats obs_stats.npz",
      },
      {
        code: "WIRE",
        message:
          `Cannot use the service at unix:${socket}: it takes 45 numbers and gives 12, ` +
          "need one that takes 2 numbers and gives 1",
      },
      {
        code: "USAGE",
        message:
          'Cannot emulate "a.rknn": its network is not known, ' +
          "need the .onnx that it was made from as the other side or with --model",
      },
      {
        code: "NOT_FOUND",
        message: 'Cannot read "none.onnx": there is no such file, need a file',
      },
      {
        code: "USAGE",
        message: `Cannot compare ${model} with itself: that could not fail, name another side`,
      },
      {
        code: "USAGE",
        message: "--samples is for generated observations, --dataset brings its own",
      },
      {
        code: "USAGE",
        message:
          `--model "${tiny}" is for sides that are only a backend, "${model}" and "${folded}" ` +
          "are not",
      },
    ]);
  });
});

describe("parity of backends by name", () => {
  test("runs the project's model where none is named, and needs one", async () => {
    const project = join(directory, "project");
    mkdirSync(join(project, "build"), { recursive: true });
    const [command, cwd] = [["parity", "onnx", "emulated"], { cwd: project }];
    expect(await run(command, cwd)).toEqual(
      failed(
        2,
        'Cannot run backend "onnx": no model named, and none of build/policy.onnx, policy.onnx, ' +
          "/opt/models/current/policy.onnx is here; give --model policy.onnx",
      ),
    );
    writeFileSync(join(project, "build", "policy.onnx"), readFileSync(tiny));
    expect((await runJson(command, cwd)).json.sides).toEqual({
      a: "onnx (build/policy.onnx)",
      b: "emulated (build/policy.onnx)",
    });
  });
});

describe("parity", () => {
  test("shows a table, and what tolerance would pass", async () => {
    const copy = join(directory, "copy.onnx");
    writeFileSync(copy, readFileSync(tiny));
    const { status, stdout, stderr } = await run(["parity", tiny, copy, "--samples", "3"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.trimEnd().split("\n")).toEqual([
      `a  ${tiny} (computed on the CPU in float32)`,
      `b  ${copy} (computed on the CPU in float32)`,
      "on 3 observations (generated, seed 0)",
      "",
      "output     MAE  p99  max",
      "action[0]    0    0    0",
      "",
      "observations  samples  MAE  max  worst",
      "plausible           3    0    0  sample 0, action[0]",
      "edge               10    0    0  sample 3, action[0]",
      "adversarial        64    0    0  sample 13, action[0]",
      "",
      "RMSE 0; p50 0, p99 0, p99.9 0; no noise",
      "cosine 1.0000000; worst is sample 0, action[0]: 0",
      "would pass at --mae 0; largest single error 0",
      "MAE 0 against 0.001: ok",
    ]);
  });
});
