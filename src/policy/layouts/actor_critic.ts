/**
 * The blueprint's own ActorCritic and its common variants: a state dict, plain or under
 * `state_dict`, with the actor as one `nn.Sequential` (`actor.0.weight`, `actor.net.0.weight`,
 * `pi.0.weight`, …) or as a trunk and a head, and the critic and noise beside it; a dictionary of
 * state dicts, `actor` and `critic`; and a Sequential that is all there is.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { notice, warn } from "../../base/log.ts";
import { checkBeside } from "./beside.ts";
import { joinStateDicts, withoutCommonWord } from "./dictionary.ts";
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
  keys: ["actor.0.weight"],
  plan(root, actor) {
    if (!(root instanceof Map)) return undefined;
    const inner = HOLDERS.map((key) => asStateDict(root.get(key))).find(Boolean);
    if (inner !== undefined) {
      const found = findPolicy(inner, actor);
      if (found !== undefined) checkBeside(root, KNOWN);
      return found;
    }
    const holder = HOLDERS.find((key) => isNested(root.get(key)));
    const nested: unknown = isNested(root) ? root : root.get(holder);
    const found = nested instanceof Map ? findNested(nested, actor) : undefined;
    if (found !== undefined) {
      if (nested !== root) checkBeside(root, KNOWN);
      return found;
    }
    const state = asStateDict(root);
    return state && findPolicy(state, actor);
  },
};

/** Where a state dict is kept beside other things. */
const HOLDERS = ["state_dict", "model_state_dict", "model", "policy"];
const KNOWN = new RegExp(`^(?:${HOLDERS.join("|")})$`);

/** A dictionary of state dicts, one of them the actor's. */
function isNested(value: unknown): boolean {
  if (!(value instanceof Map)) return false;
  return [...value].some(([key, inner]) => ACTOR_WORDS.test(String(key)) && asStateDict(inner));
}

const NESTED = new RegExp([ACTOR_WORDS, CRITIC_WORDS, NOISE].map(({ source }) => source).join("|"));

function findNested(
  root: ReadonlyMap<unknown, unknown>,
  actor: string | undefined,
): PolicyPlan | undefined {
  const found = findPolicy(
    joinStateDicts(root, (key) => NESTED.test(key)),
    actor,
  );
  if (found !== undefined) checkBeside(root, NESTED);
  return found;
}

/** Modules around a whole policy: a key of a million words is an attack. */
const WORDS_MAX = 4;

/** The actor by its words; without them the only network; and both below a word of all keys. */
function findPolicy(
  state: StateDict,
  actor: string | undefined,
  depth: number = WORDS_MAX,
): PolicyPlan | undefined {
  const isOver = depth === 0 || NO_POLICY.test(firstWord(state));
  const inner = isOver ? undefined : withoutCommonWord(state);
  const isHolder = inner !== undefined && [...inner.keys()].some((key) => CRITIC_WORDS.test(key));
  const plan = (found: Found | undefined): PolicyPlan | undefined =>
    found && { layout: "actor_critic", state, ...found };
  return (
    (isHolder ? findPolicy(inner, actor, depth - 1) : undefined) ??
    plan(findActor(state, actor)) ??
    plan(actor === undefined ? findOnly(state) : undefined) ??
    (inner && findPolicy(inner, actor, depth - 1))
  );
}

const firstWord = (state: StateDict): string => [...state.keys()][0]?.split(".", 1)[0] ?? "";

type Found = Pick<PolicyPlan, "parts" | "isOther" | "isNoise">;

/** Networks that give values, of states or of actions, and others that are no policy. */
const NO_POLICY =
  /(?:^|[._])(?:critic|value|vf|v|q|qs|qf\d*|q\d+|target|disc|discriminator|encoder|teacher)(?:$|[._])/;

/** A Sequential by itself, under whatever name: what else could it be saved for? */
function findOnly(state: StateDict): Found | undefined {
  const [prefix, ...others] = sequentialPrefixes(state);
  if (prefix === undefined || others.length > 0 || NO_POLICY.test(prefix)) return undefined;
  const parts = [prefix];
  const isNoise = (key: string): boolean => isNoiseOf(parts, key);
  const isPart = (key: string): boolean => prefix === "" || isUnder(key, prefix);
  if (![...state.keys()].every((key) => isPart(key) || isNoise(key))) return undefined;
  notice(
    prefix === ""
      ? "taking the Sequential as the actor: it is all there is"
      : `taking ${quote(prefix)} as the actor: it is the only network`,
  );
  return { parts, isOther: isNoise, isNoise };
}

function findActor(state: StateDict, named: string | undefined): Found | undefined {
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
  // The first word tells, unless it is the actor's own.
  const depth = (key: string): number => (isUnder(named, key.split(".", 1)[0] ?? "") ? 2 : 1);
  const words = [...new Set(others.map((key) => key.split(".", depth(key)).join(".")))];
  const parts = words.filter((word) => !NOISE.test(word.split(".").at(-1) ?? ""));
  if (parts.length === 0) return;
  const more = parts.length > 8 ? ` and ${parts.length - 8} more` : "";
  warn(
    `--actor ${named} is taken as the whole policy, without ${parts.slice(0, 8).join(", ")}${more}`,
  );
}

/** What --actor cannot say away: it would stand between the observation and the actor. */
const BEFORE_THE_ACTOR = /norm|running_mean|rms|(?:^|[._])(?:rnn|lstm|gru|memory)/;

/** Beside the actor or in it: `obs_normalizer.std` is no noise. */
function isNoiseOf(parts: readonly string[], key: string): boolean {
  const word = key.split(".").at(-1) ?? "";
  const parent = key.slice(0, -word.length);
  const isBeside = parent === "" || parts.some((part) => `${part}.`.startsWith(parent));
  return NOISE.test(word) && (isBeside || DISTRIBUTION.test(parent));
}
