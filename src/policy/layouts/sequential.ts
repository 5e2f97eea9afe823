/**
 * `nn.Sequential` and single modules from a state dict. Torch numbers every module, and those
 * without parameters leave gaps: a gap of one is an activation, of two an activation and a
 * Dropout, which does nothing once training is over.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { warn } from "../../base/log.ts";
import { plain } from "../../base/text.ts";
import type { TorchFile } from "../../formats/torch.ts";
import type { Activation } from "../activation.ts";
import type { Layer, LayerNormLayer, LinearLayer } from "../network.ts";
import { keyUnder, layerIndices, readTensor, type StateDict } from "./state_dict.ts";

/** torch.nn.LayerNorm's own default; a checkpoint does not hold it. */
export const LAYER_NORM_EPSILON = 1e-5;

type Parameterised = LinearLayer | LayerNormLayer;

/**
 * Reads the Linear and LayerNorm modules under `prefix`, with `activation` in each gap between
 * them. What follows the last one cannot be seen in a checkpoint.
 */
export function readSequential(
  file: TorchFile,
  state: StateDict,
  prefix: string,
  activation: Activation,
): Layer[] {
  const indices = layerIndices(state, prefix);
  checkStart(indices, prefix);
  const names = indices.map((index) => keyUnder(prefix, index));
  const isBiasless = names.every((name) => !state.has(`${name}.bias`) || isNorm(state, name));
  const layers: Layer[] = [];
  const dropouts: string[] = [];
  for (const [i, name] of names.entries()) {
    const module = readModule(file, state, name, isBiasless);
    const gap = i === 0 ? 0 : (indices[i] ?? 0) - (indices[i - 1] ?? 0) - 1;
    if (gap > 2) throw gapTooWide(prefix, indices[i - 1] ?? 0, indices[i] ?? 0);
    if (gap === 2) dropouts.push(name);
    if (gap > 0) layers.push({ kind: "activation", activation });
    if (gap === 0 && layers.at(-1)?.kind === "linear" && module.kind === "linear") {
      checkAdjacent(names[i - 1] ?? "", name, activation);
    }
    layers.push(module);
  }
  if (dropouts.length > 0) {
    warn(
      `two modules without weights stand before ${plain(dropouts.join(", "))}: ` +
        `taking one as a Dropout, which does nothing here, the other as ${activation}`,
    );
  }
  return layers;
}

/** A `nn.ModuleList` has these keys too, with the activations in `forward`, where none are seen. */
function checkAdjacent(before: string, after: string, activation: Activation): void {
  if (activation === "identity") return;
  throw new FormatError(
    `${plain(before)} and ${plain(after)} are both Linear: a ModuleList with ${activation} in ` +
      "its forward has the same keys as layers with nothing between; use a Sequential with its " +
      "activations, or say --activation identity",
    "UNSUPPORTED",
  );
}

/** A Linear that stands alone, such as a head. */
export function readLinear(
  file: TorchFile,
  state: StateDict,
  name: string,
  isBiasless = !state.has(`${name}.bias`),
): LinearLayer {
  const shape = state.get(`${name}.weight`)?.shape ?? [];
  const [outputs = 0, inputs = 0] = shape;
  const weight = readTensor(file, state, `${name}.weight`);
  if (shape.length !== 2 || inputs === 0 || outputs === 0) {
    throw new FormatError(
      `${quote(`${name}.weight`)} has shape [${shape.join(", ")}], ` +
        "need [outputs, inputs] of a Linear layer",
      "UNSUPPORTED",
    );
  }
  const bias = isBiasless
    ? new Float32Array(outputs)
    : readTensor(file, state, `${name}.bias`, [outputs]);
  return { kind: "linear", name, inputs, outputs, weight, bias };
}

function readModule(
  file: TorchFile,
  state: StateDict,
  name: string,
  isBiasless: boolean,
): Parameterised {
  if (state.has(`${name}.running_mean`)) {
    throw new FormatError(
      `${plain(name)} is a BatchNorm, whose statistics are not read: fold it into the Linear ` +
        "before it (torch.nn.utils.fuse_linear_bn_eval), or export TorchScript without it",
      "UNSUPPORTED",
    );
  }
  if (!isNorm(state, name)) return readLinear(file, state, name, isBiasless);
  if (state.has(`${name}.bias`)) return readLayerNorm(file, state, name, LAYER_NORM_EPSILON);
  throw new FormatError(
    `${plain(name)} has one vector and no bias: it may be an RMSNorm, a PReLU or a LayerNorm, ` +
      "and a checkpoint does not say which; need a LayerNorm with bias",
    "UNSUPPORTED",
  );
}

export function readLayerNorm(
  file: TorchFile,
  state: StateDict,
  name: string,
  epsilon: number,
): LayerNormLayer {
  const weight = readTensor(file, state, `${name}.weight`);
  const bias = state.has(`${name}.bias`)
    ? readTensor(file, state, `${name}.bias`, [weight.length])
    : new Float32Array(weight.length);
  return { kind: "layer_norm", name, weight, bias, epsilon };
}

/** LayerNorm's weight is a vector. */
function isNorm(state: StateDict, name: string): boolean {
  return state.get(`${name}.weight`)?.shape.length === 1;
}

/** A Sequential as a message names it. */
const titleOf = (prefix: string): string => plain(prefix || "its Sequential");

/** What stands before the first layer has no tensors, so nobody knows what it does. */
function checkStart([first = 0]: readonly number[], prefix: string): void {
  if (first === 0) return;
  throw new FormatError(
    `${titleOf(prefix)} begins with layer ${first}, need a Linear layer first ` +
      `(${plain(keyUnder(prefix, 0))}.weight)`,
    "UNSUPPORTED",
  );
}

function gapTooWide(prefix: string, before: number, after: number): FormatError {
  return new FormatError(
    `${titleOf(prefix)} goes from layer ${before} to layer ${after}, need a Linear layer and an ` +
      `activation in turn (${plain(keyUnder(prefix, before + 2))}.weight)`,
    "UNSUPPORTED",
  );
}
