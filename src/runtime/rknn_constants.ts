/**
 * Constants of a .rknn beside the layers' weights: what is added to or multiplied with values,
 * as the mean of a normalizer that is folded in, and the scale and bias of a LayerNormalization.
 *
 * float16 and float32 are plain; between int8 values a factor is int16 and a summand int32, with a
 * scale. The toolkit names those of a turned node `<node>_2add_i1` and `<node>_2mul_i1`.
 */

import { DATA_TYPE, type OnnxModel, type OnnxNode, tensorFloats } from "../formats/onnx.ts";
import type { RknnGraph, RknnGraphTensor } from "../formats/rknn_graph.ts";
import { decodeElements } from "../formats/tensor.ts";
import type { NpuLayer } from "./npu_form.ts";

export interface ModelConstant {
  readonly name: string;
  /** The node that takes it, and as what. */
  readonly node: string;
  readonly parameter: "weight" | "bias";
  readonly dims: readonly number[];
  readonly values: Float32Array;
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
    if (isRecurrent(user)) return [];
    const values = tensorFloats(tensor);
    if (values.length < 2) return [];
    const label = user.name ?? user.output?.[0] ?? "";
    return { name, node: label, parameter: parameterOf(user, name), dims, values };
  });
}

/** A cell whose weights the file holds in an order that is not known: no proof covers them. */
export function isRecurrent({ opType = "" }: OnnxNode): boolean {
  return ["GRU", "LSTM", "RNN"].includes(opType);
}

function parameterOf({ opType, input = [] }: OnnxNode, name: string): "weight" | "bias" {
  return opType === "Add" || (opType !== "Mul" && input.indexOf(name) >= 2) ? "bias" : "weight";
}

/** The file's numbers for a constant of the model; nothing if they are not found. */
export function findConstant(
  { tensors }: RknnGraph,
  { name, node, values }: ModelConstant,
): RknnConstant | undefined {
  const names = [name, `${node}_2add_i1`, `${node}_2mul_i1`];
  const tensor = tensors.find((one) => names.includes(one.name) && one.content !== undefined);
  return tensor && decodeConstant(tensor, values.length);
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
