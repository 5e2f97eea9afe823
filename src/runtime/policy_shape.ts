/**
 * Is this ONNX model a policy? One float32 observation of shape [batch, N] in, one float32 action
 * of shape [batch, A] out; a recurrent one has its state beside them, `h_in` and `h_out` (and
 * `c_in`, `c_out`) of shape [layers, batch, hidden].
 */

import { FormatError, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { DATA_TYPE, type OnnxModel, type OnnxValueInfo } from "../formats/onnx.ts";
import { type TensorSpec, tensorSpec } from "./backend.ts";

/** One tensor of a recurrent policy's state, for a batch of one. */
export interface StateSpec {
  readonly input: string;
  readonly output: string;
  /** [layers, 1, hidden] */
  readonly shape: readonly [number, number, number];
}

export interface PolicyShape {
  readonly input: TensorSpec;
  readonly output: TensorSpec;
  readonly observationSize: number;
  readonly actionSize: number;
  /** May the first dimension be anything? Otherwise it is 1. */
  readonly dynamicBatch: boolean;
  readonly state: readonly StateSpec[];
}

/** Throws FormatError (UNSUPPORTED) saying which inputs and outputs the model has instead. */
export function policyShape(model: OnnxModel): PolicyShape {
  const constants = new Set(model.graph.initializer?.map(({ name }) => name));
  const inputs = (model.graph.input ?? []).filter(({ name }) => !constants.has(name ?? ""));
  const outputs = model.graph.output ?? [];
  const state = readState(inputs, outputs);
  const isState = ({ name }: OnnxValueInfo): boolean =>
    state.some((spec) => spec.input === name || spec.output === name);
  const [input, ...moreInputs] = inputs.filter((value) => !isState(value));
  const [output, ...moreOutputs] = outputs.filter((value) => !isState(value));
  const [first, second] = [input, output].map((value) => value && readVector(value));
  if (moreInputs.length + moreOutputs.length > 0 || !input || !output || !first || !second) {
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
    state,
  };
}

/** Pairs `x_in` of three dimensions, the batch 1 or dynamic, with `x_out`. */
function readState(
  inputs: readonly OnnxValueInfo[],
  outputs: readonly OnnxValueInfo[],
): StateSpec[] {
  return inputs.flatMap((value) => {
    const output = value.name?.replace(/_in$/, "_out") ?? "";
    const [layers = 0, batch = 0, hidden = 0, ...more] = dimensions(value);
    const isPaired = output !== value.name && outputs.some(({ name }) => name === output);
    const isOne = batch === 1 || Number.isNaN(batch);
    if (!isPaired || !isOne || !(layers > 0) || !(hidden > 0) || more.length > 0) return [];
    return [{ input: value.name ?? "", output, shape: [layers, 1, hidden] as const }];
  });
}

/** Sizes of a float32 tensor's dimensions, NaN where one is dynamic; empty for other tensors. */
function dimensions(value: OnnxValueInfo): number[] {
  const tensor = value.type?.tensorType;
  if (tensor?.elemType !== DATA_TYPE.float32) return [];
  return (tensor.shape?.dim ?? []).map(({ dimValue }) => Number(dimValue ?? NaN));
}

function readVector(value: OnnxValueInfo): [number | null, number] | undefined {
  const [batch, size = 0, ...more] = dimensions(value);
  if (batch === undefined || more.length > 0) return undefined;
  if ((!Number.isNaN(batch) && batch !== 1) || !(size >= 1 && size <= LIMITS.vectorWidth)) {
    return undefined;
  }
  return [Number.isNaN(batch) ? null : batch, size];
}

function describe(value: OnnxValueInfo): string {
  const dims = value.type?.tensorType?.shape?.dim ?? [];
  const shape = dims.map(({ dimValue, dimParam }) => dimValue ?? dimParam ?? "?").join(", ");
  const isFloat = value.type?.tensorType?.elemType === DATA_TYPE.float32;
  return `${quote(value.name ?? "")} [${shape}]${isFloat ? "" : " (not float32)"}`;
}
