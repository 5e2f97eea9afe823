/**
 * rsl_rl from 4.0 on: `actor_state_dict` (or `student_state_dict` after distillation) with
 * `mlp.*`, for recurrent policies `rnn.rnn.*` before it, `obs_normalizer.*`, and the noise as
 * `std`, `log_std` or `distribution.*`.
 */

import { checkBeside } from "./beside.ts";
import type { Layout, NormalizerPlan } from "./plan.ts";
import { asStateDict, type StateDict } from "./state_dict.ts";

const NOISE = /^(?:std|log_std|distribution\.(?:std_param|log_std_param))$/;

/** eps of rsl_rl/modules/normalization.py, EmpiricalNormalization; the same in all versions. */
const EPSILON = 1e-2;

/** Buffers of it, of which nothing else is needed. */
const BUFFER = /^(?:_mean|_var|_std|count)$/;

/** Whether a key is one of the buffers under `prefix`. */
export function isNormalizerBuffer(key: string, prefix: string): boolean {
  return key.startsWith(`${prefix}.`) && BUFFER.test(key.slice(prefix.length + 1));
}

/** rsl_rl's EmpiricalNormalization, whose buffers are `_mean`, `_var`, `_std` and `count`. */
export function empiricalNormalizer(
  state: StateDict | undefined,
  prefix: string,
): NormalizerPlan | undefined {
  const at = prefix === "" ? "" : `${prefix}.`;
  if (state === undefined || !state.has(`${at}_mean`)) return undefined;
  const names = { mean: `${at}_mean`, spread: `${at}_std` };
  return { state, ...names, form: "std", library: "rsl_rl", epsilon: EPSILON };
}

export const RSL_RL: Layout = {
  name: "rsl_rl",
  keys: ["actor_state_dict", "actor_state_dict.mlp.0.weight"],
  plan(root) {
    if (!(root instanceof Map)) return undefined;
    const state =
      asStateDict(root.get("actor_state_dict")) ?? asStateDict(root.get("student_state_dict"));
    if (state === undefined) return undefined;
    checkBeside(root, /^(?:actor|student)_state_dict$|^infos$/);
    const normalizer = empiricalNormalizer(state, "obs_normalizer");
    const keys = [...state.keys()];
    return {
      layout: "rsl_rl",
      state,
      ...(state.has("rnn.rnn.weight_ih_l0") ? { memory: "rnn.rnn" } : {}),
      parts: ["mlp"],
      ...(normalizer === undefined ? {} : { normalizer }),
      isOther: (key) =>
        NOISE.test(key) || (normalizer !== undefined && isNormalizerBuffer(key, "obs_normalizer")),
      isNoise: (key) => NOISE.test(key),
      isTwofold: !keys.some((key) => NOISE.test(key)),
    };
  },
};
