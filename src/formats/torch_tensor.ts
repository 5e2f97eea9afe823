/**
 * Tensors as torch pickles them, whatever the container: a storage named by a persistent id, and
 * views of it made by `torch._utils._rebuild_tensor_v2`.
 *
 * This is the allow-list of every torch pickle: tensors, parameters and storages become what they
 * are, and all else stays `Opaque`. A view is held against its storage before anything is
 * allocated; that the storage is in the file is the container's to check.
 */

import { assert } from "../base/assert.ts";
import { FormatError, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type PickleHooks, type PickleValue, isGlobal } from "./pickle.ts";
import { kindOf } from "./pickle_value.ts";
import {
  type DType,
  type Tensor,
  countElements,
  decodeElements,
  elementBytes,
  gatherElements,
} from "./tensor.ts";

/** A view of a storage; `load` reads its elements. Sizes, strides and offset count elements. */
export interface TorchTensor {
  readonly kind: "tensor";
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  readonly storageKey: string;
  readonly storageElements: number;
  /** Where a TorchScript archive has the storage, if not in `data`. */
  readonly folder?: "constants";
}

/** The elements that tensors share. */
export interface TorchStorage {
  readonly kind: "storage";
  readonly dtype: DType;
  readonly key: string;
  readonly elements: number;
  /** The part that tensors see, where a legacy file cuts one out of the whole. */
  readonly part?: { readonly start: number; readonly elements: number };
  readonly folder?: "constants";
}

export type TorchValue = PickleValue<TorchTensor | TorchStorage>;

export interface TorchFile {
  /** What was saved, with tensors as leaves and everything unknown as `Opaque`. */
  readonly root: TorchValue;
  /**
   * The elements of a tensor of this file, in row-major order. Reads its storage's bytes only;
   * the latest storage is kept, since tensors that share one follow each other.
   */
  load(tensor: TorchTensor): Tensor;
}

/** Names of torch's typed storages: torch/storage.py, `_dtype_to_storage_type_map`. */
const STORAGES: ReadonlyMap<string, DType> = new Map([
  ["torch.HalfStorage", "float16"],
  ["torch.BFloat16Storage", "bfloat16"],
  ["torch.FloatStorage", "float32"],
  ["torch.DoubleStorage", "float64"],
  ["torch.CharStorage", "int8"],
  ["torch.ByteStorage", "uint8"],
  ["torch.ShortStorage", "int16"],
  ["torch.IntStorage", "int32"],
  ["torch.LongStorage", "int64"],
  ["torch.BoolStorage", "bool"],
]);

export type TorchHooks = PickleHooks<TorchTensor | TorchStorage>;

/** Hooks whose persistent ids are read by `persistentLoad`, and whose calls make tensors. */
export function torchHooks(persistentLoad: TorchHooks["persistentLoad"]): TorchHooks {
  return {
    persistentLoad,
    reduce(global, args) {
      switch (global) {
        case "torch._utils._rebuild_tensor":
        case "torch._utils._rebuild_tensor_v2":
          return rebuildTensor(args);
        case "torch._utils._rebuild_parameter":
        case "torch._utils._rebuild_parameter_with_state":
          return isTensor(args[0]) ? args[0] : undefined;
        default:
          return undefined;
      }
    },
  };
}

/** What a persistent id says of a storage, whether or not its type is known. */
export interface StorageId {
  /** `torch.FloatStorage`. */
  readonly type: string;
  /** Undefined for a type that has no reader here. */
  readonly dtype: DType | undefined;
  readonly key: string;
  readonly elements: number;
}

/** `("storage", torch.FloatStorage, key, location, elements)`. */
export function parseStorageId(id: TorchValue): StorageId {
  const [word, storageType, key, , elements] = Array.isArray(id) ? (id as TorchValue[]) : [];
  const isId = word === "storage" && typeof key === "string" && isSize(elements);
  if (!isId || storageType === undefined || !isGlobal(storageType)) {
    throw new FormatError("a persistent id is not that of a storage");
  }
  const { name: type } = storageType;
  return { type, dtype: STORAGES.get(type), key, elements };
}

/** `(storage, offset, shape, strides, requires_grad, hooks, …)`; opaque like its storage. */
function rebuildTensor(args: readonly TorchValue[]): TorchTensor | undefined {
  const [storage, offset, shape, strides, , , metadata] = args;
  if (!isStorage(storage)) return undefined;
  if (metadata instanceof Map && metadata.size > 0) {
    const bits = [...metadata.keys()].map(String).join(", ");
    throw new FormatError(
      `tensor of storage ${quote(storage.key)} is to be read with ${bits}, need a plain tensor ` +
        "(resolve_neg(), resolve_conj())",
      "UNSUPPORTED",
    );
  }
  const at = `tensor of storage ${quote(storage.key)}`;
  if (!isSize(offset) || !isSizes(shape) || !isSizes(strides) || shape.length !== strides.length) {
    throw new FormatError(`${at}: offset, shape and strides are not sizes of one rank`);
  }
  const { start, elements } = storage.part ?? { start: 0, elements: storage.elements };
  const count = countElements(shape);
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), offset);
  // `expand()` repeats by a stride of 0, in memory and in the file.
  const isExpanded = shape.some((size, axis) => size > 1 && strides[axis] === 0);
  const countMax = isExpanded ? Math.max(elements, LIMITS.expandedElements) : elements;
  if (count > countMax || (count > 0 && last >= elements)) {
    throw new FormatError(
      `${at}: shape [${shape.join(", ")}] with strides [${strides.join(", ")}] from ${offset} ` +
        `has ${count} elements up to ${last}, but the storage has ${elements}`,
    );
  }
  return {
    kind: "tensor",
    dtype: storage.dtype,
    shape: [...shape],
    strides: [...strides],
    offset: start + offset,
    storageKey: storage.key,
    storageElements: storage.elements,
    ...(storage.folder === undefined ? {} : { folder: storage.folder }),
  };
}

/** The elements of a tensor out of its storage's bytes, in row-major order. */
export function readTensor(tensor: TorchTensor, storage: Uint8Array, littleEndian = true): Tensor {
  const { dtype, shape } = tensor;
  return { dtype, shape, data: decodeElements(dtype, gather(tensor, storage), littleEndian) };
}

function gather(tensor: TorchTensor, storage: Uint8Array): Uint8Array {
  const { dtype, shape, strides, offset, storageElements } = tensor;
  const itemBytes = elementBytes(dtype);
  assert(storageElements * itemBytes <= storage.length, "a tensor of another file");
  let contiguous = 1;
  const isContiguous = shape.reduceRight((ordered, size, axis) => {
    const fits = size === 1 || strides[axis] === contiguous;
    contiguous *= size;
    return ordered && fits;
  }, true);
  if (!isContiguous) return gatherElements(storage, itemBytes, tensor);
  return storage.subarray(offset * itemBytes, (offset + contiguous) * itemBytes);
}

export function isTensor(value: TorchValue | undefined): value is TorchTensor {
  return value !== undefined && kindOf(value) === "tensor";
}

export function isStorage(value: TorchValue | undefined): value is TorchStorage {
  return value !== undefined && kindOf(value) === "storage";
}

/** A count of elements, as a pickle may say it. */
export function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= LIMITS.tensorRank && value.every(isSize);
}
