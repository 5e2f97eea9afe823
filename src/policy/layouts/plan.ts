/**
 * What a layout finds out about a checkpoint before any weight is read: which tensors are the
 * policy, in which order, and which belong to something else. A layout is a function from the
 * root of a checkpoint to such a plan; reading the plan is the same for all.
 */

import type { StateDict } from "./state_dict.ts";

export interface NormalizerPlan {
  /** Where `mean` and `spread` are; usually the policy's own state dict. */
  readonly state: StateDict;
  readonly mean: string;
  readonly spread: string;
  /** `std`: x / (std + eps). `var`: x / sqrt(var + eps). */
  readonly form: "std" | "var";
  /** Values beyond are cut off. */
  readonly limit?: number;
  /** The library whose code holds eps, and the value there. */
  readonly library: string;
  readonly epsilon: number;
  /** The file itself says eps. */
  readonly isInFile?: boolean;
}

/** One layer of a file that holds its whole forward pass; names are prefixes in the state dict. */
export type PlanStep =
  | { readonly kind: "linear"; readonly name: string }
  | { readonly kind: "layer_norm"; readonly name: string; readonly epsilon: number }
  | { readonly kind: "memory"; readonly name: string }
  | { readonly kind: "activation"; readonly activation: string };

export interface PolicyPlan {
  readonly layout: string;
  readonly state: StateDict;
  /** The LSTM or GRU. */
  readonly memory?: string;
  /** It stands before the part with this index; 0, before all, if absent. */
  readonly memoryBefore?: number;
  /** A LayerNorm right after it. */
  readonly memoryNorm?: string;
  /** Prefixes of `nn.Sequential`s or single Linears, in order; an activation stands between. */
  readonly parts: readonly string[];
  /** Every layer before the output activation, where the file says it; it stands for `parts`. */
  readonly sequence?: readonly PlanStep[];
  readonly normalizer?: NormalizerPlan;
  /** Keys of `state` that are not the policy's: critic, noise, counters. */
  isOther(key: string): boolean;
  /** Those of them that hold one standard deviation per action, which tells how many there are. */
  isNoise?(key: string): boolean;
  /** The last layer gives two numbers per action, and the file does not say of what. */
  readonly isTwofold?: boolean;
  /** What the last layer's numbers mean, where the file says it. */
  readonly distribution?: "gaussian" | "beta" | "none";
  /** Known from the file itself, where a layout keeps it. */
  readonly activation?: string;
  /** What the action goes through after the last layer, where a layout fixes it. */
  readonly outputActivation?: string;
  /** Bounds of the action space that a squashed action is stretched to. */
  readonly actionBounds?: { readonly low: Float32Array; readonly high: Float32Array };
}

export interface Layout {
  readonly name: string;
  /** Keys that its checkpoints have, for the message when none fits. */
  readonly keys: readonly string[];
  /** The plan, or undefined if these are not its keys. `actor` is `--actor`. */
  plan(root: unknown, actor: string | undefined): PolicyPlan | undefined;
}
