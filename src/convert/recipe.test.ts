import { expect, test } from "bun:test";
import { FP16 } from "./candidate.ts";
import type { ConvertOptions } from "./conversion.ts";
import { commandLine, recipeArguments } from "./recipe.ts";

const options: ConvertOptions = {
  model: "my policy.onnx",
  output: "out.rknn",
  target: "rk3588",
  dataset: "obs.npy",
  doQuant: true,
  mae: 0.001,
  seed: 3,
  timeoutMs: 1000,
  force: true,
  emulate: false,
};
const choice = { precision: "w8a8", algorithm: "kl_divergence", method: "channel" } as const;

test("recipeArguments() says everything that makes the file, and no more", () => {
  const hybrid = { precision: "hybrid", float16Layers: ["a/Gemm", "b"] } as const;
  expect(recipeArguments(options, choice, hybrid, "2.5.0").join("|")).toBe(
    "convert|my policy.onnx|--dataset|obs.npy|--output|out.rknn|--target|rk3588|" +
      "--precision|hybrid|--layers|a/Gemm=fp16,b=fp16|--algorithm|kl_divergence|" +
      "--method|channel|--mae|0.001|--seed|3|--toolkit|2.5.0",
  );
});

test("commandLine() quotes for a shell and leaves out what is the default", () => {
  expect(commandLine(recipeArguments(options, choice, FP16))).toBe(
    "lite3rl convert 'my policy.onnx' --dataset obs.npy --output out.rknn --precision fp16 --seed 3",
  );
});
