/**
 * A policy that stumbles: its weights with seeded noise, so that it is still the same policy, badly
 * kept.
 */

import { createRandom } from "../base/random.ts";
import { DATA_TYPE, type OnnxModel } from "../formats/onnx.ts";

/**
 * The demo policy at 0.3 follows its commands badly, at 0.7 it stumbles, with this noise it falls
 * in four episodes of ten; w8a8 is some hundredths of its MAE away and walks as well.
 */
export const STUMBLING = { level: 0.9, seed: 5 } as const;

/**
 * Adds noise to every matrix of weights, of a deviation of `level` times the matrix' own root mean
 * square. Uniform, so that the bits are the same on every machine.
 */
export function spoilWeights(
  model: OnnxModel,
  { level, seed }: { readonly level: number; readonly seed: number },
): OnnxModel {
  const random = createRandom(seed);
  const initializer = model.graph?.initializer?.map((tensor) => {
    const { dims = [], dataType, rawData } = tensor;
    if (dims.length !== 2 || dataType !== DATA_TYPE.float32 || rawData === undefined) return tensor;
    const weights = new Float32Array(new Uint8Array(rawData).buffer);
    const square = weights.reduce((sum, weight) => sum + weight * weight, 0) / weights.length;
    const reach = level * Math.sqrt(3 * square);
    const spoiled = weights.map((weight) => weight + random.between(-reach, reach));
    return { ...tensor, rawData: new Uint8Array(spoiled.buffer) };
  });
  return { ...model, graph: { ...model.graph, ...(initializer && { initializer }) } };
}
