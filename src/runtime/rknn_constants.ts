/**
 * Constants of a .rknn beside the layers' weights: what is added to or multiplied with values,
 * as the mean of a normalizer that is folded in, and the scale and bias of a LayerNormalization.
 *
 * float16 and float32 are plain; between int8 values a factor is int16 and a summand int32, with a
 * scale. The toolkit names those of a turned node `<node>_2add_i1` and `<node>_2mul_i1`; a product
 * with the sum behind it becomes `<product>_2bn`, whose inputs 1 and 2 they are.
 */

import { present } from "../base/assert.ts";
import { DATA_TYPE, type OnnxModel, type OnnxNode, tensorFloats } from "../formats/onnx.ts";
import type { RknnGraph, RknnGraphTensor, RknnOperator } from "../formats/rknn_graph.ts";
import { decodeElements } from "../formats/tensor.ts";
import type { NpuLayer } from "./npu_form.ts";

export interface ModelConstant {
  readonly name: string;
  /** The node that takes it, and as what. */
  readonly node: string;
  readonly parameter: "weight" | "bias";
  readonly dims: readonly number[];
  readonly values: Float32Array;
  /** Of an LSTM or GRU. */
  readonly isRecurrent: boolean;
  /** The node whose value a summand is added to. */
  readonly before: string | undefined;
}

export interface RknnConstant {
  readonly dtype: "float16" | "float32" | "int16" | "int32";
  readonly offset: number;
  readonly itemBytes: number;
  readonly values: Float32Array;
  /** Of a step, where it is in integers; 0 for floats. */
  readonly scale: number;
}

/** Float constants of several numbers that no layer holds. */
export function modelConstants(model: OnnxModel, layers: readonly NpuLayer[]): ModelConstant[] {
  const { node = [], initializer = [] } = model.graph;
  const inLayers = new Set(layers.flatMap(({ weightName, biasName }) => [weightName, biasName]));
  return initializer.flatMap((tensor) => {
    const { name = "", dataType } = tensor;
    const dims = (tensor.dims ?? []).map(Number);
    const user = node.find(({ input = [] }) => input.includes(name));
    if (dataType !== DATA_TYPE.float32 || inLayers.has(name) || user === undefined) return [];
    const values = tensorFloats(tensor);
    if (values.length < 2) return [];
    const label = labelOf(user);
    const producer = node.find(({ output = [] }) => user.input?.includes(output[0] ?? ""));
    const before = producer && labelOf(producer);
    const parameter = parameterOf(user, name);
    const shared = { name, node: label, parameter, dims, values, before };
    return { ...shared, isRecurrent: isRecurrent(user) };
  });
}

const labelOf = ({ name, output }: OnnxNode): string => name ?? output?.[0] ?? "";

/** A cell whose weights the file holds in an order that is not known: no proof covers them. */
export function isRecurrent({ opType = "" }: OnnxNode): boolean {
  return ["GRU", "LSTM", "RNN"].includes(opType);
}

function parameterOf({ opType, input = [] }: OnnxNode, name: string): "weight" | "bias" {
  return opType === "Add" || (opType !== "Mul" && input.indexOf(name) >= 2) ? "bias" : "weight";
}

/** The file's numbers for a constant of the model; nothing if they are not found. */
export function findConstant(
  { tensors, operators }: RknnGraph,
  { name, node, values, isRecurrent, before }: ModelConstant,
): RknnConstant | undefined {
  const summed = operators.find(({ inputs }) => inputs[2]?.name === `${before}_2bn_i2`);
  if (summed !== undefined) return decodeSummand(summed, values.length);
  const names = [name, `${node}_2add_i1`, `${node}_2mul_i1`, `${node}_2bn_i1`];
  const tensor = tensors.find((one) => names.includes(one.name) && one.content !== undefined);
  // A recurrent cell's weights are there under their name, but padded and summed gate by gate.
  if (tensor === undefined || isRecurrent) return undefined;
  return decodeConstant(tensor, values.length);
}

/**
 * What `BatchNormalization(x, factor, summand, …)` adds. In int8 it is in steps of x times factor,
 * and has taken the zero point of x in: summand − zeroPoint · factor.
 */
function decodeSummand({ inputs }: RknnOperator, count: number): RknnConstant | undefined {
  const [x, factor, summand] = inputs;
  const found = summand && decodeConstant(summand, count);
  if (found?.dtype !== "int32" || factor === undefined) return found;
  const { scale = 1, zeroPoint = 0 } = x?.quantization ?? {};
  const factors = decodeConstant({ ...factor, quantization: { scale: 1, zeroPoint: 0 } }, count);
  const step = scale * (factor.quantization?.scale ?? 1);
  if (factors === undefined) return undefined;
  const values = found.values.map(
    (sum, i) => (sum + zeroPoint * present(factors.values[i])) * step,
  );
  return { ...found, scale: step, values };
}

function decodeConstant(tensor: RknnGraphTensor, count: number): RknnConstant | undefined {
  const { dtype, content, quantization } = tensor;
  const itemBytes = { float16: 2, int16: 2, float32: 4, int32: 4 }[dtype as "float16"];
  if (content === undefined || itemBytes === undefined) return undefined;
  if (content.data.length < count * itemBytes) return undefined;
  const kind = dtype as RknnConstant["dtype"];
  const isInteger = kind === "int16" || kind === "int32";
  const { scale = 1, zeroPoint = 0 } = isInteger ? (quantization ?? {}) : {};
  const elements = decodeElements(kind, content.data.subarray(0, count * itemBytes));
  return {
    dtype: kind,
    offset: content.offset,
    itemBytes,
    scale: isInteger ? scale : 0,
    values: Float32Array.from(elements as Float32Array, (one) => (one - zeroPoint) * scale),
  };
}
