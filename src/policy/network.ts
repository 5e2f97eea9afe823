/**
 * A policy network as plain data: what every checkpoint layout is read into, and what is written
 * as ONNX. It can evaluate itself in double precision, which is the reference that an exported
 * file is held to.
 */

import { assert, present } from "../base/assert.ts";
import { type Activation, activate } from "./activation.ts";

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

/** (x − mean) / divisor, the observation normalizer when it is folded in. Shape [size] each. */
export interface NormalizeLayer {
  readonly kind: "normalize";
  readonly mean: Float32Array;
  readonly divisor: Float32Array;
}

export type Layer = LinearLayer | ActivationLayer | NormalizeLayer;

export interface Network {
  readonly layers: readonly Layer[];
  readonly observationSize: number;
  readonly actionSize: number;
}

/** Number of weights and biases. */
export function parameterCount(network: Network): number {
  return network.layers.reduce(
    (sum, layer) => sum + (layer.kind === "linear" ? layer.weight.length + layer.bias.length : 0),
    0,
  );
}

/** Widths from observation to action: `45-256-128-64-12`. */
export function describeWidths(network: Network): string {
  const widths = network.layers.flatMap((layer) => (layer.kind === "linear" ? layer.outputs : []));
  return [network.observationSize, ...widths].join("-");
}

/**
 * Evaluates one observation in double precision.
 *
 * @param observation shape [observationSize]
 * @returns the action, shape [actionSize]
 */
export function evaluate(network: Network, observation: ArrayLike<number>): Float64Array {
  assert(observation.length === network.observationSize, "observation has the wrong width");
  let values = Float64Array.from(observation);
  for (const layer of network.layers) values = applyLayer(layer, values);
  return values;
}

function applyLayer(layer: Layer, input: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  switch (layer.kind) {
    case "linear":
      return applyLinear(layer, input);
    case "activation":
      return input.map((x) => activate(layer.activation, x));
    case "normalize":
      return input.map((x, i) => (x - at(layer.mean, i)) / at(layer.divisor, i));
  }
}

function applyLinear(layer: LinearLayer, input: Float64Array): Float64Array<ArrayBuffer> {
  const output = new Float64Array(layer.outputs);
  for (let row = 0; row < layer.outputs; row++) {
    let sum = at(layer.bias, row);
    const start = row * layer.inputs;
    for (let i = 0; i < layer.inputs; i++) sum += at(layer.weight, start + i) * at(input, i);
    output[row] = sum;
  }
  return output;
}

function at(values: Float32Array | Float64Array, index: number): number {
  return present(values[index]);
}
