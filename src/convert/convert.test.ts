import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { exportDemoPolicy, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { writeNpy } from "../formats/npy.ts";
import {
  ATTRIBUTE_TYPE,
  decodeOnnx,
  encodeOnnx,
  makeNode,
  makeTensor,
  makeValueInfo,
  type OnnxNode,
} from "../formats/onnx.ts";
import { modelOf, readGoldenActions, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { openModel, readModel } from "../runtime/open.ts";
import type { ConvertOptions } from "./conversion.ts";
import { convert } from "./convert.ts";
import { cureOf } from "./report.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const place = (name: string, bytes?: Uint8Array | string): string => {
  const path = join(directory, name);
  if (bytes !== undefined) writeFileSync(path, bytes);
  return path;
};
const npy = (name: string, rows: number, width: number, data: Float32Array): string =>
  place(name, writeNpy({ dtype: "float32", shape: [rows, width], data: Float32Array.from(data) }));

const golden = await readGoldenActions();
const dataset = npy("obs.npy", golden.rows, 45, golden.observations);
const normalised = npy("normalised.npy", golden.rows, 45, golden.normalised);
let external: string;
let folded: string;

beforeAll(async () => {
  external = await exportDemoPolicy(directory);
  folded = await exportDemoPolicy(directory, "folded.onnx", ["--obs-stats", OBS_STATS]);
});

/** By emulation, so that no toolkit is needed. */
const options = (more: Partial<ConvertOptions>): ConvertOptions => ({
  model: external,
  output: place("policy.rknn"),
  target: "rk3588",
  doQuant: false,
  mae: 1e-3,
  seed: 0,
  timeoutMs: 60_000,
  force: false,
  emulate: true,
  ...more,
});
const judged = { dataset, obsStats: OBS_STATS };

describe("convert() by emulation", () => {
  test("passes the demo policy in fp16 and writes nothing", async () => {
    const before = readdirSync(directory);
    const { problems, parity, published, samples, built } = await convert(options(judged));
    expect({ problems, published, built, samples: parity.samples }).toEqual({
      problems: [],
      published: null,
      built: [],
      samples: 51,
    });
    expect(parity.mae).toBeWithin(1e-6, 1e-3);
    expect([samples.calibrationRows, samples.heldOutRows]).toEqual([205, 51]);
    expect(readdirSync(directory)).toEqual(before);
  });

  test("says by how much w8a8 misses, and that float16 does not", async () => {
    const { problems, fp16, parity } = await convert(options({ ...judged, doQuant: true }));
    expect(problems).toEqual([expect.stringMatching(/^MAE is 0\.0\d+, above 0\.001$/)]);
    expect(parity.mae).toBeWithin(2e-3, 5e-2);
    expect(fp16!.mae).toBeLessThan(1e-3);
  });

  test("finds the cheapest precision that passes, for a wide and for a narrow gate", async () => {
    const precisionFor = async (mae: number) => {
      const { candidate, search } = await convert(options({ ...judged, precision: "auto", mae }));
      expect(search!.trials.map((trial) => trial.candidate.precision)).toEqual([
        "w8a8",
        "hybrid",
        "hybrid",
        "hybrid",
        "fp16",
      ]);
      return candidate.precision;
    };
    expect([await precisionFor(0.1), await precisionFor(1e-3)]).toEqual(["w8a8", "fp16"]);
  });

  test("leaves the most sensitive layers of a hybrid in float16", async () => {
    const { candidate, search } = await convert(options({ ...judged, precision: "hybrid" }));
    const order = search!.sensitivity.map(({ layer }) => layer.output);
    expect(candidate).toEqual({ precision: "hybrid", float16Layers: order.slice(0, 3) });
    const damage = search!.sensitivity.map(({ mae }) => mae);
    expect(damage).toEqual(damage.toSorted((a, b) => b - a));
  });

  test("normalises the same set once, outside or inside of the network", async () => {
    const outside = await convert(options(judged));
    const inside = await convert(options({ model: folded, dataset }));
    expect(inside.parity.mae).toBeWithin(outside.parity.mae / 3, outside.parity.mae * 3);
    expect([outside, inside].map(({ samples }) => samples.set!.normalisedBy)).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}$/),
      null,
    ]);
  });

  test("takes a dynamic batch, and generates observations where there is no set", async () => {
    const model = place("dynamic.onnx", encodeOnnx(modelOf(TINY_NETWORK, { dynamicBatch: true })));
    const { prepared, samples, problems } = await convert(options({ model }));
    expect([prepared.shape.dynamicBatch, samples.heldOutRows, samples.set, problems]).toEqual([
      false,
      1024,
      null,
      [],
    ]);
  });

  test("takes a recurrent policy's rows as one sequence", async () => {
    const model = place("gru.onnx", encodeOnnx(modelOf(seededNetwork("gru", 2))));
    const rows = npy("rows.npy", 256, 3, golden.normalised.subarray(0, 256 * 3));
    const { samples, problems } = await convert(options({ model, dataset: rows }));
    expect(problems).toEqual([]);
    expect([...samples.heldOut]).toEqual([...golden.normalised.subarray(205 * 3, 256 * 3)]);
  });

  test("writes the emulation as ONNX that gives the judged actions", async () => {
    const emitOnnx = place("qdq.onnx");
    const quantised = { ...judged, doQuant: true, emitOnnx };
    const { samples, parity } = await convert(options(quantised));
    const model = decodeOnnx(readFileSync(emitOnnx));
    expect(new Set(model.graph.node?.map(({ opType }) => opType))).toContain("QuantizeLinear");
    using backend = await openModel(await readModel(emitOnnx), "onnx");
    using own = await openModel(await readModel(external), "onnx");
    const actions = [backend, own].map(() => new Float32Array(12 * samples.heldOutRows));
    for (const [i, one] of [backend, own].entries()) {
      await one.infer(samples.heldOut, actions[i]!, one.createState(), samples.heldOutRows);
    }
    const errors = actions[0]!.map((value, i) => Math.abs(value - actions[1]![i]!));
    const mae = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    expect(mae / parity.mae).toBeWithin(0.9, 1.1);
  });
});

describe("convert() refuses", () => {
  const tiny = (node: OnnxNode[], opset = 18, weight = 1): Uint8Array =>
    encodeOnnx({
      irVersion: 8,
      opsetImport: [{ domain: "", version: opset }],
      graph: {
        node,
        initializer: [makeTensor("w", [2], Float32Array.of(1, weight))],
        input: [makeValueInfo("obs", [1, 2])],
        output: [makeValueInfo("action", [1, 2])],
      },
    });
  const scaled = [makeNode("Mul", ["obs", "w"], ["action"])];
  const alpha = { name: "alpha", f: 0.5, type: ATTRIBUTE_TYPE.f };
  const elu = [makeNode("Elu", ["obs"], ["action"], { attributes: { alpha } })];
  const overflow = [makeNode("Mul", ["a", "w"], ["b"]), makeNode("Mul", ["b", "w"], ["action"])];
  const models: readonly [what: string, bytes: Uint8Array, code: string, found: string][] = [
    ["junk", Buffer.from("junk"), "MALFORMED", 'Cannot read model "PATH": '],
    ["an empty file", new Uint8Array(), "MALFORMED", 'Cannot read model "PATH": it is empty'],
    [
      "opset 20",
      tiny(scaled, 20),
      "UNSUPPORTED",
      'Cannot convert "PATH": opset 20: conversion takes at most 19',
    ],
    [
      "an operator of no standard",
      tiny([{ ...makeNode("Foo", ["obs"], ["action"]), domain: "my" }]),
      "UNSUPPORTED",
      'Cannot convert "PATH": action: operator my.Foo is not of the ONNX standard',
    ],
    [
      "Selu",
      tiny([makeNode("Selu", ["obs"], ["action"])]),
      "UNSUPPORTED",
      'Cannot convert "PATH": action: Selu is not an operator of the NPU, train with elu',
    ],
    [
      "Elu with another alpha",
      tiny(elu),
      "UNSUPPORTED",
      'Cannot convert "PATH": action: Elu with alpha 0.5, the NPU computes alpha 1 only',
    ],
    [
      "a weight that is not a number",
      tiny(scaled, 18, NaN),
      "UNSUPPORTED",
      'Cannot convert "PATH": w[1] is NaN, float16 holds at most 65504',
    ],
    [
      "a weight that float16 cannot hold",
      tiny(scaled, 18, 1e6),
      "UNSUPPORTED",
      'Cannot convert "PATH": w[1] is 1000000, float16 holds at most 65504',
    ],
  ];
  for (const [what, bytes, code, found] of models) {
    test(what, async () => {
      const model = place("refused.onnx", bytes);
      const refusal = await refusalOf(() => convert(options({ model })));
      expect({ ...refusal, message: refusal.message.replace(model, "PATH") }).toEqual({
        code: code as "MALFORMED",
        message: expect.stringContaining(found),
      });
    });
  }

  const nan = Float32Array.from(golden.observations);
  nan[45 + 7] = NaN;
  const wide = place(
    "wide.npy",
    writeNpy({ dtype: "float32", shape: [20, 44], data: new Float32Array(880) }),
  );
  const flags: readonly [what: string, Partial<ConvertOptions>, code: string, words: RegExp][] = [
    [
      "a checkpoint",
      { model: "policy.pt" },
      "UNSUPPORTED",
      /it is a checkpoint, turn it into ONNX/,
    ],
    [
      "a missing model",
      { model: "none.onnx" },
      "NOT_FOUND",
      /^Cannot read "none\.onnx": there is no/,
    ],
    [
      "a missing set",
      { dataset: "none.npy" },
      "NOT_FOUND",
      /^Cannot read observations "none\.npy": there is no .*lite3rl collect makes$/,
    ],
    ["a set of another width", { dataset: wide }, "CONFIG", /shape \[20, 44\], need \[rows, 45\]/],
    [
      "a set with NaN",
      { dataset: npy("nan.npy", golden.rows, 45, nan) },
      "MALFORMED",
      /row 1, column 7 is NaN, need finite numbers$/,
    ],
    [
      "an empty set",
      { dataset: npy("empty.npy", 0, 45, new Float32Array(0)) },
      "CONFIG",
      /shape \[0, 45\]/,
    ],
    ["int8 without a set", { doQuant: true }, "CONFIG", /^Cannot convert to w8a8 without observ/],
    [
      "raw rows without their statistics",
      { dataset },
      "CONFIG",
      /need --obs-stats obs_stats\.npz$/,
    ],
    [
      "a set that was normalised before",
      { dataset: normalised, obsStats: OBS_STATS },
      "CONFIG",
      /columns look normalised .* it would be normalised twice/,
    ],
    [
      "mmse without the toolkit",
      { ...judged, doQuant: true, algorithm: "mmse" },
      "UNSUPPORTED",
      /^Cannot judge --algorithm mmse without rknn-toolkit2/,
    ],
    [
      "an emulation of mmse",
      { ...judged, doQuant: true, algorithm: "mmse", emitOnnx: place("mmse.onnx") },
      "UNSUPPORTED",
      /mmse\.onnx": --algorithm mmse is not emulated; take normal or kl_divergence/,
    ],
    [
      "two outputs of one name",
      { emitOnnx: place("policy.rknn") },
      "CONFIG",
      /policy\.rknn": the ONNX goes there too, name another --emit-onnx or --output$/,
    ],
    [
      "an overflow within float16",
      {
        model: place(
          "large.onnx",
          tiny([makeNode("Mul", ["obs", "w"], ["a"]), ...overflow], 18, 6e4),
        ),
        dataset: undefined,
      },
      "CHECK_FAILED",
      /large\.onnx": in fp16, emulated, .* is (?:NaN|-?Infinity) for observation \d+: values inside/,
    ],
    ["its own input as output", { output: dataset, dataset }, "CONFIG", /it is the input/],
  ];
  for (const [what, more, code, words] of flags) {
    test(what, async () => {
      expect(await refusalOf(() => convert(options(more)))).toEqual({
        code: code as "CONFIG",
        message: expect.stringMatching(words),
      });
    });
  }

  test("statistics where the network has its own, and a set normalised for it", async () => {
    const refusals = [
      await refusalOf(() => convert(options({ ...judged, model: folded }))),
      await refusalOf(() => convert(options({ model: folded, dataset: normalised }))),
    ];
    expect(refusals).toEqual([
      { code: "CONFIG", message: expect.stringMatching(/folded in already, it would be applied/) },
      { code: "CONFIG", message: expect.stringMatching(/it would be normalised twice/) },
    ]);
  });
});

test("convert() leaves an ONNX as it is when what it would become does not pass", async () => {
  const emitOnnx = place("kept.onnx", readFileSync(external));
  const { emitted } = await convert(options({ ...judged, doQuant: true, emitOnnx }));
  expect([emitted, readFileSync(emitOnnx).equals(readFileSync(external))]).toEqual([null, true]);
});

test("convert() refuses a version that does not exist before any work", async () => {
  const missing = options({ model: "none.onnx", emulate: false, toolkit: "1.0" });
  expect((await refusalOf(() => convert(missing))).message).toStartWith(
    'Cannot use rknn-toolkit2 "1.0": there is no lock for it',
  );
});

test("convert() warns of a set that too few rows judge by", async () => {
  const few = npy("few.npy", 60, 45, golden.observations.subarray(0, 60 * 45));
  const lines = await linesDuring(() => convert(options({ ...judged, dataset: few })));
  expect(lines).toContain(
    "warning: few.npy: only 12 rows of it will judge: fewer than 32 may pass by chance, and " +
      "hide that columns are in another order",
  );
});

test("convert() names the set, not a wider gate, where the set does not fit", async () => {
  const foreign = golden.observations.map((value) => 40 * value + 300);
  const far = npy("far.npy", golden.rows, 45, foreign);
  const result = await convert(options({ ...judged, dataset: far, mae: 1e-9 }));
  expect(cureOf(result)).toMatch(/^the set does not fit the policy: its columns are far from/);
  const good = await convert(options({ ...judged, mae: 1e-9 }));
  expect(cureOf(good)).toMatch(/^it passes with a wider gate: /);
});

test("convert() warns of what a set lacks", async () => {
  const lines = await linesDuring(() => convert(options({ ...judged, doQuant: true })));
  expect(lines).toContain(
    "warning: obs.npy has 256 rows: fewer than 1000 may miss what the robot sees",
  );
});

describe("lite3rl convert without rknn-toolkit2", () => {
  const env = { XDG_CACHE_HOME: join(directory, "nothing") };
  const missing =
    `Cannot find rknn-toolkit2: none is installed in "${env.XDG_CACHE_HOME}/lite3rl/toolkit", ` +
    "need it for this: lite3rl toolkit install";

  test("prints the verdict by emulation, writes nothing and ends with status 3", async () => {
    const output = place("absent.rknn");
    const args = ["convert", external, "--dataset", dataset, "--obs-stats", OBS_STATS];
    const { status, json, stderr } = await runJson([...args, "--output", output], { env });
    expect({ status, stderr, json }).toMatchObject({
      status: 3,
      stderr: `error: ${missing}\n`,
      json: { pass: true, evidence: "emulation", output: null, conversion: null, missing },
    });
    expect(existsSync(output)).toBe(false);
  });

  test("takes the blueprint's line, and with --emulate ends by the verdict", async () => {
    const line = ["--target", "rk3588", "--do-quant", "--quant-dtype", "asymmetric_affine-u8"];
    const args = ["convert_to_rknn.py", folded, "--dataset", dataset, ...line];
    const { status, stdout, stderr } = await run([...args, "--emulate"], { env });
    expect(status).toBe(1);
    expect(stdout).toContain("precision    w8a8, for rk3588");
    expect(stderr).toMatch(
      /failed: MAE is 0\.0\d+, above 0\.001; float16 passes by emulation \(MAE [\d.e-]+\): lite3rl convert \S+ --dataset \S+ --output \S+folded\.rknn --precision fp16\n$/,
    );
  });
});
