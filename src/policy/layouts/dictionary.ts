/**
 * Dictionaries of a checkpoint: of any class that Python has for them, and one within the other.
 */

import { type Opaque, type PickleLeaf, isOpaque } from "../../formats/pickle.ts";
import { isTensor } from "../../formats/torch_tensor.ts";
import type { TorchValue } from "../../formats/torch.ts";
import { asStateDict, type StateDict } from "./state_dict.ts";

/** Dictionaries within dictionaries that layouts look into. */
const DEPTH = 3;

/**
 * The value with `defaultdict`s and subclasses of `dict` as Maps: whatever their class is called,
 * what was put into them is data.
 */
export function asDictionaries(value: unknown, depth: number = DEPTH): unknown {
  const pairs = value instanceof Map ? [...value] : itemsOf(value);
  if (pairs === undefined || depth === 0) return value;
  return new Map(pairs.map(([key, inner]) => [key, asDictionaries(inner, depth - 1)]));
}

function itemsOf(value: unknown): Opaque<PickleLeaf>["items"] {
  return value instanceof Object && isOpaque(value as Opaque) ? (value as Opaque).items : undefined;
}

/** One state dict of the entries that `isPart` takes: `actor` and `0.weight` are `actor.0.weight`. */
export function joinStateDicts(
  root: ReadonlyMap<unknown, unknown>,
  isPart: (key: string) => boolean,
): StateDict {
  const joined = new Map<string, ReturnType<StateDict["get"]> & object>();
  for (const [key, value] of root) {
    if (typeof key !== "string" || !isPart(key)) continue;
    const own = value as TorchValue;
    if (isTensor(own)) joined.set(key, own);
    for (const [name, tensor] of asStateDict(value) ?? []) joined.set(`${key}.${name}`, tensor);
  }
  return joined;
}

/**
 * The same tensors without the first word of their keys, where all have the same one: what holds
 * the whole policy (`model.actor.0.weight`) says nothing of it.
 */
export function withoutCommonWord(state: StateDict): StateDict | undefined {
  const words = new Set([...state.keys()].map((key) => key.split(".", 1)[0]));
  const [word = ""] = words;
  if (words.size !== 1 || state.has(word)) return undefined;
  return new Map([...state].map(([key, tensor]) => [key.slice(word.length + 1), tensor]));
}
