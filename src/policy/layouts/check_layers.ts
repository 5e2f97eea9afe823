/**
 * Are these layers the whole policy? Widths must fit each other, every tensor under the policy's
 * prefixes must be in a layer, and the noise must be as wide as the action. What a checkpoint
 * holds beyond that could change what the policy does.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { plain } from "../../base/text.ts";
import type { Layer } from "../network.ts";
import type { PolicyPlan } from "./plan.ts";

interface Step {
  readonly name: string;
  readonly takes: number;
  readonly gives: number;
}

/** Refuses a layer that takes another width than the one before gives. */
export function checkWidths(layers: readonly Layer[]): void {
  const steps = layers.flatMap(stepOf);
  for (const [i, { name, takes }] of steps.entries()) {
    const before = steps[i - 1];
    if (before !== undefined && before.gives !== takes) {
      throw new FormatError(
        `${plain(before.name)} gives ${before.gives} values, ${plain(name)} takes ${takes}`,
      );
    }
  }
}

/** Layers with weights; the others leave the width as it is, or follow the last of these. */
function stepOf(layer: Layer): Step[] {
  switch (layer.kind) {
    case "linear":
      return [{ name: layer.name, takes: layer.inputs, gives: layer.outputs }];
    case "layer_norm":
      return [{ name: layer.name, takes: layer.weight.length, gives: layer.weight.length }];
    case "recurrent":
      return [{ name: layer.name, takes: layer.stack[0]?.inputs ?? 0, gives: layer.hidden }];
    default:
      return [];
  }
}

/** Refuses a tensor that is neither the policy's nor known to be another's. */
export function checkNothingElse(plan: PolicyPlan): void {
  const { state, parts, memory, memoryNorm, isOther } = plan;
  const ours = [...parts, memory, memoryNorm].filter((name) => name !== undefined);
  for (const key of state.keys()) {
    if (isOther(key) || ours.some((prefix) => prefix === "" || key.startsWith(`${prefix}.`)))
      continue;
    if (/\.weight_[ih]h_l\d+$/.test(key)) {
      throw new FormatError(
        `${quote(key)} is of an LSTM or GRU whose place this layout does not know; save ` +
          "TorchScript (torch.jit.script), which says it",
        "UNSUPPORTED",
      );
    }
    throw new FormatError(
      `${quote(key)} is neither of ${ours.map(quote).join(", ")} nor known to be of something ` +
        "else, so the policy could be more than that; name the actor with --actor",
      "UNSUPPORTED",
    );
  }
}

/** Refuses a tensor under the policy's prefixes that no layer is made of. */
export function checkNothingLeft({ state, isOther }: PolicyPlan, layers: readonly Layer[]): void {
  const used = new Set(layers.flatMap(keysOf));
  const left = [...state.keys()].find((key) => !used.has(key) && !isOther(key));
  if (left === undefined) return;
  throw new FormatError(
    `${quote(left)} is in the actor, but no part of a Linear, LayerNorm, LSTM or GRU layer, so ` +
      "the policy is more than those; this is not supported",
    "UNSUPPORTED",
  );
}

function keysOf(layer: Layer): string[] {
  if (layer.kind === "linear" || layer.kind === "layer_norm") {
    return [`${layer.name}.weight`, `${layer.name}.bias`];
  }
  if (layer.kind !== "recurrent") return [];
  const parts = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
  return layer.stack.flatMap((_, i) => parts.map((part) => `${layer.name}.${part}_l${i}`));
}

/**
 * Refuses noise of another width than the action's: a head of a name that nobody knows would be
 * missing. One value is shared by all actions; of a matrix (gSDE) the last dimension counts.
 */
export function checkNoise({ state, isNoise }: PolicyPlan, actionSize: number): void {
  for (const [key, { shape }] of state) {
    if (isNoise?.(key) !== true) continue;
    const count = shape.reduce((product, size) => product * size, 1);
    if (count === 1 || count === actionSize || shape.at(-1) === actionSize) continue;
    throw new FormatError(
      `${quote(key)} has ${count} values, the last layer gives ${actionSize}: a layer may be ` +
        "missing",
      "UNSUPPORTED",
    );
  }
}
