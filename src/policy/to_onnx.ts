/**
 * Network → ONNX: Gemm and activation nodes in the order of the layers, the same names as the
 * checkpoint's tensors, opset 18 (rknn-toolkit2 takes at most 19) and IR version 8, which that
 * opset came with.
 */

import {
  makeNode,
  makeTensor,
  makeValueInfo,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
} from "../formats/onnx.ts";
import { type Activation, activationOnnx } from "./activation.ts";
import { encodeMetadata, type PolicyMetadata } from "./metadata.ts";
import type { Layer, Network } from "./network.ts";

export const OPSET = 18;
const IR_VERSION = 8;

export interface OnnxOptions {
  /** Name of the output; the input is `obs`. */
  readonly outputName: string;
  /** Batch as the symbolic dimension `batch` instead of 1. */
  readonly dynamicBatch: boolean;
  readonly metadata: PolicyMetadata;
}

/** Nodes and initializers under construction; `value` is the name of the latest result. */
interface Graph {
  readonly nodes: OnnxNode[];
  readonly initializers: OnnxTensor[];
  value: string;
}

export function networkToOnnx(network: Network, options: OnnxOptions): OnnxModel {
  const graph: Graph = { nodes: [], initializers: [], value: "obs" };
  network.layers.forEach((layer, index) => addLayer(graph, layer, index));
  const last = graph.nodes.at(-1);
  if (last !== undefined) last.output = [options.outputName];
  const batch = options.dynamicBatch ? "batch" : 1;
  return {
    irVersion: IR_VERSION,
    producerName: "lite3rl",
    producerVersion: options.metadata.toolVersion,
    opsetImport: [{ domain: "", version: OPSET }],
    graph: {
      name: "policy",
      node: graph.nodes,
      initializer: graph.initializers,
      input: [makeValueInfo("obs", [batch, network.observationSize])],
      output: [makeValueInfo(options.outputName, [batch, network.actionSize])],
    },
    metadataProps: encodeMetadata(options.metadata),
  };
}

function addLayer(graph: Graph, layer: Layer, index: number): void {
  switch (layer.kind) {
    case "linear": {
      const { name, inputs, outputs, weight, bias } = layer;
      const weightName = addConstant(graph, `${name}.weight`, [outputs, inputs], weight);
      const biasName = addConstant(graph, `${name}.bias`, [outputs], bias);
      addNode(graph, name, "Gemm", [graph.value, weightName, biasName], { transB: 1 });
      return;
    }
    case "activation":
      addActivation(graph, layer.activation, index);
      return;
    case "normalize": {
      const size = layer.mean.length;
      const mean = addConstant(graph, "obs_normalizer.mean", [1, size], layer.mean);
      const divisor = addConstant(graph, "obs_normalizer.std", [1, size], layer.divisor);
      addNode(graph, "obs_normalizer", "Sub", [graph.value, mean]);
      addNode(graph, "obs_normalizer", "Div", [graph.value, divisor]);
    }
  }
}

function addActivation(graph: Graph, activation: Activation, index: number): void {
  const input = graph.value;
  const steps = activationOnnx(activation);
  for (const [step, { op, attributes = {}, with: operand }] of steps.entries()) {
    // An operator may be there twice: the step keeps the names of nodes and values apart.
    const name = `${activation}.${index}${steps.length > 1 ? `.${step}` : ""}`;
    const operands = [graph.value];
    if (operand === "input") operands.push(input);
    else if (operand !== undefined) {
      operands.push(addConstant(graph, name, [], Float32Array.of(operand)));
    }
    addNode(graph, name, op, operands, attributes);
  }
}

function addConstant(graph: Graph, name: string, shape: number[], data: Float32Array): string {
  graph.initializers.push(makeTensor(name, shape, data));
  return name;
}

function addNode(
  graph: Graph,
  name: string,
  op: string,
  inputs: string[],
  attributes: Readonly<Record<string, number>> = {},
): void {
  const output = `${name}/${op}`;
  graph.nodes.push(makeNode(op, inputs, [output], { name: output, attributes }));
  graph.value = output;
}
