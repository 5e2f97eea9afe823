/**
 * A torch state dict as named tensors, and how tensors are taken out of it.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { type Opaque, type PickleLeaf, isGlobal, isOpaque } from "../../formats/pickle.ts";
import { type DType, toFloat32 } from "../../formats/tensor.ts";
import type { TorchFile, TorchTensor } from "../../formats/torch.ts";

/**
 * What stands in a tensor's place without a reader here: a tensor that is complex, float8, sparse
 * or quantized, or another object, such as a numpy array.
 */
export interface UnreadableTensor {
  readonly kind: "unreadable";
  /** What the file calls it, such as `torch.ComplexFloatStorage`. */
  readonly dtype: string;
  /** Empty where the file does not say it in the usual place. */
  readonly shape: readonly number[];
}

export type StateDict = ReadonlyMap<string, TorchTensor | UnreadableTensor>;

/** What wrappers put before every key: DistributedDataParallel, torch.compile. */
const WRAPPERS = /^(?:module\.|_orig_mod\.)+/;

/**
 * The tensors of a Map with text keys, without the prefixes of wrappers, or undefined if it holds
 * no tensor. Entries that are not tensors stay out. Throws for two keys that are one without them.
 */
export function asStateDict(value: unknown): StateDict | undefined {
  if (!(value instanceof Map)) return undefined;
  const tensors = new Map<string, TorchTensor | UnreadableTensor>();
  for (const [name, entry] of value) {
    if (typeof name !== "string") continue;
    const tensor = asTensor(entry, name.includes(".")) ?? asValue(name, entry);
    if (tensor === undefined) continue;
    const key = name.replace(WRAPPERS, "");
    if (tensors.has(key)) {
      throw new FormatError(`${quote(key)} is there twice, with and without a wrapper's prefix`);
    }
    tensors.set(key, tensor);
  }
  return [...tensors.values()].some(isTensorLike) ? tensors : undefined;
}

/** Entries of a training loop that are no part of a network. */
const BOOKKEEPING =
  /^(?:iter|epoch|step|global_step|infos?|args|config|cfg|hparams|version|seed|lr|learning_rate)/;

/** A number, list or object among tensors may scale an action: it is kept, and cannot be read. */
function asValue(name: string, entry: unknown): UnreadableTensor | undefined {
  const isNumber = typeof entry === "number" || typeof entry === "bigint";
  const isObject = Array.isArray(entry) || (entry as { kind?: unknown } | null)?.kind === "opaque";
  if (BOOKKEEPING.test(name) || !(isNumber || isObject)) return undefined;
  const global = (entry as { global?: string }).global;
  return { kind: "unreadable", dtype: global ?? PLAIN, shape: [] };
}

const PLAIN = "a number or list of Python";

/** A Map of plain numbers is no state dict; one of arrays that cannot be read is. */
function isTensorLike(entry: TorchTensor | UnreadableTensor): boolean {
  return entry.kind === "tensor" || /^(?:torch|numpy)\./.test(entry.dtype);
}

/** Any object is unreadable where the key, `actor.0.weight`, is that of a module's tensor. */
function asTensor(entry: unknown, isModules: boolean): TorchTensor | UnreadableTensor | undefined {
  const value = entry as TorchTensor | Opaque<PickleLeaf> | null;
  if (value?.kind === "tensor") return value;
  if (value?.kind !== "opaque" || !(isModules || REBUILD.test(value.global))) return undefined;
  const [inner] = value.args;
  const isWrapper = value.global.startsWith("torch._utils._rebuild_parameter");
  if (isWrapper && inner !== undefined) return asTensor(inner, isModules);
  const shape = value.args.find(isShape) ?? [];
  return { kind: "unreadable", dtype: typeOf(value), shape };
}

/** What torch pickles as a call that makes a tensor: torch/_utils.py, torch/_tensor.py. */
const REBUILD = /^torch\._(?:utils|tensor)\._rebuild_\w+$/;

/** The type named last is the most exact: v3 has a storage without type and then a dtype. */
function typeOf({ global, args }: Opaque<PickleLeaf>): string {
  const types = args.flatMap((value) => {
    if (isGlobal(value)) return value.name;
    return isOpaque(value) ? value.global : [];
  });
  const name = types.findLast((type) => /^torch\.(?!Size$)\w+$/.test(type));
  return name === undefined || !global.startsWith("torch._utils._rebuild_tensor") ? global : name;
}

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(Number.isSafeInteger);
}

/** Whether a key is `prefix` itself or begins with it and a dot. */
export function isUnder(key: string, prefix: string): boolean {
  return key === prefix || key.startsWith(`${prefix}.`);
}

/** The key `name` under `prefix`, which is empty at the root. */
export function keyUnder(prefix: string, name: string | number): string {
  return prefix === "" ? `${name}` : `${prefix}.${name}`;
}

/** Characters of a key in a message. */
const KEY_SHOWN = 100;

/** A few keys with shapes for a message: `actor.0.weight [256, 45], … (12 in all)`. */
export function describeKeys(state: StateDict): string {
  const shown = [...state.entries().take(6)].map(([name, { shape }]) => {
    const key = name.length <= KEY_SHOWN ? name : `${name.slice(0, KEY_SHOWN)}…`;
    return `${key} [${shape.join(", ")}]`;
  });
  const more = state.size > shown.length ? `, … (${state.size} in all)` : "";
  return shown.join(", ") + more;
}

const LAYER_KEY = /^(?:(?<prefix>.+)\.)?(?<index>\d+)\.(?:weight|bias)$/;

/** Prefixes under which the keys look like a `nn.Sequential`; "" is that of one saved by itself. */
export function sequentialPrefixes(state: StateDict): string[] {
  const prefixes = [...state.keys()].flatMap((key) => {
    const groups = LAYER_KEY.exec(key)?.groups;
    return groups === undefined ? [] : (groups.prefix ?? "");
  });
  return [...new Set(prefixes)];
}

/** Indices of the modules with parameters under `prefix`, ascending. */
export function layerIndices(state: StateDict, prefix: string): number[] {
  const indices = new Set<number>();
  for (const key of state.keys()) {
    const groups = LAYER_KEY.exec(key)?.groups;
    if (groups !== undefined && (groups.prefix ?? "") === prefix) {
      indices.add(Number(groups.index));
    }
  }
  return [...indices].sort((a, b) => a - b);
}

/** Whether the tensor holds numbers with a fraction; counters and masks do not. */
const FLOATS: readonly DType[] = ["float16", "bfloat16", "float32", "float64"];

/**
 * A tensor's numbers as float32; refuses a missing key, another shape, another type than floating
 * point, and what is not finite.
 */
export function readTensor(
  file: TorchFile,
  state: StateDict,
  key: string,
  shape?: readonly number[],
): Float32Array {
  const tensor = state.get(key);
  if (tensor === undefined) {
    throw new FormatError(`it has no ${quote(key)}, found ${describeKeys(state)}`);
  }
  if (tensor.kind === "unreadable" || !FLOATS.includes(tensor.dtype)) {
    throw new FormatError(
      `${quote(key)} holds ${tensor.dtype}, need a tensor of ${FLOATS.join(", ")}`,
      "UNSUPPORTED",
    );
  }
  if (shape !== undefined && tensor.shape.join() !== shape.join()) {
    throw new FormatError(
      `${quote(key)} has shape [${tensor.shape.join(", ")}], need [${shape.join(", ")}]`,
    );
  }
  const values = toFloat32(file.load(tensor));
  const index = values.findIndex((value) => !Number.isFinite(value));
  if (index >= 0) {
    throw new FormatError(`${quote(key)} holds ${values[index]} at element ${index}, need numbers`);
  }
  return values;
}

/** A vector, whatever dimensions of 1 it has around it. */
export function readVector(file: TorchFile, state: StateDict, key: string): Float32Array {
  const shape = state.get(key)?.shape ?? [];
  if (shape.filter((size) => size !== 1).length > 1) {
    throw new FormatError(`${quote(key)} has shape [${shape.join(", ")}], need a vector`);
  }
  return readTensor(file, state, key);
}
