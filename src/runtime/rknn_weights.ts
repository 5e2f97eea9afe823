/**
 * Proof that a .rknn holds the weights of an ONNX model: every weight and bias of the file beside
 * what the model's becomes in the file's numbers. float16 must be equal; an int8 weight must be
 * the nearest step of its output's scale, an int32 bias of both scales.
 */

import { present } from "../base/assert.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import { biasOffset } from "../formats/rknn_weights.ts";
import {
  type Int8Row,
  isFitted,
  isOwnStep,
  isOwnWeight,
  plainBias,
  readInt8Rows,
} from "./int8_scales.ts";
import { npuForm, type NpuLayer } from "./npu_form.ts";
import {
  findConstant,
  isRecurrent,
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
  /** All that is compared is the model's; what is not stands in `unproven`. */
  readonly holds: boolean;
  readonly layers: readonly ParameterProof[];
  /** Recurrent cells, whose weights the file holds in an order that is not known. */
  readonly unproven: readonly string[];
}

/** Throws FormatError for a file that cannot be read. */
export function proveWeights(rknn: Uint8Array, model: OnnxModel): WeightProof {
  const { model: form, layers } = npuForm(model);
  const file = readRknnLayers(rknn);
  const matched = matchLayers(file.layers, layers);
  const proofs = [
    ...layers.flatMap((layer) => proveLayer(layer, matched.get(layer))),
    ...modelConstants(form, layers)
      .filter((one) => !one.isRecurrent)
      .map((one) => proveConstant(one, findConstant(file.graph, one))),
  ];
  const holds = layers.length > 0 && proofs.every(({ differing }) => differing === 0);
  return { holds, layers: proofs, unproven: recurrentCells(model) };
}

/** Operators whose weights are not compared. */
export function recurrentCells({ graph }: OnnxModel): string[] {
  return (graph.node ?? []).filter(isRecurrent).map(({ opType = "", name = "" }) => name || opType);
}

function proveConstant(model: ModelConstant, file: RknnConstant | undefined): ParameterProof {
  const { node, parameter, values } = model;
  if (file === undefined) return absent(node, parameter, values.length);
  const { dtype, scale, offset, itemBytes } = file;
  const rounded = dtype === "float16" ? new Float32Array(new Float16Array(values)) : values;
  const isSame = (i: number): boolean =>
    // Integers are cut off, not rounded: up to a whole step. Floats have no step.
    Math.abs(present(file.values[i]) - present(rounded[i])) <= scale * 1.001;
  const comparison = { file: file.values, model: rounded, isSame };
  const offsetOf = (i: number): number => offset + i * itemBytes;
  return describe(node, parameter, file, comparison, (i) => [i], offsetOf);
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

/** One parameter's numbers in the file and in the model, and whether those at an index agree. */
interface Comparison {
  readonly file: Float32Array | Float64Array;
  readonly model: Float32Array;
  readonly isSame: (index: number) => boolean;
}

/** Collects the differences of one parameter. */
function compare({ file, model, isSame }: Comparison) {
  let [differing, maxError, first] = [0, 0, -1];
  for (let i = 0; i < model.length; i++) {
    const error = Math.abs((file[i] as number) - (model[i] as number));
    if (!(error <= maxError)) maxError = error;
    if (isSame(i)) continue;
    differing++;
    if (first < 0) first = i;
  }
  return { elements: model.length, differing, maxError, first };
}

/** Equal numbers; NaN is equal to nothing. */
function exactly(file: Float32Array, model: Float32Array): Comparison {
  return { file, model, isSame: (i) => file[i] === model[i] };
}

function proveFloat16(layer: NpuLayer, file: RknnLayer): ParameterProof[] {
  const rounded = new Float32Array(new Float16Array(layer.weight));
  const weight = exactly(file.matrix.values as Float32Array, rounded);
  return bothProofs(layer, file, weight, exactly(file.bias.values as Float32Array, layer.bias));
}

function proveInt8(layer: NpuLayer, file: RknnLayer): ParameterProof[] {
  const { matrix, bias, operator } = file;
  const { inputs } = layer;
  const rows = readInt8Rows(layer, matrix, bias);
  const weights = new Float64Array(layer.weight.length);
  rows.forEach(({ steps, scale }, row) => {
    for (let i = 0; i < inputs; i++) weights[row * inputs + i] = (steps[i] as number) * scale;
  });
  const isOwn = (i: number): boolean =>
    isOwnWeight(layer.weight[i] as number, i % inputs, rows[Math.floor(i / inputs)] as Int8Row);
  const input = operator.inputs[0]?.quantization ?? { scale: 1, zeroPoint: 0 };
  const sums = rows.map(({ steps }, row) =>
    plainBias(present(bias.values[row]), input.zeroPoint, steps),
  );
  // `mmse` rounds the bias by a scale that the weights do not tell to the last digit.
  const reach = rows.some(isFitted) ? 1 : 0.5;
  const steps = rows.map(({ scale, uncertainty }) => ({ scale: input.scale * scale, uncertainty }));
  return bothProofs(
    layer,
    file,
    { file: weights, model: layer.weight, isSame: isOwn },
    {
      file: Float64Array.from(steps, ({ scale }, row) => present(sums[row]) * scale),
      model: layer.bias,
      isSame: (row) =>
        isOwnStep(present(layer.bias[row]), present(sums[row]), present(steps[row]), reach),
    },
  );
}

function bothProofs(
  layer: NpuLayer,
  { matrix, bias }: RknnLayer,
  weight: Comparison,
  sums: Comparison,
): ParameterProof[] {
  const { name, inputs } = layer;
  const split = (i: number) => [Math.floor(i / inputs), i % inputs] as const;
  return [
    describe(name, "weight", matrix, weight, split, (i) => matrix.offsetOf(...split(i))),
    describe(
      name,
      "bias",
      bias,
      sums,
      (i) => [i],
      (i) => biasOffset(bias, i),
    ),
  ];
}

/** The proof of one parameter, with its first difference. */
function describe(
  layer: string,
  parameter: "weight" | "bias",
  { dtype, offset }: Pick<ParameterProof, "dtype" | "offset">,
  comparison: Comparison,
  indexOf: (at: number) => readonly number[],
  offsetOf: (at: number) => number,
): ParameterProof {
  const { first, ...counts } = compare(comparison);
  const found = { layer, parameter, dtype, offset, ...counts };
  if (first < 0) return found;
  const [file, model] = [present(comparison.file[first]), present(comparison.model[first])];
  return { ...found, first: { index: indexOf(first), offset: offsetOf(first), file, model } };
}
