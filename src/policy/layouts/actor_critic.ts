/**
 * The blueprint's own ActorCritic and its common variants: a state dict, plain or under
 * `state_dict`, with the actor as one `nn.Sequential` (`actor.0.weight`, `actor.net.0.weight`,
 * `pi.0.weight`, …) or as a trunk and a head, and the critic and noise beside it.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { warn } from "../../base/log.ts";
import { checkBeside } from "./beside.ts";
import type { Layout, PolicyPlan } from "./plan.ts";
import { asStateDict, isUnder, sequentialPrefixes, type StateDict } from "./state_dict.ts";

/** First words of a key: the actor's, and what stands beside it. */
const ACTOR_WORDS = /^(?:actor|pi|policy|trunk|backbone|shared|body|base)(?:$|[._])/;
const CRITIC_WORDS = /^(?:critic|value|vf|v)(?:$|[._])/;
const NOISE = /^(?:(?:actor|pi|policy|action)_)?(?:std|log_?stds?|sigma)$/;
/** Parents of noise that is not in the actor. */
const DISTRIBUTION = /^(?:dist|distribution|action_dist)\.$/;
/** Last word of a Linear that gives the action. */
const HEAD_WORDS =
  /^(?:actor|pi|policy|mu|mean|action_net)$|[._](?:head|mu|mean|out|output|action|action_mean|fc_mu)$/;

export const ACTOR_CRITIC: Layout = {
  name: "actor_critic",
  wants: "a state dict, plain or under state_dict, with actor.0.weight, actor.0.bias, …",
  plan(root, actor) {
    if (!(root instanceof Map)) return undefined;
    const inner = HOLDERS.map((key) => asStateDict(root.get(key))).find(Boolean);
    const state = inner ?? asStateDict(root);
    const found = state && findActor(state, actor);
    if (state === undefined || found === undefined) return undefined;
    if (inner !== undefined) checkBeside(root, KNOWN);
    return { layout: "actor_critic", state, ...found };
  },
};

/** Where a state dict is kept beside other things. */
const HOLDERS = ["state_dict", "model_state_dict", "model", "policy"];
const KNOWN = new RegExp(`^(?:${HOLDERS.join("|")})$`);

function findActor(
  state: StateDict,
  named: string | undefined,
): Pick<PolicyPlan, "parts" | "isOther" | "isNoise"> | undefined {
  const isActor = (prefix: string): boolean =>
    named === undefined ? ACTOR_WORDS.test(prefix) : isUnder(prefix, named);
  const trunks = sequentialPrefixes(state).filter(isActor);
  const heads = [...state.keys()]
    .filter((key) => key.endsWith(".weight"))
    .map((key) => key.slice(0, -".weight".length))
    .filter((name) => HEAD_WORDS.test(name))
    .filter((name) => (named === undefined ? !CRITIC_WORDS.test(name) : isUnder(name, named)));
  if (trunks.length === 0 && heads.length === 0) return undefined;
  if (trunks.length > 1 || heads.length > 1) {
    const all = [...trunks, ...heads];
    const shown = all.slice(0, 8).map(quote).join(", ");
    const candidates = all.length > 8 ? `${shown} and ${all.length - 8} more` : shown;
    throw new FormatError(
      `several networks could be the actor: ${candidates}; name one with --actor`,
      "UNSUPPORTED",
    );
  }
  const parts = [...trunks, ...heads];
  if (named !== undefined) sayWhatIsLeftOut(state, named);
  const isNoise = (key: string): boolean => isNoiseOf(parts, key);
  const isOther = (key: string): boolean =>
    isNoise(key) ||
    (named === undefined
      ? CRITIC_WORDS.test(key)
      : !isUnder(key, named) && !BEFORE_THE_ACTOR.test(key));
  return { parts, isOther, isNoise };
}

/** `--actor` is the user's word that the rest is not the policy's; it is named all the same. */
function sayWhatIsLeftOut(state: StateDict, named: string): void {
  const others = [...state.keys()].filter((key) => !isUnder(key, named) && !CRITIC_WORDS.test(key));
  const words = [...new Set(others.map((key) => key.split(".")[0] ?? key))];
  const parts = words.filter((word) => !NOISE.test(word));
  if (parts.length > 0) warn(`--actor ${named} leaves out ${parts.slice(0, 8).join(", ")}`);
}

/** What --actor cannot say away: it would stand between the observation and the actor. */
const BEFORE_THE_ACTOR = /norm|running_mean|rms|(?:^|[._])(?:rnn|lstm|gru|memory)/;

/** Beside the actor or in it: `obs_normalizer.std` is no noise. */
function isNoiseOf(parts: readonly string[], key: string): boolean {
  const word = key.split(".").at(-1) ?? "";
  const parent = key.slice(0, -word.length);
  const isBeside = parts.some((part) => `${part}.`.startsWith(parent));
  return NOISE.test(word) && (isBeside || DISTRIBUTION.test(parent));
}
