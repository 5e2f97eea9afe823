/**
 * rsl_rl up to 3.3 and legged_gym: `model_state_dict` with `actor.*` (or `student.*` after
 * distillation), for recurrent policies `memory_a.rnn.*` before it, and the normalizer as a
 * top-level `obs_norm_state_dict` (2.x) or as `actor_obs_normalizer.*` in the state dict (3.x).
 */

import { FormatError } from "../../base/errors.ts";
import { checkBeside } from "./beside.ts";
import type { Layout } from "./plan.ts";
import { empiricalNormalizer, isNormalizerBuffer } from "./rsl_rl.ts";
import { asStateDict, describeKeys } from "./state_dict.ts";

const NOISE = /^(?:std|log_std)$/;
/** Networks that stand beside the policy. */
const OTHERS =
  /^(?:critic|memory_c|teacher|memory_t|(?:critic|teacher)_obs_normalizer|rnd|predictor|target)\./;

const KNOWN = /^model_state_dict$|^infos$|^(?:critic_|privileged_)?obs_norm_state_dict$/;

export const RSL_RL_LEGACY: Layout = {
  name: "rsl_rl_legacy",
  keys: ["model_state_dict", "model_state_dict.actor.0.weight", "infos"],
  plan(root) {
    if (!(root instanceof Map) || !root.has("infos")) return undefined;
    const state = asStateDict(root.get("model_state_dict"));
    const keys = [...(state?.keys() ?? [])];
    const isStudent = keys.some((key) => key.startsWith("student."));
    const part = isStudent ? "student" : "actor";
    if (state === undefined || !keys.some((key) => key.startsWith(`${part}.`))) return undefined;
    checkBeside(root, KNOWN);
    const memory = isStudent ? "memory_s.rnn" : "memory_a.rnn";
    const inside = `${part}_obs_normalizer`;
    const beside = asStateDict(root.get("obs_norm_state_dict"));
    const normalizer = empiricalNormalizer(state, inside) ?? empiricalNormalizer(beside, "");
    if (normalizer === undefined && beside !== undefined) {
      throw new FormatError(
        `its obs_norm_state_dict has ${describeKeys(beside)}, need _mean and _std of rsl_rl`,
        "UNSUPPORTED",
      );
    }
    const isNormalizers = (key: string): boolean =>
      normalizer?.state === state && isNormalizerBuffer(key, inside);
    return {
      layout: "rsl_rl_legacy",
      state,
      ...(state.has(`${memory}.weight_ih_l0`) ? { memory } : {}),
      parts: [part],
      ...(normalizer === undefined ? {} : { normalizer }),
      isOther: (key) => NOISE.test(key) || OTHERS.test(key) || isNormalizers(key),
      isNoise: (key) => NOISE.test(key),
      isTwofold: !keys.some((key) => NOISE.test(key)) && !isStudent,
    };
  },
};
