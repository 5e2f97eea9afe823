/**
 * Every way a conversion ends without a file, in one table: what happened, its exit status, and
 * what to do. The words of the left column come from driver.py, or from run_job.ts where the
 * driver could not say anything any more.
 */

import { type ErrorCode, Lite3Error } from "../base/errors.ts";

interface FailureMeaning {
  readonly code: ErrorCode;
  readonly sentence: string;
  readonly cure: string;
}

export const TOOLKIT_FAILURES = {
  "opset-too-new": {
    code: "UNSUPPORTED",
    sentence: "the model's opset is newer than the toolkit takes",
    cure: "need opset 19 or older: lite3rl export --opset 17",
  },
  "dynamic-shape": {
    code: "UNSUPPORTED",
    sentence: "the model has a dynamic dimension",
    cure: "need fixed ones: lite3rl export without --dynamic-batch",
  },
  "missing-file": {
    code: "NOT_FOUND",
    sentence: "the toolkit misses a file",
    cure: "need the model where the job says it is",
  },
  "corrupt-onnx": {
    code: "MALFORMED",
    sentence: "the toolkit cannot read the model",
    cure: "need a sound ONNX file: lite3rl inspect says what it is",
  },
  "bad-extension": {
    code: "USAGE",
    sentence: "the model's name does not end in .onnx",
    cure: "need an ONNX file with that ending",
  },
  "unsupported-op": {
    code: "UNSUPPORTED",
    sentence: "the model has an operator that the toolkit does not know",
    cure: "need standard operators: lite3rl inspect lists what keeps a model off the NPU",
  },
  "bad-target": {
    code: "CONFIG",
    sentence: "the toolkit does not know that target, or not with these options",
    cure: "need a platform such as --target rk3588",
  },
  "bad-option": {
    code: "CONFIG",
    sentence: "the toolkit does not take one of the options",
    cure: "need precision, algorithm and method that this version of it has: see --help",
  },
  "dataset-shape": {
    code: "CONFIG",
    sentence: "a calibration sample has not the shape of the model's input",
    cure: "need a set of this policy's observations: --dataset",
  },
  "dataset-empty": {
    code: "MALFORMED",
    sentence: "the calibration set is empty",
    cure: "need at least one observation: lite3rl collect records them",
  },
  "dataset-nan": {
    code: "MALFORMED",
    sentence: "the calibration set has NaN in it",
    cure: "need finite observations: lite3rl inspect names the column",
  },
  "dataset-format": {
    code: "MALFORMED",
    sentence: "the toolkit cannot read a file of the calibration set",
    cure: "need .npy files whose path has no space",
  },
  "dataset-missing": {
    code: "NOT_FOUND",
    sentence: "a file of the calibration set is not there",
    cure: "need every file that the set lists",
  },
  "unknown-layer": {
    code: "CONFIG",
    sentence: "the model has no such layer",
    cure: "need one of those in --layers",
  },
  "toolkit-env": {
    code: "NATIVE",
    sentence: "the toolkit's Python environment is not whole",
    cure: "make it again: lite3rl toolkit remove, then lite3rl toolkit install",
  },
  "write-failed": {
    code: "NATIVE",
    sentence: "the toolkit cannot write what it built",
    cure: "need room and permission in the directory for temporary files: TMPDIR",
  },
  "wrote-nothing": {
    code: "NATIVE",
    sentence: "the toolkit said that it wrote the file, and did not",
    cure: "its log may have the reason",
  },
  rc: {
    code: "NATIVE",
    sentence: "a call of the toolkit failed without saying why",
    cure: "its log has the reason",
  },
  sim: {
    code: "NATIVE",
    sentence: "the toolkit's simulator gave no answer",
    cure: "its log has the reason",
  },
  "sim-nonfinite": {
    code: "CHECK_FAILED",
    sentence: "the toolkit's simulator computes NaN or infinity",
    cure: "float16 ends at 65504: need weights and observations of ordinary size",
  },
  exit: {
    code: "NATIVE",
    sentence: "the toolkit ended its own process",
    cure: "its log has the reason",
  },
  "native-exit": {
    code: "NATIVE",
    sentence: "the toolkit ended without a word",
    cure: "an option that it does not check, or a bug of its own; its log may have the reason",
  },
  killed: {
    code: "NATIVE",
    sentence: "the toolkit's process was killed",
    cure: "most often memory ran out: try again with more of it free",
  },
  crashed: {
    code: "NATIVE",
    sentence: "the toolkit's process crashed",
    cure: "a bug of the toolkit; its log may have the reason, another version may do: --toolkit",
  },
  timeout: {
    code: "DEADLINE",
    sentence: "the toolkit took too long and was ended",
    cure: "allow it more time with --timeout",
  },
  interrupted: {
    code: "NATIVE",
    sentence: "interrupted",
    cure: "nothing was written",
  },
  "toolkit-error": {
    code: "NATIVE",
    sentence: "the toolkit failed",
    cure: "its log has the reason",
  },
} as const satisfies Record<string, FailureMeaning>;

export type ToolkitFailureName = keyof typeof TOOLKIT_FAILURES;

/** A job of the toolkit that failed; `log` is everything that the toolkit printed. */
export class ToolkitFailure extends Lite3Error {
  override readonly name = "ToolkitFailure";
  readonly failure: ToolkitFailureName;
  /** What the toolkit was doing: import, config, load, build … */
  readonly stage: string;
  readonly log: string;

  constructor(
    failure: ToolkitFailureName,
    found: { readonly version: string; stage: string; words: string; log: string },
  ) {
    const { code, sentence, cure } = TOOLKIT_FAILURES[failure];
    const words = found.words === "" ? "" : ` (${found.words})`;
    const where = `rknn-toolkit2 ${found.version}, stage ${found.stage}`;
    super(code, `Cannot convert with ${where}: ${sentence}${words}; ${cure}`);
    this.failure = failure;
    this.stage = found.stage;
    this.log = found.log;
  }
}
