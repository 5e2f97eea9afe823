import { expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { ERROR_CODES } from "../base/errors.ts";
import { encodeOnnx, type OnnxModel } from "../formats/onnx.ts";
import { writeNpy } from "../formats/npy.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { TOOLKIT_FAILURES, type ToolkitFailureName } from "./failures.ts";
import type { ToolkitJob } from "./job.ts";
import { processesIn, provoke, type Spoil, tinyJob } from "./toolkit_fixture.ts";

interface Row {
  readonly case: string;
  readonly failure: ToolkitFailureName;
  readonly stage: string;
  /** Part of the message: the toolkit's own words. */
  readonly words: string | RegExp;
  readonly job?: ToolkitJob;
  readonly spoil?: Spoil;
}

const w8a8 = tinyJob("w8a8");
const nothing: Spoil = () => {};

const withModel = (model: Uint8Array): ToolkitJob => ({ ...tinyJob(), model });

/** The tiny network's model with another of its parts. */
function changed(change: (model: OnnxModel) => OnnxModel): ToolkitJob {
  return withModel(encodeOnnx(change(modelOf(TINY_NETWORK))));
}

const npy = (shape: readonly number[], data: Float32Array | Float64Array): Uint8Array =>
  writeNpy(
    data instanceof Float64Array
      ? { dtype: "float64", shape, data: Float64Array.from(data) }
      : { dtype: "float32", shape, data: Float32Array.from(data) },
  );

const write =
  (name: string, bytes: Uint8Array | string): Spoil =>
  (_, directory) =>
    writeFileSync(join(directory, name), bytes);

/** The cases of the toolkit's own failures: what it does with each was seen with version 2.5.0. */
const ROWS: readonly Row[] = [
  {
    case: "a model that is not there",
    failure: "missing-file",
    stage: "load",
    words: /not exists!/,
    spoil: (document) => void (document.model = "gone.onnx"),
  },
  {
    case: "junk for a model",
    failure: "corrupt-onnx",
    stage: "load",
    words: /DecodeError/,
    job: withModel(new TextEncoder().encode("this is no protobuf at all")),
  },
  {
    case: "an empty model",
    failure: "corrupt-onnx",
    stage: "load",
    words: /index out of range/,
    job: withModel(new Uint8Array()),
  },
  {
    case: "a model of another name",
    failure: "bad-extension",
    stage: "load",
    words: /is not '.onnx'/,
    spoil: (document, directory) => {
      renameSync(join(directory, document.model), join(directory, "model.bin"));
      document.model = "model.bin";
    },
  },
  {
    case: "a dynamic batch",
    failure: "dynamic-shape",
    stage: "load",
    words: /The input shape \['\w+', 2\] of 'obs' is not support!/,
    job: withModel(encodeOnnx(modelOf(TINY_NETWORK, { dynamicBatch: true }))),
  },
  {
    case: "opset 20",
    failure: "opset-too-new",
    stage: "load",
    words: "Unsupport onnx opset 20, need <= 19!",
    job: changed((model) => ({ ...model, opsetImport: [{ domain: "", version: 20n }] })),
  },
  {
    case: "an operator that nobody has",
    failure: "unsupported-op",
    stage: "build",
    words: /FooOp/,
    job: changed((model) => {
      for (const node of model.graph.node ?? []) {
        if (node.opType === "Elu") Object.assign(node, { opType: "FooOp" });
      }
      return model;
    }),
  },
  {
    case: "quantisation without a set",
    failure: "dataset-missing",
    stage: "build",
    words: /build returned -1: E build: .*dataset/,
    job: w8a8,
    spoil: (document) => void delete document.dataset,
  },
  {
    case: "a set that is not there",
    failure: "dataset-missing",
    stage: "build",
    words: /build returned -1: E build: Dataset file .*gone\.txt not found!/,
    job: w8a8,
    spoil: (document) => void (document.dataset = "gone.txt"),
  },
  {
    case: "a set that lists a file that is not there",
    failure: "dataset-missing",
    stage: "build",
    words: /gone\.npy/,
    job: w8a8,
    spoil: write("dataset.txt", "gone.npy\n"),
  },
  {
    case: "a sample of another shape",
    failure: "dataset-shape",
    stage: "build",
    words: "The input shape (1, 3) is wrong, expect [1, 2]!",
    job: w8a8,
    spoil: write("s00000.npy", npy([1, 3], new Float32Array(3))),
  },
  {
    case: "an empty set",
    failure: "dataset-empty",
    stage: "build",
    words: /input num: 0/,
    job: w8a8,
    spoil: write("dataset.txt", ""),
  },
  {
    case: "NaN in the set",
    failure: "dataset-nan",
    stage: "build",
    words: /cannot convert float NaN/,
    job: w8a8,
    spoil: write("s00000.npy", npy([1, 2], Float32Array.of(1, Number.NaN))),
  },
  {
    case: "a space in a path of the set",
    failure: "dataset-format",
    stage: "build",
    words: /Unsupport file/,
    job: w8a8,
    spoil: write("dataset.txt", "my set.npy\n"),
  },
  {
    case: "another target",
    failure: "bad-target",
    stage: "config",
    words: /rk9999/,
    spoil: (document) => void (document.target = "rk9999"),
  },
  {
    case: "a dtype of the old toolkit",
    failure: "bad-option",
    stage: "config",
    words: "Invalid quantized_dtype 'asymmetric_affine-u8'",
    spoil: (document) => void (document.config = { quantized_dtype: "asymmetric_affine-u8" }),
  },
  {
    case: "an option that it does not have",
    failure: "bad-option",
    stage: "config",
    words: "'output_optimize_level' is not support!",
    spoil: (document) => void (document.config = { output_optimize_level: 1 }),
  },
  {
    case: "an output that cannot be written",
    failure: "write-failed",
    stage: "export",
    words: /model\.rknn|missing/,
    spoil: (document) => void (document.output = "missing/model.rknn"),
  },
  {
    case: "an export that leaves nothing",
    failure: "wrote-nothing",
    stage: "export",
    words: "nothing is in null",
    spoil: (document) => void (document.output = "/dev/null"),
  },
  {
    case: "float64 into the simulator",
    failure: "sim",
    stage: "simulate",
    words: /Unsupport inputs\[0\]\.dtype/,
    spoil: write("samples.npy", npy([2, 2], Float64Array.of(1, 2, 3, 4))),
  },
  {
    case: "numbers beyond float16 in the simulator",
    failure: "sim-nonfinite",
    stage: "simulate",
    words: /NaN or infinity/,
    spoil: write("samples.npy", npy([1, 2], Float32Array.of(1e30, 1e30))),
  },
  {
    case: "a layer that is not there",
    failure: "unknown-layer",
    stage: "hybrid1",
    words: "actor.9/Gemm; there are: actor.0/Gemm, elu.1/Elu, action",
    job: w8a8,
    spoil: (document) => void (document.float16_layers = ["actor.9/Gemm"]),
  },
  {
    case: "an option that ends the process natively",
    failure: "native-exit",
    stage: "build",
    words: /exit status 1/,
    spoil: (document) => void (document.config = { float_dtype: "tfloat32" }),
  },
];

for (const { case: what, job = tinyJob(), spoil = nothing, failure, stage, words } of ROWS) {
  testWith("toolkit")(`runDriver() says ${failure} of ${what}`, async () => {
    const { message, ...found } = await provoke(job, spoil);
    const { code } = TOOLKIT_FAILURES[failure];
    expect(found).toEqual({
      failure,
      code,
      status: ERROR_CODES[code].status,
      stage,
      output: "an output of before",
    });
    expect(message).toMatch(words);
    expect(message).toMatch(
      new RegExp(`^Cannot convert with rknn-toolkit2 [\\d.]+, stage ${stage}: .*; .*[^.]$`, "s"),
    );
  });
}

/** A sample that is a pipe nobody writes to: whoever reads it waits for ever. */
const hang: Spoil = (_, directory) => {
  rmSync(join(directory, "s00000.npy"));
  Bun.spawnSync(["mkfifo", join(directory, "s00000.npy")]);
};

testWith("toolkit")("runDriver() ends a toolkit that hangs, at the time limit", async () => {
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-test-"));
  const found = await provoke(w8a8, hang, { directory, timeoutMs: 4000 });
  expect([found.failure, found.status, found.stage]).toEqual(["timeout", 7, "build"]);
  expect(found.message).toContain("after 4 s");
  expect(processesIn(directory)).toEqual([]);
});

testWith("toolkit")("runDriver() ends the toolkit when it is told to", async () => {
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-test-"));
  const controller = new AbortController();
  const onStage = (stage: string): void => {
    if (stage === "build") controller.abort();
  };
  const { signal } = controller;
  const found = await provoke(w8a8, hang, { directory, onStage, signal });
  expect([found.failure, found.status, found.stage]).toEqual(["interrupted", 6, "build"]);
  expect(processesIn(directory)).toEqual([]);
});

for (const [signal, failure] of [
  ["SIGKILL", "killed"],
  ["SIGSEGV", "crashed"],
] as const) {
  testWith("toolkit")(`runDriver() says ${failure} of a toolkit that ${signal} ends`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "lite3rl-test-"));
    const onStage = (stage: string): void => {
      if (stage === "build") processesIn(directory).forEach((pid) => process.kill(pid, signal));
    };
    const found = await provoke(w8a8, hang, { directory, onStage });
    expect([found.failure, found.status, found.stage]).toEqual([failure, 6, "build"]);
    expect(found.message).toContain(`(${signal})`);
    expect(found.message.includes("memory ran out")).toBe(signal === "SIGKILL");
  });
}

test("TOOLKIT_FAILURES speaks in the grammar of errors", () => {
  for (const { sentence, cure } of Object.values(TOOLKIT_FAILURES)) {
    expect(sentence).toMatch(/^[a-z].*[^.;]$/);
    expect(cure).toMatch(/^[a-z].*[^.]$/);
  }
});
