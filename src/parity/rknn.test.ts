/**
 * Parity of .rknn files off the board: emulated from their own weights, which must be the model's.
 */

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConversionRecord, encodeRecord, recordPath } from "../policy/conversion_record.ts";
import { sha256 } from "../base/files.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { writeNpy } from "../formats/npy.ts";
import { readGoldenActions } from "../policy/policy_fixture.ts";
import {
  nextFloat16,
  readRknnModel,
  RKNN_FIXTURES,
  withActivation,
  withChange,
} from "../runtime/rknn_fixture.ts";
import { compareSides } from "./compare_sides.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const fixture = (name: string) => join(RKNN_FIXTURES, name);
const [onnx, rknn] = [fixture("small.onnx"), fixture("small.fp16.rknn")];
const observations = fixture("small.observations.npy");
const basis = { seed: 0, timeoutMs: 1000 } as const;

async function changedModel(): Promise<string> {
  const path = join(directory, "changed.onnx");
  const next = (weight: number) => nextFloat16(Math.f16round(weight));
  const model = withChange(await readRknnModel("small"), "actor.2.weight", 40, next);
  writeFileSync(path, encodeOnnx(model));
  return path;
}

describe("parity onnx rknn", () => {
  test("takes the project's files, and says on what the figures rest", async () => {
    const project = join(directory, "project");
    const env = { XDG_CACHE_HOME: join(directory, "cache") };
    mkdirSync(join(project, "build"), { recursive: true });
    const words = ["parity", "onnx", "rknn"];
    copyFileSync(onnx, join(project, "build", "policy.onnx"));
    expect(await run(words, { cwd: project, env })).toEqual(
      failed(
        2,
        'Cannot run backend "rknn": none of build/policy.rknn, policy.rknn, ' +
          "/opt/models/current/policy.rknn is here; make one with lite3rl convert, or name the file",
      ),
    );
    copyFileSync(rknn, join(project, "build", "policy.rknn"));
    expect(await runJson(words, { cwd: project, env })).toMatchObject({
      status: 0,
      json: {
        pass: true,
        sides: { a: "onnx (build/policy.onnx)", b: "build/policy.rknn (emulated)" },
        evidence: { a: "cpu", b: "emulation" },
      },
    });
    expect(await runJson([...words, "--require", "npu"], { cwd: project, env })).toMatchObject({
      status: 1,
      json: { pass: false },
      stderr: "failed: the evidence is cpu and emulation, --require npu needs more\n",
    });
  });
});

describe("parity onnx rknn with a lite3rl.yaml", () => {
  const project = join(directory, "named");
  const here = { cwd: project, env: { XDG_CACHE_HOME: join(directory, "cache") } };
  const yaml =
    "model: build/served.onnx\nconvert:\n  onnx: nets/walk.onnx\n  output: npu/walk.rknn\n";
  const words = ["parity", "onnx", "rknn", "--samples", "8"];

  beforeAll(() => {
    for (const folder of ["build", "nets", "npu"]) {
      mkdirSync(join(project, folder), { recursive: true });
    }
    writeFileSync(join(project, "lite3rl.yaml"), yaml);
    copyFileSync(onnx, join(project, "nets", "walk.onnx"));
    for (const name of ["policy.onnx", "served.onnx"]) {
      writeFileSync(join(project, "build", name), "stale");
    }
    writeFileSync(join(project, "build", "policy.rknn"), "stale");
  });

  test("needs the .rknn that it names, whatever is in the usual places", async () => {
    expect((await run(words, here)).stderr).toEndWith(
      'error: Cannot run backend "rknn": there is no "npu/walk.rknn", which lite3rl.yaml names; ' +
        "make one with lite3rl convert, or name the file\n",
    );
  });

  test("takes what convert takes and makes, and says so", async () => {
    copyFileSync(rknn, join(project, "npu", "walk.rknn"));
    expect(await runJson(words, here)).toMatchObject({
      status: 0,
      json: { sides: { a: "onnx (nets/walk.onnx)", b: "npu/walk.rknn (emulated)" } },
    });
    const { stderr } = await run(words, here);
    expect(stderr).toContain("rknn is npu/walk.rknn, convert's output in lite3rl.yaml\n");
  });

  test("holds the project's model against another that is named", async () => {
    copyFileSync(await changedModel(), join(project, "changed.onnx"));
    const { json } = await runJson(["parity", "onnx", "changed.onnx", "--samples", "8"], here);
    expect(json["sides"]).toEqual({ a: "onnx (nets/walk.onnx)", b: "changed.onnx" });
    expect(json["max"]).toBeGreaterThan(0);
  });

  test("saves one side alone though the file names two, which it says together", async () => {
    writeFileSync(join(project, "lite3rl.yaml"), `${yaml}parity:\n  a: onnx\n  b: emulated\n`);
    const alone = ["parity", "onnx", "--save-outputs", "onnx.npz", "--samples", "8"];
    expect((await runJson(alone, here)).json).toMatchObject({ label: "onnx (nets/walk.onnx)" });
    expect((await runJson(["parity"], here)).json["sides"]).toEqual({
      a: "onnx (nets/walk.onnx)",
      b: "emulated (nets/walk.onnx)",
    });
    expect((await run(["parity", "npu/walk.rknn"], here)).stderr).toContain(
      'error: Cannot compare "npu/walk.rknn" with nothing: name another side',
    );
  });
});

describe("parity of a .rknn", () => {
  test("passes by its weights and its actions, and says what is from the file", async () => {
    const { status, json } = await runJson(["parity", onnx, rknn, "--dataset", observations]);
    expect({ status, json }).toMatchObject({
      status: 0,
      json: {
        pass: true,
        samples: 64,
        sides: { a: onnx, b: `${rknn} (emulated)` },
        evidence: { a: "cpu", b: "emulation" },
        files: [
          {
            file: rknn,
            model: onnx,
            weights: { holds: true },
            fromFile: ["weights (float16 ×3)", "biases", expect.any(String)],
            assumed: ['the ONNX\'s activation "Elu" is computed exactly', expect.any(String)],
          },
        ],
      },
    });
    const { stdout } = await run(["parity", rknn, onnx, "--samples", "3"]);
    expect(stdout.split("\n").slice(3, 8)).toEqual([
      "",
      `from ${rknn}, for rk3588: weights (float16 ×3); biases; which layers are int8 and which float16`,
      expect.stringMatching(/^assumed: the ONNX's activation "Elu" is computed exactly; /),
      `its 2312 weights and biases are those of ${onnx}: ok`,
      `its operators are those of ${onnx}: ok`,
    ]);
  });

  test("fails for a file of other weights though the actions are near", async () => {
    const changed = await changedModel();
    const { status, json, stderr } = await runJson(["parity", changed, rknn]);
    expect({ status, json }).toMatchObject({
      status: 1,
      json: { pass: false, files: [{ weights: { holds: false } }] },
    });
    expect(Number(json.mae)).toBeLessThan(1e-3);
    expect(stderr.split("\n").at(-2)).toMatch(
      /^failed: .*small\.fp16\.rknn does not have the weights of the model: actor\.2\.weight \[1, 7\] is \S+, \S+ has \S+ \(1 of 561 differ\)$/,
    );
  });

  test("fails for an int8 file that is not near, with its weights in order", async () => {
    const w8a8 = fixture("small.w8a8.rknn");
    const { status, json } = await runJson(["parity", onnx, w8a8, "--dataset", observations]);
    expect({ status, json }).toMatchObject({
      status: 1,
      json: { pass: false, files: [{ weights: { holds: true } }] },
    });
    expect(Number(json.mae)).toBeWithin(1e-3, 0.1);
  });

  test("gives the file what the network sees, folded or not, batch free or not", async () => {
    const model = await exportDemoPolicy(directory, "external.onnx", ["--dynamic-batch"]);
    const folded = await exportDemoPolicy(directory, "folded.onnx", ["--obs-stats", OBS_STATS]);
    const dataset = join(directory, "obs.npy");
    const golden = await readGoldenActions();
    const data = Float32Array.from(golden.observations);
    writeFileSync(dataset, writeNpy({ dtype: "float32", shape: [golden.rows, 45], data }));
    const file = fixture("demo.fp16.rknn");
    const options = { ...basis, dataset, obsStats: OBS_STATS };
    for (const sides of [
      { a: model, b: file },
      { a: folded, b: file, model },
    ]) {
      const result = await compareSides({ ...options, ...sides });
      expect(result.comparison.mae).toBeWithin(1e-6, 1e-3);
      expect(result.sides[1].emulatedFile?.weights.holds).toBe(true);
    }
  });

  test("takes the ONNX of the same name beside it, or none", async () => {
    copyFileSync(rknn, join(directory, "policy.rknn"));
    const path = join(directory, "policy.rknn");
    const compare = () => compareSides({ ...basis, a: path, b: "emulated" });
    expect(await refusalOf(compare)).toEqual({
      code: "USAGE",
      message:
        `Cannot emulate "${path}": its network is not known, ` +
        "need the .onnx that it was made from as the other side or with --model",
    });
    copyFileSync(onnx, join(directory, "policy.onnx"));
    const { comparison } = await compare();
    expect(comparison.max).toBe(0);
  });

  test("refuses a file that is broken, or of another network", async () => {
    const broken = join(directory, "broken.rknn");
    writeFileSync(broken, "RKNN");
    const normalized = fixture("normalized.fp16.rknn");
    const refuse = (b: string) => refusalOf(() => compareSides({ ...basis, a: onnx, b }));
    expect([await refuse(broken), (await refuse(normalized)).code]).toEqual([
      {
        code: "MALFORMED",
        message: `Cannot emulate "${broken}": it begins with "RKNN", need a .rknn file`,
      },
      "CHECK_FAILED",
    ]);
  });
});

describe("parity of a .rknn with its surroundings", () => {
  const write = (name: string, bytes: Uint8Array | string): string => {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    return path;
  };
  const failureOf = async (...args: string[]): Promise<[number, string]> => {
    const { status, stderr } = await run(["parity", ...args, "--samples", "8"]);
    return [status, stderr];
  };

  test("fails for an ONNX of the same weights and another activation", async () => {
    const model = withActivation(await readRknnModel("small"), "Elu", "Relu");
    const path = write("relu.onnx", encodeOnnx(model));
    const { status, json } = await runJson(["parity", path, rknn, "--samples", "8"]);
    expect({ status, json }).toMatchObject({
      status: 1,
      json: {
        pass: false,
        files: [
          {
            weights: { holds: true },
            contradictions: [
              "the file computes Elu after actor.0, the model Relu",
              "the file computes Elu after actor.2, the model Relu",
            ],
          },
        ],
      },
    });
  });

  test("fails for a file of another platform, unless that is the target", async () => {
    const other = Buffer.from(readFileSync(rknn));
    const name = '"rk3588"';
    for (let at = other.indexOf(name); at >= 0; at = other.indexOf(name, at + 1)) {
      other.write('"rk3576"', at);
    }
    const path = write("rk3576.rknn", other);
    expect(await failureOf(onnx, path)).toEqual([
      1,
      expect.stringContaining(
        `failed: ${path} is for rk3576, need rk3588: convert it again, or --target rk3576`,
      ),
    ]);
    expect((await failureOf(onnx, path, "--target", "rk3576"))[0]).toBe(0);
  });

  test("refuses a broken record with the way out", async () => {
    const path = write("recorded.rknn", readFileSync(rknn));
    write("recorded.rknn.json", "{}");
    const [status, stderr] = await failureOf(onnx, path);
    expect(status).toBe(4);
    expect(stderr).toMatch(/recorded\.rknn\.json": .*; delete it or convert again/);
  });
});

test("parity says of a file that was accepted by its walk how to ask for the same", async () => {
  const path = join(directory, "walked.rknn");
  copyFileSync(fixture("small.w8a8.rknn"), path);
  const digestOf = (file: string): string => sha256(readFileSync(file));
  const figures = { samples: 8, mae: 0.02, max: 0.1, cosine: 1, perOutput: [] };
  const record: ConversionRecord = {
    lite3rl: "0.1.0",
    created: "2026-11-25T10:00:00.000Z",
    model: { file: onnx, sha256: digestOf(onnx), metadata: {} },
    rknn: { sha256: digestOf(path), bytes: readFileSync(path).length },
    target: "rk3588",
    precision: "w8a8",
    algorithm: "normal",
    method: "channel",
    float16Layers: [],
    toolkitLayers: [],
    toolkit: {},
    calibration: null,
    seed: 0,
    parity: { evidence: "toolkit-simulator", label: "x", ...figures, gate: 0.1, pass: true },
    closedLoop: {
      verdict: "walks as well",
      evidence: "emulation",
      episodes: 80,
      seed: 0,
      level: 0.95,
      figures: [],
    },
    weights: { holds: true, layers: [], unproven: [] },
    problems: [],
    forced: false,
    stages: {},
    seconds: 1,
    recipe: [],
  };
  writeFileSync(recordPath(path), encodeRecord(record));
  const words = ["parity", onnx, path, "--dataset", observations];
  const warning =
    `warning: ${path}: convert accepted it by its walk (walks as well, 80 episodes) at MAE 0.1; ` +
    "--closed-loop --mae 0.1 asks for the same\n";
  const { status, stderr } = await run(words);
  expect([status, stderr]).toEqual([1, expect.stringContaining(warning)]);
  expect((await run([...words, "--mae", "0.1"])).stderr).not.toContain("convert accepted it");
});

describe("parity of emulated:w8a8", () => {
  const calibration = fixture("small.calibration.npy");

  test("is the int8 file that was calibrated on the same observations", async () => {
    const file = fixture("small.w8a8.rknn");
    const sides = { a: "emulated:w8a8", b: file, model: onnx, calibration };
    const { comparison } = await compareSides({ ...basis, ...sides, dataset: observations });
    expect(comparison.max).toBeLessThanOrEqual(1e-6);
  });

  test("needs its calibration set, which is for nothing else", async () => {
    expect(await run(["parity", onnx, "emulated:w8a8"])).toEqual(
      failed(
        2,
        'Cannot run backend "emulated:w8a8": int8 needs ranges, ' +
          "name observations for them with --calibration calib_obs.npy",
      ),
    );
    const flags = ["--calibration", calibration];
    expect(await run(["parity", onnx, "emulated", ...flags])).toEqual(
      failed(2, "--calibration is for the backend emulated:w8a8, none is compared"),
    );
  });
});
