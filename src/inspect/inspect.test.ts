import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { FormatError, Lite3Error } from "../base/errors.ts";
import { fuzzDecoder } from "../formats/decoder_fixture.ts";
import {
  ATTRIBUTE_TYPE,
  encodeOnnx,
  makeNode,
  makeTensor,
  makeValueInfo,
  type OnnxModel,
} from "../formats/onnx.ts";
import { call, dict, global, int, list, pickle, text } from "../formats/pickle_fixture.ts";
import { writeTorch } from "../formats/torch_fixture.ts";
import { writeStateDict } from "../formats/torch_writer.ts";
import { writeNpz } from "../formats/npz.ts";
import { writeZip } from "../formats/zip.ts";
import { emptyDouble } from "../runtime/rknn_double_fixture.ts";
import { describeWithShared, SHARED_DATA } from "../../scripts/dev/test_tools.ts";
import { FIXTURES, golden, inspectText } from "./golden_fixture.ts";
import { inspect, inspectionDocument } from "./inspect.ts";
import { renderInspection } from "./render.ts";

const directory = temporaryDirectory();

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

async function documentOf(path: string): Promise<Record<string, unknown>> {
  return inspectionDocument(await inspect(path)) as Record<string, unknown>;
}

const messageOf = async (path: string): Promise<readonly [number, string]> => {
  const error = await inspect(path).catch((thrown: unknown) => thrown);
  if (!(error instanceof Lite3Error)) throw new Error("it was taken", { cause: error });
  return [error.exitStatus, error.message.replaceAll(directory, ".")];
};

const DEMO = ["policy.pt", "policy_rsl_rl.pt", "golden.npz", "obs_stats.npz"];
/** Files of vendors and of the toolkit. */
const SHARED_FILES = [
  "lite3_policy.onnx",
  "rknn/lite3_policy.fp16.rknn",
  "rknn/lite3_policy.w8a8.rknn",
  "rknn/multiple_input_demo.rk3588.rknn",
  "rknn/dual_residual_custom.rk3588.rknn",
  "rknn/multiple_input_demo.onnx",
  "rknn/observations.npy",
  "rknn/calibration.npy",
  "rknn/observations.fp16.simulator.npy",
  "rknn/observations.w8a8.simulator.npy",
];

function testGolden(path: string, label?: string): void {
  test(path.split("/").slice(-2).join("/"), async () => {
    const found = await inspectText(path);
    expect(found).toBe(golden(path, found, label));
  });
}

describe("inspect --json matches its golden document", () => {
  for (const name of DEMO) testGolden(join(FIXTURES, "demo_policy", name));
  const index = readFileSync(join(FIXTURES, "checkpoints", "expect.json"), "utf8");
  for (const { file } of JSON.parse(index) as { file: string }[]) {
    testGolden(join(FIXTURES, "checkpoints", file), file.replaceAll("/", "_"));
  }
});

describeWithShared("rknn")("inspect --json of real files matches its golden document", () => {
  for (const name of SHARED_FILES) testGolden(join(SHARED_DATA, name));
});

/** A Linear policy as rsl_rl saves it; values are all 1. */
function rslRl(sizes: readonly number[]): Uint8Array {
  const layers = sizes.slice(1).flatMap((outputs, i) => {
    const inputs = sizes[i] ?? 0;
    return [
      [`actor.${2 * i}.weight`, { shape: [outputs, inputs], values: ones(outputs * inputs) }],
      [`actor.${2 * i}.bias`, { shape: [outputs], values: ones(outputs) }],
    ] as const;
  });
  return writeStateDict(Object.fromEntries(layers));
}

const ones = (length: number): Float32Array<ArrayBuffer> => new Float32Array(length).fill(1);

describe("a checkpoint", () => {
  test("is told by its content, and the command in the advice is one that works", async () => {
    const path = write("unnamed", rslRl([6, 4, 2]));
    const { kind, layout, policy, activation, advice } = await documentOf(path);
    expect({ kind, layout, policy, activation, advice }).toEqual({
      kind: "checkpoint",
      layout: "actor_critic",
      policy: {
        observationSize: 6,
        actionSize: 2,
        widths: "6-4-2",
        parameters: 38,
        dtypes: { float32: 4 },
        recurrent: null,
        outputActivation: null,
        twoNumbersPerAction: false,
        layers: [
          { kind: "linear", name: "actor.0", inputs: 6, outputs: 4, parameters: 28 },
          { kind: "linear", name: "actor.2", inputs: 4, outputs: 2, parameters: 10 },
        ],
      },
      activation: { name: null, from: null },
      advice: [
        `lite3rl export ${path} --activation elu`,
        "--activation: the file does not say it: put what it was trained with in the place of elu",
      ],
    });
  });

  test("takes the YAML and names the statistics beside it", async () => {
    const run = join(directory, "run");
    mkdirSync(run);
    const path = join(run, "my policy.pt");
    writeFileSync(path, rslRl([6, 4, 2]));
    writeFileSync(join(run, "other.yaml"), "hidden_sizes: [8]\nactivation: relu\n");
    writeFileSync(join(run, "zz.yaml"), "hidden_sizes: [4]\nactivation: tanh\n");
    const numbers = { dtype: "float32", shape: [6], data: ones(6) } as const;
    writeFileSync(join(run, "stats.npz"), writeNpz({ mean: numbers, std: numbers }));
    const { activation, advice } = await documentOf(path);
    expect({ activation, advice }).toEqual({
      activation: { name: "tanh", from: `${run}/zz.yaml` },
      advice: [
        `lite3rl export '${run}/my policy.pt' --config ${run}/zz.yaml`,
        `${run}/stats.npz beside it has statistics of 6 observations: if it was trained on ` +
          `normalised observations, add --obs-stats ${run}/stats.npz`,
      ],
    });
  });

  test("without a policy lists its tensors", async () => {
    const path = write("vae.pt", writeStateDict({ "encoder.w": { shape: [2], values: ones(2) } }));
    const { layout, policy, tensors, export: trial } = await documentOf(path);
    expect({ layout, policy, tensors }).toEqual({
      layout: null,
      policy: null,
      tensors: [{ name: "encoder.w", dtype: "float32", shape: [2] }],
    });
    expect(trial).toMatchObject({ command: null });
  });

  test("with a call in it is listed, and nothing is run", async () => {
    const canary = join(directory, "canary");
    const root = dict({ iter: int(7), x: call(global("os", "system"), text(`touch ${canary}`)) });
    const path = write("hostile.pt", writeTorch(root, {}));
    const { suspicious, warnings, iteration } = await documentOf(path);
    expect({ suspicious, warnings, iteration }).toEqual({
      suspicious: [
        { name: "os.system", offset: 24, opcode: "GLOBAL", isCalled: true, risk: "code" },
      ],
      warnings: ["os.system would be called (GLOBAL at byte 24): it can run code"],
      iteration: { key: "iter", value: 7 },
    });
    expect(existsSync(canary)).toBe(false);
  });
});

describe("a plain pickle", () => {
  test("that would run a command is listed, not run", async () => {
    const canary = join(directory, "pickled");
    const path = write("evil.pkl", pickle(call(global("os", "system"), text(`touch ${canary}`))));
    const document = await documentOf(path);
    expect(document).toMatchObject({
      kind: "pickle",
      globals: ["os.system"],
      suspicious: [{ name: "os.system", isCalled: true, risk: "code" }],
    });
    expect(existsSync(canary)).toBe(false);
  });

  test.each([
    ["of protocol 0", "cos\nsystem\n(S'id'\ntR."],
    ["that breaks after the call", "cos\nsystem\n(S'id'\ntRgarbage"],
    ["with its names escaped", "V\\u006fs\nVsystem\n\x93)R."],
  ])("%s is told as well", async (_name, code) => {
    const document = await documentOf(write("old.pkl", Buffer.from(code, "latin1")));
    expect(document).toMatchObject({
      kind: "pickle",
      suspicious: [{ isCalled: true, risk: "code" }],
    });
  });

  test("of plain data has nothing to fear", async () => {
    const path = write("data.pkl", pickle(dict({ steps: int(3), names: list(text("a")) })));
    const { suspicious, warnings, tree } = await documentOf(path);
    expect({ suspicious, warnings }).toEqual({ suspicious: [], warnings: [] });
    expect(tree).toMatchObject({ root: "dict of 2" });
  });
});

function model(node: OnnxModel["graph"]["node"], dims: readonly (number | string)[]): Uint8Array {
  return encodeOnnx({
    irVersion: 8,
    opsetImport: [{ domain: "", version: 20 }],
    graph: {
      node: node ?? [],
      initializer: [makeTensor("w", [2], Float32Array.of(1, 1e6))],
      input: [makeValueInfo("obs", dims)],
      output: [makeValueInfo("action", [1, 3])],
    },
  });
}

test("an ONNX model says what keeps it off the NPU", async () => {
  const alpha = { name: "alpha", f: 0.5, type: ATTRIBUTE_TYPE.f };
  const nodes = [
    makeNode("Selu", ["obs"], ["a"]),
    makeNode("Elu", ["a"], ["b"], { attributes: { alpha } }),
    makeNode("Elu", ["b"], ["c"]),
    makeNode("Selu", ["c"], ["action"]),
  ];
  const { npu, policy, operators } = await documentOf(write("m", model(nodes, ["batch", 3])));
  expect({ npu, policy, operators }).toEqual({
    npu: {
      problems: [
        "a and 1 more: Selu is not an operator of the NPU, train with elu",
        "b: Elu with alpha 0.5, the NPU computes alpha 1 only",
        "opset 20: conversion takes at most 19",
        "w[1] is 1000000, float16 holds at most 65504",
      ],
    },
    policy: { observationSize: 3, actionSize: 3, dynamicBatch: true, state: [] },
    operators: { Elu: 2, Selu: 2 },
  });
});

test("a directory lists by content what lite3rl knows", async () => {
  const { entries } = await documentOf(join(FIXTURES, "demo_policy"));
  const kinds = (entries as { name: string; kind: string }[]).map(({ name, kind }) => [name, kind]);
  expect(kinds).toEqual([
    ["README.md", "other"],
    ["actor_config.yaml", "yaml"],
    ["golden.npz", "npz"],
    ["obs_stats.npz", "npz"],
    ["policy.pt", "checkpoint"],
    ["policy_rsl_rl.pt", "checkpoint"],
  ]);
});

test.each([
  ["empty", "", 5, "it is empty, need a checkpoint, pickle, .onnx, .rknn, .npy or .npz"],
  [
    "text",
    "hello",
    5,
    'it begins with "hello", need a checkpoint, pickle, .onnx, .rknn, .npy or .npz',
  ],
  [
    "colon",
    ":a = b",
    5,
    'it begins with ":a = b", need a checkpoint, pickle, .onnx, .rknn, .npy or .npz',
  ],
  ["cut.rknn", "RKNN\0\0\0\0", 4, "the header needs 64 bytes, but the file has 8"],
  ["cut.npy", "\x93NUMPY\x01", 4, "the .npy header is cut off"],
  ["cut.pkl", "\x80\x02]", 4, "pickle opcode at byte 3: it needs 1 bytes, but 0 are left"],
])("inspect() refuses %s in one line", async (name, content, status, reason) => {
  const path = write(name, Buffer.from(content, "latin1"));
  expect(await messageOf(path)).toEqual([status, `Cannot inspect "./${name}": ${reason}`]);
});

test("inspect() says of a model of the test double that it is for no NPU", async () => {
  const { kind, advice } = await documentOf(write("double.rknn", emptyDouble(3)));
  expect({ kind, advice: (advice as string[])[0] }).toEqual({
    kind: "rknn",
    advice: "runs in the test double of the NPU library, and on no NPU",
  });
});

test("inspect() refuses a zip of something else", async () => {
  const path = write("doc.zip", writeZip({ "a.txt": Buffer.from("a") }));
  const [status, message] = await messageOf(path);
  expect([status, message.includes("need a checkpoint")]).toEqual([5, true]);
});

test("inspect() gives a document or a one-line error for damaged files", async () => {
  const small = [
    rslRl([3, 2]),
    model([makeNode("Relu", ["obs"], ["action"])], [1, 3]),
    pickle(call(global("os", "system"), text("id"))),
  ];
  for (const bytes of small) {
    await fuzzDecoder(
      bytes,
      async (damaged) => {
        try {
          renderInspection(await inspect(write("damaged", damaged)));
        } catch (error) {
          if (!(error instanceof Lite3Error)) throw error;
          throw new FormatError(error.message);
        }
      },
      { cases: 150 },
    );
  }
});

test("renderInspection() shows facts, layers and the command in a hundred columns", async () => {
  const path = write("p.pt", rslRl([6, 4, 2]));
  const { sha256 } = await inspect(path);
  const shown = Bun.stripANSI(renderInspection(await inspect(path)));
  expect(shown.replaceAll(`${directory}/`, "").replace(`${sha256}`, "…")).toBe(
    [
      "p.pt: torch checkpoint, 1572 bytes",
      "sha256 …",
      "",
      "container   torch zip, 7 entries, pickle protocol 2, little-endian",
      "holds       a state dict of 4 tensors",
      "tensors     4 with 38 numbers (float32 ×4)",
      "layout      actor_critic",
      "policy      6-4-2, 38 parameters, float32 ×4",
      "activation  not in the file",
      "normalizer  none in the file",
      "",
      "layer    kind    inputs  outputs  parameters",
      "actor.0  linear       6        4          28",
      "actor.2  linear       4        2          10",
      "",
      "$ lite3rl export p.pt --activation elu",
      "- --activation: the file does not say it: put what it was trained with in the place of elu",
    ].join("\n"),
  );
});
