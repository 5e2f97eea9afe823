/**
 * What a pickle becomes: plain data that can do nothing.
 *
 * Python's types map to JavaScript's nearest: None → null, int → number (bigint when unsafe),
 * tuple and list → array, dict → Map, set and frozenset → Set, bytes → Uint8Array. A class or a
 * call that is not on the caller's allow-list stays as a description of itself, `Opaque`.
 */

import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";

/** What a caller's hooks may put into the tree, told apart by `kind`. */
export interface PickleLeaf {
  readonly kind: string;
}

/** The name of a class or function; it was never looked up. */
export interface PickleGlobal {
  readonly kind: "global";
  readonly name: string;
}

/** A call that was not made, and what the pickle would have done to its result. */
export interface Opaque<Leaf extends PickleLeaf = never> {
  readonly kind: "opaque";
  /** `module.name` of what would have been called. */
  readonly global: string;
  readonly args: readonly PickleValue<Leaf>[];
  /** Keyword arguments (NEWOBJ_EX). */
  readonly keywords?: ReadonlyMap<PickleValue<Leaf>, PickleValue<Leaf>>;
  /** The argument of BUILD, as a rule the object's `__dict__`. */
  readonly state?: PickleValue<Leaf>;
  /** SETITEMS, as of a dict subclass. */
  readonly items?: readonly (readonly [PickleValue<Leaf>, PickleValue<Leaf>])[];
  /** APPENDS and ADDITEMS, as of a list or set subclass. */
  readonly elements?: readonly PickleValue<Leaf>[];
}

export type PickleValue<Leaf extends PickleLeaf = never> =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Leaf
  | PickleGlobal
  | Opaque<Leaf>
  | readonly PickleValue<Leaf>[]
  | ReadonlyMap<PickleValue<Leaf>, PickleValue<Leaf>>
  | ReadonlySet<PickleValue<Leaf>>;

/** Any value, whatever the leaves are. */
export type AnyValue = PickleValue<PickleLeaf>;

export function isOpaque<Leaf extends PickleLeaf>(value: PickleValue<Leaf>): value is Opaque<Leaf> {
  return kindOf(value) === "opaque";
}

export function isGlobal<Leaf extends PickleLeaf>(value: PickleValue<Leaf>): value is PickleGlobal {
  return kindOf(value) === "global";
}

/** The `kind` of a leaf, global or opaque value; undefined for data. */
export function kindOf(value: AnyValue): string | undefined {
  return typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
}

/** A value's type as Python would call it, for messages. */
export function describeValue(value: AnyValue): string {
  if (value === null) return "None";
  if (Array.isArray(value)) return "a list or tuple";
  if (value instanceof Map) return "a dict";
  if (value instanceof Set) return "a set";
  if (value instanceof Uint8Array) return "bytes";
  if (isGlobal(value)) return `the global ${value.name}`;
  if (isOpaque(value)) return `an object of ${value.global}`;
  return typeof value === "object" ? `a ${kindOf(value)}` : `a ${typeof value}`;
}

/**
 * Refuses a tree that would harm whoever walks it: one that contains itself, is nested too deep,
 * or unfolds by sharing into far more values than the file has (each container is measured once).
 */
export function checkTree(root: AnyValue): void {
  measure(root, 0, new Map());
}

interface Measure {
  readonly height: number;
  readonly values: number;
}

const LEAF: Measure = { height: 0, values: 1 };

function measure(value: AnyValue, depth: number, done: Map<object, Measure | null>): Measure {
  if (!isContainer(value)) return LEAF;
  const known = done.get(value);
  if (known === null) throw new FormatError("pickle: a container contains itself");
  if (known !== undefined) return known;
  if (depth >= LIMITS.pickleDepth) throw tooDeep();
  done.set(value, null);
  let height = 0;
  let values = 1;
  for (const child of children(value)) {
    const inner = measure(child, depth + 1, done);
    height = Math.max(height, inner.height);
    values += inner.values;
  }
  const result = { height: height + 1, values };
  if (result.height > LIMITS.pickleDepth) throw tooDeep();
  if (values > LIMITS.pickleOpcodes) {
    throw new FormatError(
      `pickle: shared containers unfold to more than ${LIMITS.pickleOpcodes} values`,
      "TOO_LARGE",
    );
  }
  done.set(value, result);
  return result;
}

function tooDeep(): FormatError {
  return new FormatError(
    `pickle: containers are nested deeper than ${LIMITS.pickleDepth}`,
    "TOO_LARGE",
  );
}

function isContainer(value: AnyValue): value is AnyValue & object {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || value instanceof Map || value instanceof Set || isOpaque(value);
}

function* children(value: AnyValue): Generator<AnyValue> {
  if (Array.isArray(value) || value instanceof Set) {
    yield* value as Iterable<AnyValue>;
  } else if (value instanceof Map) {
    for (const pair of value as ReadonlyMap<AnyValue, AnyValue>) yield* pair;
  } else if (isOpaque(value)) {
    yield value.args;
    if (value.keywords !== undefined) yield value.keywords;
    if (value.state !== undefined) yield value.state;
    for (const pair of value.items ?? []) yield* pair;
    yield* value.elements ?? [];
  }
}
