/**
 * A policy network as plain data: what every checkpoint layout is read into, and what is written
 * as ONNX. It can evaluate itself in double precision, which is the reference that an exported
 * file is held to.
 */

import { assert, present } from "../base/assert.ts";
import { type Activation, activate } from "./activation.ts";
import {
  applyRecurrent,
  createRecurrentState,
  type RecurrentLayer,
  type RecurrentState,
} from "./recurrent.ts";

export interface LinearLayer {
  readonly kind: "linear";
  /** Name in the checkpoint without `.weight`, kept as the name of the ONNX initializer. */
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  /** Shape [outputs, inputs], row-major, as torch stores it. */
  readonly weight: Float32Array;
  /** Shape [outputs]. */
  readonly bias: Float32Array;
}

export interface ActivationLayer {
  readonly kind: "activation";
  readonly activation: Activation;
}

/** clamp((x − mean) / divisor, ±limit): the observation normalizer when it is folded in. */
export interface NormalizeLayer {
  readonly kind: "normalize";
  /** Shape [size] each. */
  readonly mean: Float32Array;
  readonly divisor: Float32Array;
  /** Largest absolute value let through; none if absent. */
  readonly limit?: number;
}

/** torch.nn.LayerNorm over the last dimension. */
export interface LayerNormLayer {
  readonly kind: "layer_norm";
  readonly name: string;
  /** Shape [size] each. */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  readonly epsilon: number;
}

/**
 * What a distribution's parameters, 2·size wide, come to as an action: the first half of a
 * state-dependent Gaussian, or 2a/(a+b) − 1 of a Beta with a, b = softplus(x) + 1.
 */
export interface DistributionLayer {
  readonly kind: "distribution";
  readonly distribution: "gaussian" | "beta";
  readonly size: number;
}

/** x · scale + offset, from the squashed −1..1 to the bounds of an action space. */
export interface AffineLayer {
  readonly kind: "affine";
  /** Shape [size] each. */
  readonly scale: Float32Array;
  readonly offset: Float32Array;
}

export type Layer =
  | LinearLayer
  | ActivationLayer
  | NormalizeLayer
  | LayerNormLayer
  | RecurrentLayer
  | DistributionLayer
  | AffineLayer;

export interface Network {
  readonly layers: readonly Layer[];
  readonly observationSize: number;
  readonly actionSize: number;
}

/** The LSTM or GRU of a recurrent policy. */
export function recurrentLayer(network: Network): RecurrentLayer | undefined {
  return network.layers.find((layer) => layer.kind === "recurrent");
}

/** Number of weights and biases. */
export function parameterCount(network: Network): number {
  return network.layers.reduce((sum, layer) => sum + layerParameters(layer), 0);
}

function layerParameters(layer: Layer): number {
  if (layer.kind === "linear" || layer.kind === "layer_norm") {
    return layer.weight.length + layer.bias.length;
  }
  if (layer.kind !== "recurrent") return 0;
  return layer.stack.reduce(
    (sum, { weightIh, weightHh, biasIh, biasHh }) =>
      sum + weightIh.length + weightHh.length + biasIh.length + biasHh.length,
    0,
  );
}

/** Widths from observation to action: `45-256-128-64-12`, `45-lstm64-128-12`. */
export function describeWidths(network: Network): string {
  const widths = network.layers.flatMap((layer) => {
    if (layer.kind === "linear") return `${layer.outputs}`;
    if (layer.kind === "recurrent") return layer.stack.map(() => `${layer.cell}${layer.hidden}`);
    return [];
  });
  return [network.observationSize, ...widths].join("-");
}

/** Zero state for the start of an episode; undefined for a feed-forward network. */
export function createNetworkState(network: Network): RecurrentState | undefined {
  const layer = recurrentLayer(network);
  return layer === undefined ? undefined : createRecurrentState(layer);
}

/**
 * Evaluates one observation in double precision.
 *
 * @param observation shape [observationSize]
 * @param state of a recurrent network, advanced by this step
 * @returns the action, shape [actionSize]
 */
export function evaluate(
  network: Network,
  observation: ArrayLike<number>,
  state?: RecurrentState,
): Float64Array {
  assert(observation.length === network.observationSize, "observation has the wrong width");
  let values = Float64Array.from(observation);
  for (const layer of network.layers) values = applyLayer(layer, values, state);
  return values;
}

function applyLayer(
  layer: Layer,
  input: Float64Array<ArrayBuffer>,
  state: RecurrentState | undefined,
): Float64Array<ArrayBuffer> {
  switch (layer.kind) {
    case "linear":
      return applyLinear(layer, input);
    case "activation":
      return input.map((x) => activate(layer.activation, x));
    case "normalize": {
      const { limit = Infinity } = layer;
      return input.map((x, i) => {
        const normalised = (x - at(layer.mean, i)) / at(layer.divisor, i);
        return Math.min(Math.max(normalised, -limit), limit);
      });
    }
    case "layer_norm":
      return applyLayerNorm(layer, input);
    case "recurrent":
      return applyRecurrent(layer, input, present(state, "the state of a recurrent network"));
    case "distribution":
      return applyDistribution(layer, input);
    case "affine":
      return input.map((x, i) => x * at(layer.scale, i) + at(layer.offset, i));
  }
}

function applyLinear(layer: LinearLayer, input: Float64Array): Float64Array<ArrayBuffer> {
  const { inputs, outputs, weight, bias } = layer;
  const output = new Float64Array(outputs);
  for (let row = 0; row < outputs; row++) {
    let sum = at(bias, row);
    const start = row * inputs;
    for (let i = 0; i < inputs; i++) sum += at(weight, start + i) * at(input, i);
    output[row] = sum;
  }
  return output;
}

function applyLayerNorm(layer: LayerNormLayer, input: Float64Array<ArrayBuffer>) {
  const mean = input.reduce((sum, x) => sum + x, 0) / input.length;
  const variance = input.reduce((sum, x) => sum + (x - mean) ** 2, 0) / input.length;
  const divisor = Math.sqrt(variance + layer.epsilon);
  return input.map((x, i) => ((x - mean) / divisor) * at(layer.weight, i) + at(layer.bias, i));
}

function applyDistribution(layer: DistributionLayer, input: Float64Array<ArrayBuffer>) {
  const first = input.slice(0, layer.size);
  if (layer.distribution === "gaussian") return first;
  return first.map((x, i) => {
    const a = activate("softplus", x) + 1;
    const b = activate("softplus", at(input, layer.size + i)) + 1;
    return (2 * a) / (a + b) - 1;
  });
}

function at(values: Float32Array | Float64Array, index: number): number {
  return present(values[index]);
}
