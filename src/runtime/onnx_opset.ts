/**
 * A model in a newer opset, where that changes nothing.
 */

import { FormatError } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";

/** QuantizeLinear and DequantizeLinear take a scale per channel from here on. */
export const OPSET_WITH_CHANNELS = 13;

/** Operators whose attributes became inputs, or whose meaning changed, between 7 and 13. */
const CHANGED: ReadonlySet<string> = new Set(
  "Squeeze Unsqueeze Split ReduceSum Softmax LogSoftmax Hardmax Clip Slice Pad TopK Upsample".split(
    " ",
  ),
);

/** Raises the opset to `version` if it is older. Throws FormatError where operators changed. */
export function raiseOpset(model: OnnxModel, version: number): OnnxModel {
  const isStandard = ({ domain = "" }: { domain?: string }) =>
    domain === "" || domain === "ai.onnx";
  const opset = Number(model.opsetImport?.find(isStandard)?.version ?? 1);
  if (opset >= version) return model;
  const changed = model.graph.node?.find(({ opType = "" }) => CHANGED.has(opType))?.opType;
  if (opset < 7 || changed !== undefined) {
    throw new FormatError(
      `its opset is ${opset}${changed === undefined ? "" : ` and it has a ${changed}`}, ` +
        `emulating int8 needs ${version}: export it again`,
      "UNSUPPORTED",
    );
  }
  const opsetImport = (model.opsetImport ?? []).map((one) =>
    isStandard(one) ? { ...one, version } : one,
  );
  return { ...model, opsetImport };
}
