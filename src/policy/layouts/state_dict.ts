/**
 * A torch state dict as named tensors, and the one structure every layout is made of: a
 * `nn.Sequential` of Linear layers, with keys `<prefix>.<index>.weight` and `.bias`.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { toFloat32 } from "../../formats/tensor.ts";
import type { TorchFile, TorchTensor } from "../../formats/torch.ts";
import type { Activation } from "../activation.ts";
import type { Layer, LinearLayer } from "../network.ts";

export type StateDict = ReadonlyMap<string, TorchTensor>;

/** The tensors of a Map, or undefined if it is not one or holds something else. */
export function asStateDict(value: unknown): StateDict | undefined {
  if (!(value instanceof Map) || value.size === 0) return undefined;
  for (const [key, entry] of value) {
    const isTensor = (entry as { kind?: unknown } | null)?.kind === "tensor";
    if (typeof key !== "string" || !isTensor) return undefined;
  }
  return value as StateDict;
}

/** A few keys with shapes for a message: `actor.0.weight [256, 45], … (12 in all)`. */
export function describeKeys(state: StateDict): string {
  const shown = [...state].slice(0, 6).map(([key, { shape }]) => `${key} [${shape.join(", ")}]`);
  const more = state.size > shown.length ? `, … (${state.size} in all)` : "";
  return shown.join(", ") + more;
}

const LAYER_KEY = /^(?<prefix>.+)\.(?<index>\d+)\.(?:weight|bias)$/;

/** `actor` of `actor.0.weight`; undefined for a key that is no layer's of a `nn.Sequential`. */
export function sequentialPrefix(key: string): string | undefined {
  return LAYER_KEY.exec(key)?.groups?.prefix;
}

/** Prefixes under which the keys look like a `nn.Sequential`. */
export function sequentialPrefixes(state: StateDict): string[] {
  const prefixes = [...state.keys()].flatMap((key) => sequentialPrefix(key) ?? []);
  return [...new Set(prefixes)];
}

/**
 * Reads the Linear layers under `prefix` with `activation` between them. Torch numbers every
 * module of the Sequential, so a Linear followed by an activation is two indices apart.
 */
export function readSequential(
  file: TorchFile,
  state: StateDict,
  prefix: string,
  activation: Activation,
): Layer[] {
  const indices = layerIndices(state, prefix);
  checkStart(indices, prefix);
  const biasless = indices.every((index) => !state.has(`${prefix}.${index}.bias`));
  const layers: Layer[] = [];
  let before: { linear: LinearLayer; index: number } | undefined;
  for (const index of indices) {
    const linear = readLinear(file, state, `${prefix}.${index}`, biasless);
    if (before !== undefined) {
      checkJoint(before, { linear, index }, prefix);
      if (index - before.index === 2) layers.push({ kind: "activation", activation });
    }
    layers.push(linear);
    before = { linear, index };
  }
  return layers;
}

function layerIndices(state: StateDict, prefix: string): number[] {
  const indices = new Set<number>();
  for (const key of state.keys()) {
    const groups = LAYER_KEY.exec(key)?.groups;
    if (groups?.prefix === prefix) indices.add(Number(groups.index));
  }
  return [...indices].sort((a, b) => a - b);
}

function readLinear(
  file: TorchFile,
  state: StateDict,
  name: string,
  biasless: boolean,
): LinearLayer {
  const weight = state.get(`${name}.weight`);
  const bias = state.get(`${name}.bias`);
  if (weight === undefined) throw missing(`${name}.weight`, state);
  if (bias === undefined && !biasless) throw missing(`${name}.bias`, state);
  const [outputs = 0, inputs = 0] = weight.shape;
  if (weight.shape.length !== 2 || inputs === 0 || outputs === 0) {
    throw new FormatError(
      `${quote(`${name}.weight`)} has shape [${weight.shape.join(", ")}], ` +
        "need [outputs, inputs] of a Linear layer",
      "UNSUPPORTED",
    );
  }
  if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== outputs)) {
    throw new FormatError(
      `${quote(`${name}.bias`)} has shape [${bias.shape.join(", ")}], its weight needs [${outputs}]`,
    );
  }
  return {
    kind: "linear",
    name,
    inputs,
    outputs,
    weight: finite(toFloat32(file.load(weight)), `${name}.weight`),
    bias:
      bias === undefined
        ? new Float32Array(outputs)
        : finite(toFloat32(file.load(bias)), `${name}.bias`),
  };
}

interface Placed {
  readonly linear: LinearLayer;
  readonly index: number;
}

/** What stands before the first Linear layer has no tensors, so nobody knows what it does. */
function checkStart([first = 0]: readonly number[], prefix: string): void {
  if (first === 0) return;
  throw new FormatError(
    `${prefix} begins with layer ${first}, need a Linear layer first (${prefix}.0.weight)`,
    "UNSUPPORTED",
  );
}

function checkJoint(before: Placed, after: Placed, prefix: string): void {
  const gap = after.index - before.index;
  if (gap > 2) {
    throw new FormatError(
      `${prefix} goes from layer ${before.index} to layer ${after.index}, ` +
        `need a Linear layer and an activation in turn (${prefix}.${before.index + 2}.weight)`,
    );
  }
  if (before.linear.outputs !== after.linear.inputs) {
    throw new FormatError(
      `${before.linear.name} gives ${before.linear.outputs} values, ` +
        `${after.linear.name} takes ${after.linear.inputs}`,
    );
  }
}

function finite(values: Float32Array, name: string): Float32Array {
  const index = values.findIndex((value) => !Number.isFinite(value));
  if (index >= 0) {
    throw new FormatError(
      `${quote(name)} holds ${values[index]} at element ${index}, need numbers`,
    );
  }
  return values;
}

function missing(key: string, state: StateDict): FormatError {
  return new FormatError(`it has no ${quote(key)}, found ${describeKeys(state)}`);
}
