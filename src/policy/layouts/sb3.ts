/**
 * Stable-Baselines3: a zip with `policy.pth` (the state dict) and `data` (JSON). PPO and A2C have
 * `mlp_extractor.policy_net.*` and the head `action_net`, SAC has `actor.latent_pi.*` and the head
 * `actor.mu`, whose tanh is stretched to the bounds of the action space.
 */

import * as v from "valibot";
import { FormatError } from "../../base/errors.ts";
import type { Layout, PolicyPlan } from "./plan.ts";
import { asStateDict, type StateDict } from "./state_dict.ts";

/** What `openCheckpoint` makes of the archive. */
export interface Sb3Root {
  readonly kind: "sb3";
  readonly policy: unknown;
  /** The text of `data`. */
  readonly data: string;
}

const PPO_OTHERS = /^(?:mlp_extractor\.value_net|value_net|log_std$)/;
const SAC_OTHERS = /^(?:critic|actor\.log_std|log_ent_coef)/;

/** `<class 'torch.nn.modules.activation.ReLU'>`, as SB3 writes classes into its JSON. */
const ACTIVATION_CLASS = /\.(\w+)'>$/;

const Space = v.looseObject({
  ":type:": v.optional(v.string()),
  _shape: v.optional(v.nullable(v.array(v.number()))),
});

const Data = v.looseObject({
  policy_kwargs: v.optional(
    v.looseObject({
      activation_fn: v.optional(v.string()),
      squash_output: v.optional(v.unknown()),
    }),
  ),
  observation_space: v.optional(Space),
  action_space: v.optional(
    v.looseObject({
      ...Space.entries,
      low: v.optional(v.string()),
      high: v.optional(v.string()),
    }),
  ),
});

export const SB3: Layout = {
  name: "sb3",
  keys: ["mlp_extractor.policy_net.0.weight", "action_net.weight"],
  plan(root) {
    if ((root as Partial<Sb3Root> | null)?.kind !== "sb3") return undefined;
    const { policy, data } = root as Sb3Root;
    const state = asStateDict(policy);
    if (state === undefined) return undefined;
    const document = parseData(data);
    checkSpaces(document, state);
    const named = ACTIVATION_CLASS.exec(document.policy_kwargs?.activation_fn ?? "")?.[1];
    if (state.has("action_net.weight")) return planPpo(state, named?.toLowerCase() ?? "tanh");
    if (state.has("actor.mu.weight")) {
      return planSac(state, named?.toLowerCase() ?? "relu", document.action_space ?? {});
    }
    return undefined;
  },
};

function parseData(data: string): v.InferOutput<typeof Data> {
  try {
    return v.parse(Data, JSON.parse(data));
  } catch {
    throw new FormatError('entry "data" is not the JSON of a Stable-Baselines3 model');
  }
}

/** Vectors in and out, of the widths that the weights have, and no squashing that is not read. */
function checkSpaces(document: v.InferOutput<typeof Data>, state: StateDict): void {
  const first =
    state.get("mlp_extractor.policy_net.0.weight") ?? state.get("actor.latent_pi.0.weight");
  const last = state.get("action_net.weight") ?? state.get("actor.mu.weight");
  for (const [what, space, size] of [
    ["observation", document.observation_space, first?.shape[1]],
    ["action", document.action_space, last?.shape[0]],
  ] as const) {
    const { ":type:": type = "Box", _shape: shape } = space ?? {};
    const isVector = !shape || size === undefined || String(shape) === String([size]);
    if (/\bBox\b/.test(type) && isVector) continue;
    throw new FormatError(
      `its ${what} space is ${type} of shape [${shape ?? "?"}], need a Box of [${size ?? "N"}]`,
      "UNSUPPORTED",
    );
  }
  if (document.policy_kwargs?.squash_output === true && state.has("action_net.weight")) {
    throw new FormatError(
      "its policy has squash_output, which is not supported for PPO and A2C",
      "UNSUPPORTED",
    );
  }
}

function planPpo(state: StateDict, activation: string): PolicyPlan {
  return {
    layout: "sb3_ppo",
    state,
    parts: ["mlp_extractor.policy_net", "action_net"],
    isOther: (key) => PPO_OTHERS.test(key),
    isNoise: (key) => key === "log_std",
    activation,
  };
}

function planSac(
  state: StateDict,
  activation: string,
  space: { low?: string | undefined; high?: string | undefined },
): PolicyPlan {
  const size = state.get("actor.mu.weight")?.shape[0] ?? 0;
  return {
    layout: "sb3_sac",
    state,
    parts: ["actor.latent_pi", "actor.mu"],
    isOther: (key) => SAC_OTHERS.test(key),
    activation,
    outputActivation: "tanh",
    actionBounds: { low: bounds(space.low, size), high: bounds(space.high, size) },
  };
}

/** The bounds as numpy prints them. */
function bounds(text: string | undefined, size: number): Float32Array {
  const numbers = (text ?? "")
    .replaceAll(/[[\],]/g, " ")
    .trim()
    .split(/\s+/)
    .map(Number);
  const all =
    numbers.length === 1 ? Array.from({ length: size }, () => numbers[0] ?? NaN) : numbers;
  if (text === undefined || all.length !== size || !all.every(Number.isFinite)) {
    throw new FormatError(
      `the action space is from ${text ?? "nothing known"}, need ${size} finite bounds`,
      "UNSUPPORTED",
    );
  }
  return Float32Array.from(all);
}
