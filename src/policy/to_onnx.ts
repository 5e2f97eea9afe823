/**
 * Network → ONNX: nodes in the order of the layers, the same names as the checkpoint's tensors,
 * opset 18 (rknn-toolkit2 takes at most 19) and IR version 8, which that opset came with.
 */

import { makeValueInfo, type OnnxModel } from "../formats/onnx.ts";
import { type Activation, activationOnnx } from "./activation.ts";
import { Graph } from "./graph.ts";
import { encodeMetadata, type PolicyMetadata } from "./metadata.ts";
import { type DistributionLayer, type Layer, type Network, recurrentLayer } from "./network.ts";
import { addRecurrent, stateInfo } from "./recurrent_onnx.ts";

export const OPSET = 18;
const IR_VERSION = 8;

export interface OnnxOptions {
  /** Name of the output; the input is `obs`. */
  readonly outputName: string;
  /** Batch as the symbolic dimension `batch` instead of 1. */
  readonly dynamicBatch: boolean;
  readonly metadata: PolicyMetadata;
}

export function networkToOnnx(network: Network, options: OnnxOptions): OnnxModel {
  const { outputName, dynamicBatch, metadata } = options;
  const graph = new Graph("obs");
  network.layers.forEach((layer, index) => addLayer(graph, layer, index));
  nameOutput(graph, outputName);
  const batch = dynamicBatch ? "batch" : 1;
  const recurrent = recurrentLayer(network);
  const state = recurrent === undefined ? undefined : stateInfo(recurrent, batch);
  return {
    irVersion: IR_VERSION,
    producerName: "lite3rl",
    producerVersion: metadata.toolVersion,
    opsetImport: [{ domain: "", version: OPSET }],
    graph: {
      name: "policy",
      node: graph.nodes,
      initializer: graph.initializers,
      input: [makeValueInfo("obs", [batch, network.observationSize]), ...(state?.inputs ?? [])],
      output: [makeValueInfo(outputName, [batch, network.actionSize]), ...(state?.outputs ?? [])],
    },
    metadataProps: encodeMetadata(metadata),
  };
}

/** Gives the node that computes the latest value the model's output instead. */
function nameOutput(graph: Graph, outputName: string): void {
  const producer = graph.nodes.findIndex(({ output }) => output?.includes(graph.value));
  const node = graph.nodes[producer];
  if (node === undefined) {
    graph.node("identity", "Identity", [graph.value], { outputs: [outputName] });
    return;
  }
  const output = node.output?.map((name) => (name === graph.value ? outputName : name)) ?? [];
  graph.nodes[producer] = { ...node, output };
}

function addLayer(graph: Graph, layer: Layer, index: number): void {
  switch (layer.kind) {
    case "linear": {
      const { name, inputs, outputs } = layer;
      const weight = graph.constant(`${name}.weight`, [outputs, inputs], layer.weight);
      const bias = graph.constant(`${name}.bias`, [outputs], layer.bias);
      const attributes = { transB: 1 };
      return graph.node(name, "Gemm", [graph.value, weight, bias], { attributes });
    }
    case "activation":
      return addActivation(graph, layer.activation, `${layer.activation}.${index}`);
    case "normalize": {
      const name = "obs_normalizer";
      const shape = [1, layer.mean.length];
      const mean = graph.constant(`${name}.mean`, shape, layer.mean);
      const divisor = graph.constant(`${name}.std`, shape, layer.divisor);
      graph.node(name, "Sub", [graph.value, mean]);
      graph.node(name, "Div", [graph.value, divisor]);
      if (layer.limit !== undefined) addClip(graph, name, layer.limit);
      return;
    }
    case "layer_norm": {
      const { name, epsilon } = layer;
      const weight = graph.constant(`${name}.weight`, [layer.weight.length], layer.weight);
      const bias = graph.constant(`${name}.bias`, [layer.bias.length], layer.bias);
      const attributes = { axis: -1, epsilon };
      return graph.node(name, "LayerNormalization", [graph.value, weight, bias], { attributes });
    }
    case "recurrent":
      return addRecurrent(graph, layer);
    case "distribution":
      return addDistribution(graph, layer);
    case "affine": {
      const shape = [1, layer.scale.length];
      const scale = graph.constant("action_space.scale", shape, layer.scale);
      const offset = graph.constant("action_space.offset", shape, layer.offset);
      graph.node("action_space", "Mul", [graph.value, scale]);
      return graph.node("action_space", "Add", [graph.value, offset]);
    }
  }
}

function addClip(graph: Graph, name: string, limit: number): void {
  const low = graph.constant(`${name}.min`, [], Float32Array.of(-limit));
  const high = graph.constant(`${name}.max`, [], Float32Array.of(limit));
  graph.node(name, "Clip", [graph.value, low, high]);
}

function addActivation(graph: Graph, activation: Activation, name: string): void {
  const input = graph.value;
  const steps = activationOnnx(activation);
  for (const [step, { op, attributes = {}, with: operand }] of steps.entries()) {
    // An operator may be there twice: the step keeps the names of nodes and values apart.
    const own = steps.length > 1 ? `${name}.${step}` : name;
    const operands = [graph.value];
    if (operand === "input") operands.push(input);
    else if (operand !== undefined) {
      operands.push(graph.constant(own, [], Float32Array.of(operand)));
    }
    graph.node(own, op, operands, { attributes });
  }
}

function addDistribution(graph: Graph, { distribution, size }: DistributionLayer): void {
  const name = `distribution.${distribution}`;
  const halves = [`${name}.first`, `${name}.second`];
  const sizes = graph.integers(`${name}.sizes`, [size, size]);
  const options = { attributes: { axis: 1 }, outputs: halves };
  graph.node(name, "Split", [graph.value, sizes], options);
  if (distribution === "gaussian") return;
  const one = graph.constant(`${name}.one`, [], Float32Array.of(1));
  const [a, b] = halves.map((half) => {
    graph.node(half, "Softplus", [half]);
    graph.node(`${half}.shifted`, "Add", [graph.value, one]);
    return graph.value;
  }) as [string, string];
  graph.node(`${name}.sum`, "Add", [a, b]);
  graph.node(`${name}.share`, "Div", [a, graph.value]);
  graph.node(`${name}.double`, "Add", [graph.value, graph.value]);
  graph.node(`${name}.action`, "Sub", [graph.value, one]);
}
