/**
 * rl_games: `model` with `a2c_network.actor_mlp.*` and the head `a2c_network.mu`; observations are
 * normalised by `running_mean_std` in double precision and cut off at ±5.
 */

import { FormatError, quote } from "../../base/errors.ts";
import type { Layout, NormalizerPlan, PolicyPlan } from "./plan.ts";
import { asStateDict, type StateDict } from "./state_dict.ts";

/** eps and limit of rl_games/algos_torch/running_mean_std.py. */
const EPSILON = 1e-5;
const LIMIT = 5;

const TRUNK = "a2c_network.actor_mlp";
const HEAD = "a2c_network.mu";
/** One RNN for both, or the actor's own; each may have a LayerNorm behind it. */
const MEMORIES = [
  { memory: "a2c_network.rnn.rnn", norm: "a2c_network.layer_norm" },
  { memory: "a2c_network.a_rnn.rnn", norm: "a2c_network.a_layer_norm" },
] as const;

const OTHERS =
  /^(?:a2c_network\.(?:value|sigma|critic_mlp|c_rnn|c_layer_norm)|value_mean_std|reward_)/;
const NORMALIZER = "running_mean_std";
const BUFFER = /^running_mean_std\.(?:running_mean|running_var|count)$/;

export const RL_GAMES: Layout = {
  name: "rl_games",
  keys: ["model", "model.a2c_network.actor_mlp.0.weight", "model.a2c_network.mu.weight"],
  plan(root) {
    const state = root instanceof Map ? asStateDict(root.get("model")) : undefined;
    if (!state?.has(`${HEAD}.weight`)) return undefined;
    const normalizer = findNormalizer(root as ReadonlyMap<unknown, unknown>, state);
    return {
      layout: "rl_games",
      state,
      ...findMemory(state),
      parts: [TRUNK, HEAD],
      ...(normalizer === undefined ? {} : { normalizer }),
      isOther: (key) => OTHERS.test(key) || (normalizer?.state === state && BUFFER.test(key)),
      isNoise: (key) => key === "a2c_network.sigma",
    };
  },
};

/** In the model; in files of old versions beside it. */
function findNormalizer(
  root: ReadonlyMap<unknown, unknown>,
  model: StateDict,
): NormalizerPlan | undefined {
  const beside = asStateDict(root.get(NORMALIZER));
  const state = beside ?? model;
  const at = beside === undefined ? `${NORMALIZER}.` : "";
  if (beside === undefined && !model.has(`${at}running_mean`)) return undefined;
  return {
    state,
    mean: `${at}running_mean`,
    spread: `${at}running_var`,
    form: "var",
    limit: LIMIT,
    library: "rl_games",
    epsilon: EPSILON,
  };
}

/** The RNN comes after the MLP unless `before_mlp` said otherwise: only the shapes tell. */
function findMemory(state: StateDict): Pick<PolicyPlan, "memory" | "memoryBefore" | "memoryNorm"> {
  const found = MEMORIES.find(({ memory }) => state.has(`${memory}.weight_ih_l0`));
  if (found === undefined) return {};
  const { memory, norm } = found;
  const memoryNorm = state.has(`${norm}.weight`) ? { memoryNorm: norm } : {};
  const width = (key: string): number | undefined => state.get(key)?.shape[1];
  const hidden = width(`${memory}.weight_hh_l0`);
  const isLast = width(`${HEAD}.weight`) === hidden;
  const isFirst = width(`${TRUNK}.0.weight`) === hidden;
  if (isFirst !== isLast) return { memory, memoryBefore: isLast ? 1 : 0, ...memoryNorm };
  throw new FormatError(
    `${quote(memory)} may stand before or after ${quote(TRUNK)}: the shapes fit ` +
      `${isFirst ? "both" : "neither"}`,
    "UNSUPPORTED",
  );
}
