/**
 * torch checkpoints (`torch.save` since 1.6): a zip archive with one directory of any name, which
 * holds `data.pkl` (the tree), `data/<key>` (one file per storage) and sometimes `byteorder`.
 *
 * Nothing of the file is executed: the pickle's allow-list is tensors, parameters and storages.
 * A tensor is a view (offset, shape, strides) of a storage, and the physical invariant is that
 * its elements are in the file: every storage is held against its zip entry, every view against
 * its storage, before anything is allocated.
 */

import { assert } from "../base/assert.ts";
import { FormatError, quote } from "../base/errors.ts";
import type { ByteSource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { type PickleHooks, type PickleValue, isGlobal, parsePickle } from "./pickle.ts";
import { kindOf } from "./pickle_value.ts";
import {
  type DType,
  type Tensor,
  countElements,
  decodeElements,
  elementBytes,
  gatherElements,
} from "./tensor.ts";
import {
  type ZipArchive,
  type ZipEntry,
  describeEntry,
  describeStart,
  isZip,
  listNames,
  openZip,
} from "./zip.ts";

/** A view of a storage; `load` reads its elements. Sizes, strides and offset count elements. */
export interface TorchTensor {
  readonly kind: "tensor";
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  readonly storageKey: string;
  readonly storageElements: number;
}

/** The elements that tensors share: one entry of the archive. */
export interface TorchStorage {
  readonly kind: "storage";
  readonly dtype: DType;
  readonly key: string;
  readonly elements: number;
}

export type TorchValue = PickleValue<TorchTensor | TorchStorage>;

export interface TorchFile {
  /** What was saved, with tensors as leaves and everything unknown as `Opaque`. */
  readonly root: TorchValue;
  /**
   * The elements of a tensor of this file, in row-major order. Reads its storage's entry only;
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

/** Protocol 2 and torch/serialization.py's MAGIC_NUMBER 0x1950a86a20f9469cfc6c, pickled. */
const LEGACY_MAGIC = "80028a0a6cfc9c46f9206aa85019";
/** `ustar` stands at this offset of a tar's first header (POSIX.1-1988). */
const TAR_MAGIC_OFFSET = 257;

/**
 * Reads the tree of a checkpoint; the source must stay open for `load`. Throws FormatError:
 * UNSUPPORTED for the sound containers this version does not read, else MALFORMED.
 */
export async function readTorch(source: ByteSource): Promise<TorchFile> {
  if (!isZip(source)) throw notZip(source);
  const zip = await openZip(source);
  const directory = findDirectory(zip);
  const littleEndian = readByteOrder(zip, directory);
  const { root, storages } = readTree(zip, `${directory}data.pkl`);
  for (const storage of storages) checkStorage(storage, zip, directory);
  let latest: { readonly key: string; readonly bytes: Uint8Array } | undefined;
  return {
    root,
    load(tensor) {
      const { dtype, shape, storageKey: key } = tensor;
      if (latest?.key !== key) {
        latest = { key, bytes: zip.read(`${directory}data/${key}`, LIMITS.modelBytes) };
      }
      const bytes = gatherTensor(tensor, latest.bytes);
      return { dtype, shape, data: decodeElements(dtype, bytes, littleEndian) };
    },
  };
}

function notZip(source: ByteSource): FormatError {
  const start = Buffer.from(source.read(0, Math.min(source.size, 512))).toString("latin1");
  const legacy = Buffer.from(LEGACY_MAGIC, "hex").toString("latin1");
  if (start.startsWith(legacy)) return unsupported("a legacy checkpoint of torch before 1.6");
  if (start.startsWith("ustar", TAR_MAGIC_OFFSET)) return unsupported("a tar archive");
  return new FormatError(`${describeStart(source)}, need a torch checkpoint (a zip archive)`);
}

/** The directory of `data.pkl`, with its slash. */
function findDirectory({ entries }: ZipArchive): string {
  const trees = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (entries.has("policy.pth")) throw unsupported("a Stable-Baselines3 archive");
  const [tree] = trees;
  if (tree === undefined || trees.length > 1) {
    const found = tree === undefined ? listNames(entries) : `are ${trees.map(quote).join(", ")}`;
    throw new FormatError(`there ${found}, need one <name>/data.pkl of a torch checkpoint`);
  }
  const directory = tree.slice(0, -"data.pkl".length);
  const isCode = (name: string): boolean => name.startsWith(`${directory}code/`);
  if (entries.has(`${directory}constants.pkl`) || [...entries.keys()].some(isCode)) {
    throw unsupported("a TorchScript archive");
  }
  return directory;
}

function unsupported(what: string): FormatError {
  return new FormatError(`it is ${what}, need what torch.save writes since 1.6`, "UNSUPPORTED");
}

/** Whether numbers are little-endian; files without the entry are from before torch had others. */
function readByteOrder(zip: ZipArchive, directory: string): boolean {
  const name = `${directory}byteorder`;
  if (!zip.entries.has(name)) return true;
  const order = Buffer.from(zip.read(name, 16)).toString("latin1");
  if (order !== "little" && order !== "big") {
    throw new FormatError(`entry ${quote(name)} says ${quote(order)}, need little or big`);
  }
  return order === "little";
}

function readTree(
  zip: ZipArchive,
  name: string,
): { readonly root: TorchValue; readonly storages: ReadonlySet<TorchStorage> } {
  const storages = new Set<TorchStorage>();
  const hooks: PickleHooks<TorchTensor | TorchStorage> = {
    persistentLoad(id) {
      const storage = parseStorage(id);
      if (isStorage(storage)) storages.add(storage);
      return storage;
    },
    reduce(global, args) {
      if (global === "torch._utils._rebuild_tensor_v2") return rebuildTensor(args);
      if (global === "torch._utils._rebuild_parameter" && isTensor(args[0])) return args[0];
      return undefined;
    },
  };
  const pickle = zip.read(name, LIMITS.pickleBytes);
  return { root: describeEntry(name, () => parsePickle(pickle, hooks)), storages };
}

/** `("storage", torch.FloatStorage, key, location, elements)`; opaque for an unknown class. */
function parseStorage(id: TorchValue): TorchValue {
  const [word, storageType, key, , elements] = Array.isArray(id) ? (id as TorchValue[]) : [];
  const isId = word === "storage" && typeof key === "string" && isSize(elements);
  if (!isId || storageType === undefined || !isGlobal(storageType)) {
    throw new FormatError("a persistent id is not that of a storage");
  }
  const dtype = STORAGES.get(storageType.name);
  if (dtype === undefined) return { kind: "opaque", global: storageType.name, args: [] };
  return { kind: "storage", dtype, key, elements };
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
  const count = countElements(shape);
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), offset);
  if (count > storage.elements || (count > 0 && last >= storage.elements)) {
    throw new FormatError(
      `${at}: shape [${shape.join(", ")}] with strides [${strides.join(", ")}] from ${offset} ` +
        `has ${count} elements up to ${last}, but the storage has ${storage.elements}`,
    );
  }
  return {
    kind: "tensor",
    dtype: storage.dtype,
    shape: [...shape],
    strides: [...strides],
    offset,
    storageKey: storage.key,
    storageElements: storage.elements,
  };
}

function checkStorage(storage: TorchStorage, { entries }: ZipArchive, directory: string): void {
  const { key, elements, dtype } = storage;
  const name = `data/${key}`;
  const entry: ZipEntry | undefined = entries.get(directory + name);
  const needed = elements * elementBytes(dtype);
  if (entry === undefined) {
    throw new FormatError(
      `entry ${quote(name)} is missing, but storage ${key} needs ${needed} bytes`,
    );
  }
  if (entry.bytes !== needed) {
    throw new FormatError(
      `entry ${quote(name)} is ${entry.bytes} bytes at offset ${entry.offset}, ` +
        `but storage ${key} needs ${needed}`,
    );
  }
}

function gatherTensor(tensor: TorchTensor, storage: Uint8Array): Uint8Array {
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

function isTensor(value: TorchValue | undefined): value is TorchTensor {
  return value !== undefined && kindOf(value) === "tensor";
}

function isStorage(value: TorchValue | undefined): value is TorchStorage {
  return value !== undefined && kindOf(value) === "storage";
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= LIMITS.tensorRank && value.every(isSize);
}
