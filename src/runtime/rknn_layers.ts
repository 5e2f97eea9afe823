/**
 * The layers of a .rknn beside those of the ONNX model that it is said to come from.
 *
 * The toolkit keeps the initializers' names; where it made a new one, the layer of the same shape
 * whose numbers are nearest is taken, so that a file with other weights finds its place too.
 */

import {
  parseRknnGraph,
  type RknnGraph,
  type RknnGraphTensor,
  type RknnOperator,
} from "../formats/rknn_graph.ts";
import {
  decodeBias,
  decodeMatrix,
  type RknnBias,
  type RknnMatrix,
} from "../formats/rknn_weights.ts";
import { present } from "../base/assert.ts";
import type { NpuLayer } from "./npu_form.ts";
import { joinTiles } from "./rknn_tiles.ts";

export interface RknnLayer {
  readonly operator: RknnOperator;
  /** Of the weight's tensor. */
  readonly name: string;
  readonly matrix: RknnMatrix;
  readonly bias: RknnBias;
}

export interface RknnLayers {
  readonly graph: RknnGraph;
  readonly layers: readonly RknnLayer[];
}

/** Reads every product of weights: operators `Conv` and `ConvElu`, `ConvRelu` … */
export function readRknnLayers(bytes: Uint8Array): RknnLayers {
  const { graph, tiled } = joinTiles(parseRknnGraph(bytes));
  const joined = new Map(tiled.map(({ operator, matrix }) => [operator, matrix]));
  const layers = graph.operators.flatMap((operator) => {
    const [, weight, bias] = operator.inputs;
    if (!operator.type.startsWith("Conv") || weight === undefined) return [];
    const matrix = joined.get(operator) ?? decodeMatrix(weight);
    return { operator, name: weight.name, matrix, bias: readBias(bias, matrix) };
  });
  return { graph, layers };
}

/** A product in float16 without a bias has none in the file. */
function readBias(tensor: RknnGraphTensor | undefined, matrix: RknnMatrix): RknnBias {
  if (tensor !== undefined) return decodeBias(tensor, matrix.outputs);
  return { dtype: "float32", values: new Float32Array(matrix.outputs), offset: matrix.offset };
}

/** Each of the model's layers with its place in the file, or none. */
export function matchLayers(
  file: readonly RknnLayer[],
  model: readonly NpuLayer[],
): ReadonlyMap<NpuLayer, RknnLayer> {
  const matched = new Map<NpuLayer, RknnLayer>();
  const free = new Set(file);
  const pair = (layer: NpuLayer, found: RknnLayer | undefined): void => {
    if (found === undefined) return;
    matched.set(layer, found);
    free.delete(found);
  };
  const isSame = (layer: NpuLayer, { matrix }: RknnLayer): boolean =>
    matrix.outputs === layer.outputs && matrix.inputs === layer.inputs;
  for (const layer of model) {
    const named = [...free].find(({ name }) => name === layer.weightName);
    if (named !== undefined && isSame(layer, named)) pair(layer, named);
  }
  for (const layer of model.filter((one) => !matched.has(one))) {
    const candidates = [...free].filter((one) => isSame(layer, one));
    const likeness = candidates.map((one) => correlation(layer.weight, one.matrix));
    pair(layer, candidates[likeness.indexOf(Math.max(...likeness))]);
  }
  return matched;
}

/** Of the weights with the file's numbers, whatever their scale. */
function correlation(weight: Float32Array, { values }: RknnMatrix): number {
  let [dot, square, other] = [0, 0, 0];
  for (let i = 0; i < weight.length; i++) {
    const [x, y] = [present(weight[i]), present(values[i])];
    dot += x * y;
    square += x * x;
    other += y * y;
  }
  return square * other === 0 ? 0 : dot / Math.sqrt(square * other);
}
