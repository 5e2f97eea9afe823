/**
 * A policy for exactly one observation at a time: the NPU takes no dynamic shapes, and the toolkit
 * refuses a model that has one.
 */

import type { OnnxModel, OnnxValueInfo } from "../formats/onnx.ts";

/**
 * The same graph with every dimension that inputs and outputs leave open set to 1. A policy has
 * none but the batch (`policyShape` refuses others). Shapes of inner values are dropped, since
 * they may name the batch; whoever runs the graph infers them. A fixed model is given back as it
 * is.
 */
export function fixBatch(model: OnnxModel): OnnxModel {
  const { graph } = model;
  const isFixed = [...(graph.input ?? []), ...(graph.output ?? [])].every(hasFixedShape);
  if (isFixed) return model;
  return {
    ...model,
    graph: {
      ...graph,
      input: (graph.input ?? []).map(fixShape),
      output: (graph.output ?? []).map(fixShape),
      valueInfo: [],
    },
  };
}

function hasFixedShape({ type }: OnnxValueInfo): boolean {
  return (type?.tensorType?.shape?.dim ?? []).every(({ dimValue }) => dimValue !== undefined);
}

function fixShape(value: OnnxValueInfo): OnnxValueInfo {
  const tensorType = value.type?.tensorType;
  if (tensorType?.shape === undefined) return value;
  const dim = (tensorType.shape.dim ?? []).map((size) =>
    size.dimValue === undefined ? { dimValue: 1 } : size,
  );
  const shape = { ...tensorType.shape, dim };
  return { ...value, type: { ...value.type, tensorType: { ...tensorType, shape } } };
}
