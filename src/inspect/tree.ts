/**
 * What a checkpoint or pickle holds at its root, and the tensors in it, as one line per key. Walks
 * plain data only, each container once.
 */

import type { TorchTensor } from "../formats/torch.ts";
import { plain, plural, shapeText, tally, tallyText } from "../base/text.ts";
import type { Fact } from "./finding.ts";

/** One key of the root. */
export interface TreeEntry {
  readonly key: string;
  /** In words: `dict of 8 tensors`, `100`, `object of module.Class`. */
  readonly holds: string;
  readonly tensors: number;
  /** Elements of those tensors. */
  readonly elements: number;
}

export interface Tree {
  readonly root: string;
  readonly entries: readonly TreeEntry[];
  /** Entries left out. */
  readonly more: number;
  readonly tensors: number;
  readonly elements: number;
  /** Tensors per element type. */
  readonly dtypes: Readonly<Record<string, number>>;
}

export interface NamedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

const ENTRIES_MAX = 64;
/** What `describeNode` says of one. */
const TENSOR = /^\w+ \[[\d, ]*\]$/;

export function describeTree(root: unknown): Tree {
  const tensors = [...walkTensors(root)];
  const pairs = root instanceof Map ? [...root] : [];
  return {
    root: describeNode(root),
    entries: pairs.slice(0, ENTRIES_MAX).map(([key, value]) => describeEntry(key, value)),
    more: Math.max(0, pairs.length - ENTRIES_MAX),
    tensors: tensors.length,
    elements: countElements(tensors),
    dtypes: tally(tensors.map(({ dtype }) => dtype)),
  };
}

/** The tensors by their path in the tree: `actor_state_dict.mlp.0.weight`. */
export function listTensors(root: unknown, countMax: number): NamedTensor[] {
  const named: NamedTensor[] = [];
  const visit = (value: unknown, path: string): void => {
    if (named.length >= countMax) return;
    if (isTensor(value)) named.push({ name: path, dtype: value.dtype, shape: value.shape });
    else if (value instanceof Map) {
      for (const [key, inner] of value) visit(inner, path === "" ? `${key}` : `${path}.${key}`);
    }
  };
  visit(root, "");
  return named;
}

export function treeFacts(tree: Tree): Fact[] {
  if (tree.entries.length === 0) return [["holds", tree.root]];
  if (tree.entries.every(({ holds }) => TENSOR.test(holds))) {
    return [["holds", `a state dict of ${tree.entries.length + tree.more} tensors`]];
  }
  const shown = tree.entries.slice(0, 12);
  const rest = tree.entries.length - shown.length + tree.more;
  return [
    ...shown.map(({ key, holds }, i): Fact => [
      i === 0 ? "holds" : "",
      `${plain(key, 60)}: ${holds}`,
    ]),
    ...(rest > 0 ? [["", `and ${plural(rest, "more key")}`] as const] : []),
  ];
}

export function tensorFact({ tensors, elements, dtypes }: Tree): Fact {
  return ["tensors", `${tensors} with ${elements} numbers (${tallyText(dtypes) || "none"})`];
}

function describeEntry(key: unknown, value: unknown): TreeEntry {
  const tensors = [...walkTensors(value)];
  return {
    key: String(typeof key === "object" ? describeNode(key) : key),
    holds: describeNode(value),
    tensors: tensors.length,
    elements: countElements(tensors),
  };
}

function describeNode(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "string") return plain(JSON.stringify(value), 60);
  if (typeof value !== "object") return plain(String(value), 60);
  if (isTensor(value)) return `${value.dtype} ${shapeText(value.shape)}`;
  if (value instanceof Map) return describeDict(value);
  if (value instanceof Set) return `set of ${value.size}`;
  if (value instanceof Uint8Array) return plural(value.length, "byte");
  if (Array.isArray(value)) return `list of ${value.length}`;
  const { kind, global, name } = value as { kind?: unknown; global?: unknown; name?: unknown };
  if (kind === "opaque") return `object of ${plain(String(global))}`;
  return kind === "global" ? plain(String(name)) : plain(String(kind));
}

function describeDict(value: ReadonlyMap<unknown, unknown>): string {
  const tensors = [...walkTensors(value)].length;
  if (value.size === 0) return "empty dict";
  return tensors === 0
    ? `dict of ${value.size}`
    : `dict of ${value.size}, ${plural(tensors, "tensor")}`;
}

/** Every tensor below `root`, in order; what is shared is met once. */
function* walkTensors(root: unknown, met = new Set<object>()): Generator<TorchTensor> {
  if (typeof root !== "object" || root === null || met.has(root)) return;
  met.add(root);
  if (isTensor(root)) yield root;
  else if (root instanceof Map) for (const value of root.values()) yield* walkTensors(value, met);
  else if (Array.isArray(root)) for (const value of root) yield* walkTensors(value, met);
  else if (isOpaque(root)) {
    for (const part of [root.args, root.state, root.elements, root.items]) {
      yield* walkTensors(part, met);
    }
  }
}

function countElements(tensors: readonly TorchTensor[]): number {
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

function isTensor(value: unknown): value is TorchTensor {
  return (value as { kind?: unknown } | null)?.kind === "tensor";
}

interface OpaqueNode {
  readonly args?: unknown;
  readonly state?: unknown;
  readonly elements?: unknown;
  readonly items?: unknown;
}

const isOpaque = (value: object): value is OpaqueNode =>
  (value as { kind?: unknown }).kind === "opaque";
