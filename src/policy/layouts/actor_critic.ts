/**
 * The blueprint's own ActorCritic: a state dict, plain or under `state_dict`, with the actor as
 * `actor.0.weight`, `actor.0.bias`, `actor.2.weight` … and the critic and noise beside it.
 */

import { FormatError, quote } from "../../base/errors.ts";
import type { TorchFile } from "../../formats/torch.ts";
import type { Activation } from "../activation.ts";
import type { Layer } from "../network.ts";
import {
  asStateDict,
  describeKeys,
  readSequential,
  sequentialPrefix,
  sequentialPrefixes,
  type StateDict,
} from "./state_dict.ts";

export const ACTOR_CRITIC = "actor_critic";

/** First words of a key: the actor, in order of preference, and what stands beside it. */
const ACTOR_WORDS = ["actor", "pi", "policy"];
const CRITIC_WORDS = ["critic", "value", "vf"];
const NOISE_WORDS = ["std", "log_std", "logstd"];

/** Finds the state dict: the root itself, or its entry `state_dict`. */
export function findStateDict(root: unknown): StateDict {
  const inner = root instanceof Map ? root.get("state_dict") : undefined;
  const state = asStateDict(inner ?? root);
  if (state !== undefined) return state;
  throw new FormatError(
    `it holds ${describeRoot(root)}, need an ActorCritic state dict, plain or under "state_dict"`,
    "UNSUPPORTED",
  );
}

/** Reads the actor's layers; refuses a state dict with a network that cannot be placed. */
export function readActorCritic(
  file: TorchFile,
  state: StateDict,
  activation: Activation,
): Layer[] {
  const prefix = findActor(state);
  checkNothingElse(state, prefix);
  return readSequential(file, state, prefix, activation);
}

function findActor(state: StateDict): string {
  const isActor = (prefix: string) => ACTOR_WORDS.includes(prefix.split(".")[0] ?? "");
  const candidates = sequentialPrefixes(state).filter(isActor);
  const [prefix] = candidates;
  if (prefix !== undefined && candidates.length === 1) return prefix;
  throw new FormatError(
    candidates.length === 0
      ? `no actor found among ${describeKeys(state)}, need actor.0.weight, actor.0.bias, …`
      : `several networks could be the actor: ${candidates.map(quote).join(", ")}`,
    "UNSUPPORTED",
  );
}

function checkNothingElse(state: StateDict, actor: string): void {
  for (const key of state.keys()) {
    const words = key.split(".");
    const parent = key.slice(0, -(words.at(-1) ?? "").length);
    const isNoise = NOISE_WORDS.includes(words.at(-1) ?? "") && `${actor}.`.startsWith(parent);
    const isCritic = CRITIC_WORDS.includes(words[0] ?? "");
    if (sequentialPrefix(key) !== actor && !isCritic && !isNoise) {
      throw new FormatError(
        `${quote(key)} is neither actor, critic nor noise, so the policy could be more than ` +
          `${quote(actor)}; this layout is not supported`,
        "UNSUPPORTED",
      );
    }
  }
}

function describeRoot(root: unknown): string {
  if (!(root instanceof Map)) return "no dictionary";
  const keys = [...root.keys()].slice(0, 8).map((key) => quote(key));
  return keys.length === 0 ? "an empty dictionary" : `the keys ${keys.join(", ")}`;
}
