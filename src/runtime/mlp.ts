/**
 * A multi-layer perceptron on the CPU by our own kernel: synchronous, without allocation, the same
 * bits on every machine.
 */

import { FormatError } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { Backend } from "./backend.ts";

/** Why the kernel cannot run this model; undefined where it can. */
export function mlpMisfit(_model: OnnxModel): string | undefined {
  return "the kernel is not built in";
}

/** Opens a model. Throws FormatError (UNSUPPORTED) for a graph that does not fit, saying why. */
export function openMlp(model: OnnxModel): Backend {
  throw new FormatError(
    `the kernel for multi-layer perceptrons does not fit: ${mlpMisfit(model)}, ` +
      "run it with --backend onnx",
    "UNSUPPORTED",
  );
}
