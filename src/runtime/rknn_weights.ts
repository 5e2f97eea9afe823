/**
 * Proof that a .rknn holds the weights of an ONNX model: every weight and bias of the file beside
 * what the model's becomes in the file's numbers. float16 must be equal; an int8 weight must be
 * the nearest step of its output's scale, an int32 bias of both scales.
 */

import { present } from "../base/assert.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import { biasOffset } from "../formats/rknn_weights.ts";
import { isFitted, isOwnStep, isOwnWeight, plainBias, readInt8Rows } from "./int8_scales.ts";
import { npuForm, type NpuLayer } from "./npu_form.ts";
import {
  findConstant,
  type ModelConstant,
  modelConstants,
  type RknnConstant,
} from "./rknn_constants.ts";
import { matchLayers, type RknnLayer, readRknnLayers } from "./rknn_layers.ts";

export interface ParameterProof {
  readonly layer: string;
  readonly parameter: "weight" | "bias";
  readonly dtype: "float16" | "float32" | "int8" | "int16" | "int32";
  /** Where it begins in the file; null if the file has no such layer. */
  readonly offset: number | null;
  readonly elements: number;
  /** How many are not the model's. */
  readonly differing: number;
  /** The first of them: what the file has there, and what the model. */
  readonly first?: {
    readonly index: readonly number[];
    readonly offset: number;
    readonly file: number;
    readonly model: number;
  };
  /** Largest |file − model|; for int8 up to half a step is no difference. */
  readonly maxError: number;
}

export interface WeightProof {
  readonly holds: boolean;
  readonly layers: readonly ParameterProof[];
}

/** Throws FormatError for a file that cannot be read. */
export function proveWeights(rknn: Uint8Array, model: OnnxModel): WeightProof {
  const { model: form, layers } = npuForm(model);
  const file = readRknnLayers(rknn);
  const matched = matchLayers(file.layers, layers);
  const proofs = [
    ...layers.flatMap((layer) => proveLayer(layer, matched.get(layer))),
    ...modelConstants(form, layers).map((one) => proveConstant(one, findConstant(file.graph, one))),
  ];
  const holds = layers.length > 0 && proofs.every(({ differing }) => differing === 0);
  return { holds, layers: proofs };
}

function proveConstant(model: ModelConstant, file: RknnConstant | undefined): ParameterProof {
  const { node, parameter, values } = model;
  if (file === undefined) return absent(node, parameter, values.length);
  const { dtype, scale, offset, itemBytes } = file;
  // Integers are cut off, not rounded: up to a whole step. Floats have no step.
  const comparison: Comparison = (i) => {
    const one = present(values[i]);
    const expected = dtype === "float16" ? Math.f16round(one) : one;
    const found = present(file.values[i]);
    return { file: found, model: expected, isSame: Math.abs(found - expected) <= scale * 1.001 };
  };
  const { first, ...counts } = compare(values.length, comparison);
  const found = { layer: node, parameter, dtype, offset, ...counts };
  if (first < 0) return found;
  const { file: there, model: here } = comparison(first);
  const at = { index: [first], offset: offset + first * itemBytes, file: there, model: here };
  return { ...found, first: at };
}

/** A parameter that the file has no place for. */
function absent(layer: string, parameter: "weight" | "bias", elements: number): ParameterProof {
  const dtype = parameter === "weight" ? "float16" : "float32";
  return {
    layer,
    parameter,
    dtype,
    offset: null,
    elements,
    differing: elements,
    maxError: Infinity,
  };
}

function proveLayer(layer: NpuLayer, file: RknnLayer | undefined): ParameterProof[] {
  const { name, weight, bias } = layer;
  if (file === undefined) {
    return [absent(name, "weight", weight.length), absent(name, "bias", bias.length)];
  }
  return file.matrix.dtype === "float16" ? proveFloat16(layer, file) : proveInt8(layer, file);
}

/** Collects the differences of one parameter. */
function compare(
  elements: number,
  one: (index: number) => { file: number; model: number; isSame: boolean },
) {
  let [differing, maxError, first] = [0, 0, -1];
  for (let i = 0; i < elements; i++) {
    const { file, model, isSame } = one(i);
    const error = Math.abs(file - model);
    if (!(error <= maxError)) maxError = error;
    if (isSame) continue;
    differing++;
    if (first < 0) first = i;
  }
  return { elements, differing, maxError, first };
}

function proveFloat16(layer: NpuLayer, { matrix, bias }: RknnLayer): ParameterProof[] {
  const exactly = (file: ArrayLike<number>, model: (index: number) => number) => (i: number) => {
    const [a, b] = [present(file[i]), model(i)];
    return { file: a, model: b, isSame: a === b };
  };
  const weight = exactly(matrix.values, (i) => Math.f16round(present(layer.weight[i])));
  return bothProofs(
    layer,
    { matrix, bias },
    weight,
    exactly(bias.values, (i) => present(layer.bias[i])),
  );
}

type Comparison = (index: number) => { file: number; model: number; isSame: boolean };

function proveInt8(layer: NpuLayer, file: RknnLayer): ParameterProof[] {
  const { matrix, bias, operator } = file;
  const { inputs } = layer;
  const rows = readInt8Rows(layer, matrix, bias);
  const weight: Comparison = (i) => {
    const [index, column] = [Math.floor(i / inputs), i % inputs];
    const row = present(rows[index]);
    const model = present(layer.weight[i]);
    const value = present(row.steps[column]) * row.scale;
    return { file: value, model, isSame: isOwnWeight(model, column, row) };
  };
  const input = operator.inputs[0]?.quantization ?? { scale: 1, zeroPoint: 0 };
  const sums = rows.map(({ steps }, row) =>
    plainBias(present(bias.values[row]), input.zeroPoint, steps),
  );
  const biases: Comparison = (index) => {
    const { scale, uncertainty } = present(rows[index]);
    const [sum, model] = [present(sums[index]), present(layer.bias[index])];
    const step = { scale: input.scale * scale, uncertainty };
    // `mmse` rounds the bias by a scale that the weights do not tell to the last digit.
    const reach = rows.some(isFitted) ? 1 : 0.5;
    return { file: sum * step.scale, model, isSame: isOwnStep(model, sum, step, reach) };
  };
  return bothProofs(layer, file, weight, biases);
}

function bothProofs(
  layer: NpuLayer,
  { matrix, bias }: Pick<RknnLayer, "matrix" | "bias">,
  weight: Comparison,
  biases: Comparison,
): ParameterProof[] {
  const { name, inputs, outputs } = layer;
  const prove = (
    parameter: "weight" | "bias",
    { first, ...counts }: ReturnType<typeof compare>,
    values: Comparison,
    index: readonly number[],
    offset: () => number,
  ): ParameterProof => {
    const source = parameter === "weight" ? matrix : bias;
    const found = { layer: name, parameter, dtype: source.dtype, offset: source.offset, ...counts };
    if (first < 0) return found;
    const { file, model } = values(first);
    return { ...found, first: { index, offset: offset(), file, model } };
  };
  const weights = compare(inputs * outputs, weight);
  const sums = compare(outputs, biases);
  const [row, column] = [Math.floor(weights.first / inputs), weights.first % inputs];
  return [
    prove("weight", weights, weight, [row, column], () => matrix.offsetOf(row, column)),
    prove("bias", sums, biases, [sums.first], () => biasOffset(bias, sums.first)),
  ];
}
