/** The parts of a checkpoint that concern the policy, as plain data for the document. */

import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { toFloat32 } from "../formats/tensor.ts";
import type { TorchFile, TorchTensor } from "../formats/torch.ts";
import type { CheckpointFile } from "../policy/checkpoint_file.ts";
import type { NormalizerPlan, PolicyPlan } from "../policy/layouts/plan.ts";
import type { UnreadableTensor } from "../policy/layouts/state_dict.ts";
import {
  describeWidths,
  type Layer,
  type Network,
  parameterCount,
  recurrentLayer,
} from "../policy/network.ts";
import { tally } from "../base/text.ts";

interface LayerDescription {
  readonly kind: string;
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly parameters: number;
}

/** The network without its activations, which have a field of their own. */
export function describeLayers(network: Network, plan: PolicyPlan | undefined) {
  const memory = recurrentLayer(network);
  const distribution = network.layers.find((layer) => layer.kind === "distribution");
  return {
    observationSize: network.observationSize,
    actionSize: network.actionSize,
    widths: describeWidths(network),
    parameters: parameterCount(network),
    dtypes: plan === undefined ? {} : dtypesOf(plan),
    recurrent:
      memory === undefined
        ? null
        : { cell: memory.cell, hidden: memory.hidden, layers: memory.stack.length },
    outputActivation: plan?.outputActivation ?? null,
    twoNumbersPerAction: distribution !== undefined,
    layers: network.layers.flatMap(describeLayer),
  };
}

function describeLayer(layer: Layer): LayerDescription[] {
  const single: Network = { layers: [layer], observationSize: 0, actionSize: 0 };
  const parameters = parameterCount(single);
  switch (layer.kind) {
    case "linear": {
      const { kind, name, inputs, outputs } = layer;
      return [{ kind, name, inputs, outputs, parameters }];
    }
    case "layer_norm": {
      const { kind, name, weight } = layer;
      return [{ kind, name, inputs: weight.length, outputs: weight.length, parameters }];
    }
    case "recurrent": {
      const { cell, name, stack, hidden } = layer;
      return [{ kind: cell, name, inputs: stack[0]?.inputs ?? 0, outputs: hidden, parameters }];
    }
    default:
      return [];
  }
}

/** Element types of the policy's own tensors. */
function dtypesOf({ state, parts, memory }: PolicyPlan): Record<string, number> {
  const ours = memory === undefined ? parts : [memory, ...parts];
  const tensors = [...state].filter(([key]) => ours.some((part) => key.startsWith(`${part}.`)));
  return tally(tensors.map(([, { dtype }]) => dtype));
}

/** The normalizer's rule, and where its numbers are; its eps is in a library's code. */
export function describeNormalizer(plan: NormalizerPlan) {
  const { state, mean, spread, form, limit, library, epsilon } = plan;
  const divisor = form === "std" ? "(std + eps)" : "sqrt(var + eps)";
  const rule = `(x − mean) / ${divisor}`;
  return {
    rule: limit === undefined ? rule : `clamp(${rule}, ±${limit})`,
    size: (state.get(mean)?.shape ?? []).reduce((product, size) => product * size, 1),
    mean,
    spread,
    library,
    libraryEpsilon: epsilon,
  };
}

/** `sigma` is rl_games', which is a logarithm too. */
const NOISE = /(?:^|\.)(?<word>std|log_std|logstd|sigma|std_param|log_std_param)$/;

/** The noise of exploration, which no exported policy has: its size and mean standard deviation. */
export function describeNoise(file: TorchFile, { state, isOther }: PolicyPlan) {
  for (const [key, tensor] of state) {
    const word = NOISE.exec(key)?.groups?.word;
    const size = tensor.shape.reduce((product, length) => product * length, 1);
    if (word === undefined || !isOther(key) || size === 0 || size > LIMITS.vectorWidth) continue;
    const isLog = word !== "std" && word !== "std_param";
    const values = loadOrNothing(file, tensor);
    const stds = isLog ? values.map(Math.exp) : values;
    const meanStd = stds.length === 0 ? null : stds.reduce((sum, x) => sum + x, 0) / stds.length;
    return { key, size, form: isLog ? "log_std" : "std", meanStd };
  }
  return null;
}

function loadOrNothing(file: TorchFile, tensor: TorchTensor | UnreadableTensor): number[] {
  if (tensor.kind === "unreadable") return [];
  try {
    return [...toFloat32(file.load(tensor))];
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}

/** How far training was, by the names of the libraries: rsl_rl, rl_games, hand-written loops. */
const ITERATIONS = ["iter", "iteration", "epoch", "global_step", "step", "frame"];
/** Stable-Baselines3 writes it into its JSON, of which nothing else is needed here. */
const SB3_STEPS = /"num_timesteps":\s*(\d{1,15})/;

export function findIteration({ root }: CheckpointFile) {
  if (root instanceof Map) {
    const key = ITERATIONS.find((name) => Number.isSafeInteger(root.get(name)));
    return key === undefined ? null : { key, value: Number(root.get(key)) };
  }
  const { data } = (root ?? {}) as { data?: unknown };
  const steps = typeof data === "string" ? SB3_STEPS.exec(data)?.[1] : undefined;
  return steps === undefined ? null : { key: "num_timesteps", value: Number(steps) };
}
