/**
 * The model before the toolkit sees it: a policy, one observation at a time, of operators and
 * weights that survive the conversion. The toolkit itself converts NaN and weights that float16
 * cannot hold without a word.
 */

import { describeSource, FormatError } from "../base/errors.ts";
import { encodeOnnx, type OnnxModel } from "../formats/onnx.ts";
import { fixBatch } from "../policy/fixed_batch.ts";
import { npuPlacement, npuProblems, type OperatorPlacement } from "../policy/npu_operators.ts";
import { type ModelFile, readModel } from "../runtime/open.ts";
import { type PolicyShape, policyShape } from "../runtime/policy_shape.ts";

export interface PreparedModel {
  readonly file: ModelFile;
  /** With batch 1. */
  readonly model: OnnxModel;
  /** Of that model. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly shape: PolicyShape;
  readonly placement: readonly OperatorPlacement[];
}

/** Reads and checks an ONNX file; says everything that keeps it off the NPU in one error. */
export async function prepareModel(path: string): Promise<PreparedModel> {
  const file = await readModel(path);
  return describeSource("Cannot convert", path, () => {
    const model = fixBatch(file.model);
    const shape = policyShape(model);
    const problems = npuProblems(model);
    if (problems.length > 0) throw new FormatError(problems.join("; "), "UNSUPPORTED");
    return { file, model, bytes: encodeOnnx(model), shape, placement: npuPlacement(model) };
  });
}

/** A sentence for operators that the NPU leaves to the CPU, or that nobody tried. */
export function placementWarnings(placement: readonly OperatorPlacement[]): string[] {
  const names = (where: OperatorPlacement["runsOn"]): string =>
    placement
      .filter(({ runsOn }) => runsOn === where)
      .map(({ operator, count }) => (count === 1 ? operator : `${operator} ×${count}`))
      .join(", ");
  const [cpu, unknown] = [names("cpu"), names("unknown")];
  return [
    ...(cpu === "" ? [] : [`${cpu}: left to the CPU, each a way there and back`]),
    ...(unknown === "" ? [] : [`${unknown}: not known whether the NPU has it`]),
  ];
}
