/**
 * Why no layout was found: what the checkpoint holds, tallied by the first word of its keys, and
 * what the layouts that come nearest would need beside it.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { plain, plural, shapeText } from "../../base/text.ts";
import type { Layout } from "./plan.ts";
import { asStateDict, type StateDict } from "./state_dict.ts";
import { describeScript } from "./torchscript.ts";

/** Lines of what it holds, and layouts that are held against it. */
const GROUPS_SHOWN = 8;
const NEAREST = 2;

/** The first line is the verdict; a list follows where there are keys. */
export function unknownLayout(
  root: unknown,
  layouts: readonly Layout[],
  actor: string | undefined,
): FormatError {
  const verdict =
    actor === undefined
      ? `${describeRoot(root)}, which is no layout known`
      : `${describeRoot(root)}, in which --actor ${quote(actor)} names no policy`;
  if (!(root instanceof Map) || root.size === 0) {
    const need = "need a state dict with an actor, or TorchScript";
    return new FormatError(`${verdict}, ${need}`, "UNSUPPORTED");
  }
  const keys = allKeys(root);
  const missing = layouts
    .map(({ name, keys: needed }) => ({
      name,
      has: needed.filter((key) => keys.has(key)),
      lacks: needed.filter((key) => !keys.has(key)),
    }))
    .filter(({ lacks }) => lacks.length > 0)
    .sort((a, b) => b.has.length - a.has.length || a.lacks.length - b.lacks.length)
    .slice(0, NEAREST)
    .map(({ name, has, lacks }) => {
      const beside = has.length === 0 ? "" : `, beside ${has.join(", ")}`;
      return `${name} needs ${lacks.join(", ")}${beside}`;
    });
  const lines = [
    ...describeGroups(root),
    ...missing,
    "--actor PREFIX names the network; layers outside of an nn.Sequential have no order here: save",
    "TorchScript (torch.jit.script) instead; lite3rl inspect lists every tensor",
  ];
  return new FormatError([verdict, ...lines].join("\n  "), "UNSUPPORTED");
}

/** One line: what kind of thing it is. */
function describeRoot(root: unknown): string {
  const script = describeScript(root);
  if (script !== undefined) return `it holds ${script}`;
  const opaque = (root as { global?: string } | null)?.global;
  if (opaque !== undefined) {
    return `it holds a pickled object of ${plain(opaque)} (save its state_dict() instead)`;
  }
  if (!(root instanceof Map)) return "it holds no dictionary";
  if (root.size === 0) return "it holds an empty dictionary";
  const state = asStateDict(root);
  return state === undefined
    ? `it holds ${plural(root.size, "entry").replace("entrys", "entries")}`
    : `it holds ${plural(state.size, "tensor")}`;
}

/** Keys at the root, and those of state dicts below it after a dot. */
function allKeys(root: ReadonlyMap<unknown, unknown>): Set<string> {
  const keys = new Set(asStateDict(root)?.keys());
  for (const [key, value] of root) {
    keys.add(String(key));
    for (const name of asStateDict(value)?.keys() ?? []) keys.add(`${String(key)}.${name}`);
  }
  return keys;
}

/** `actor.*: 6 tensors, such as actor.0.weight [16, 10]`, one line for each first word. */
function describeGroups(root: ReadonlyMap<unknown, unknown>): string[] {
  const own = asStateDict(root);
  const groups =
    own === undefined
      ? [...root].map(([key, value]) => describeEntry(String(key), asStateDict(value)))
      : [...byFirstWord(own)].map(([word, state]) => describeEntry(word, state));
  const shown = groups.slice(0, GROUPS_SHOWN);
  return groups.length === shown.length
    ? shown
    : [...shown, `… and ${groups.length - shown.length} more`];
}

function byFirstWord(state: StateDict): Map<string, StateDict> {
  const groups = new Map<string, Map<string, ReturnType<StateDict["get"]> & object>>();
  for (const [key, tensor] of state) {
    const word = key.split(".", 1)[0] ?? key;
    const group = groups.get(word) ?? new Map<string, ReturnType<StateDict["get"]> & object>();
    groups.set(word, group.set(key, tensor));
  }
  return groups;
}

function describeEntry(word: string, state: StateDict | undefined): string {
  const [first] = state ?? [];
  if (state === undefined || first === undefined) return `${plain(word)}: no tensors`;
  const [key, { shape }] = first;
  const such = state.size === 1 ? "" : "such as ";
  const count = plural(state.size, "tensor");
  return `${plain(word)}: ${count}, ${such}${plain(key)} ${shapeText(shape)}`;
}
