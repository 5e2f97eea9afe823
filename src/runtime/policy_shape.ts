/**
 * Is this ONNX model a policy? One float32 observation of shape [batch, N] in, one float32 action
 * of shape [batch, A] out, no more.
 */

import { FormatError, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { OnnxModel, OnnxValueInfo } from "../formats/onnx.ts";
import { type TensorSpec, tensorSpec } from "./backend.ts";

/** TensorProto.DataType.FLOAT in onnx.proto. */
const FLOAT = 1;

export interface PolicyShape {
  readonly input: TensorSpec;
  readonly output: TensorSpec;
  readonly observationSize: number;
  readonly actionSize: number;
  /** May the first dimension be anything? Otherwise it is 1. */
  readonly dynamicBatch: boolean;
}

/** Throws FormatError (UNSUPPORTED) saying which inputs and outputs the model has instead. */
export function policyShape(model: OnnxModel): PolicyShape {
  const constants = new Set(model.graph.initializer?.map(({ name }) => name));
  const inputs = (model.graph.input ?? []).filter(({ name }) => !constants.has(name ?? ""));
  const outputs = model.graph.output ?? [];
  const [input] = inputs;
  const [output] = outputs;
  const sides = [...inputs, ...outputs].map(readVector);
  const [first, second] = sides;
  if (inputs.length !== 1 || outputs.length !== 1 || !input || !output || !first || !second) {
    const list = (values: readonly OnnxValueInfo[]) => values.map(describe).join(", ") || "nothing";
    throw new FormatError(
      `it takes ${list(inputs)} and gives ${list(outputs)}, ` +
        "need a policy: one float observation [1, N] in, one float action [1, A] out",
      "UNSUPPORTED",
    );
  }
  return {
    input: tensorSpec(input.name ?? "", first),
    output: tensorSpec(output.name ?? "", second),
    observationSize: first[1],
    actionSize: second[1],
    dynamicBatch: first[0] === null,
  };
}

function readVector(value: OnnxValueInfo): [number | null, number] | undefined {
  const tensor = value.type?.tensorType;
  const [batch, width, ...more] = tensor?.shape?.dim ?? [];
  if (tensor?.elemType !== FLOAT || batch === undefined || more.length > 0) return undefined;
  const rows = batch.dimValue === undefined ? null : Number(batch.dimValue);
  const size = Number(width?.dimValue ?? 0);
  if ((rows !== null && rows !== 1) || size < 1 || size > LIMITS.vectorWidth) return undefined;
  return [rows, size];
}

function describe(value: OnnxValueInfo): string {
  const dims = value.type?.tensorType?.shape?.dim ?? [];
  const shape = dims.map(({ dimValue, dimParam }) => dimValue ?? dimParam ?? "?").join(", ");
  const isFloat = value.type?.tensorType?.elemType === FLOAT;
  return `${quote(value.name ?? "")} [${shape}]${isFloat ? "" : " (not float32)"}`;
}
