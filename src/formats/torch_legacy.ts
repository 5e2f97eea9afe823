/**
 * Legacy checkpoints: what `torch.save` wrote before 1.6, and still writes when asked with
 * `_use_new_zipfile_serialization=False` (torch/serialization.py, `_legacy_save`).
 *
 * A stream of five pickles (magic number, protocol version, system, the tree, the storage keys),
 * then for each key its number of elements as an int64 and their bytes, little-endian always.
 * Where one storage begins depends on all before it, so the walk over them is the check that
 * they are in the file; their bytes are read when a tensor asks for them.
 */

import { FormatError, quote } from "../base/errors.ts";
import type { ByteSource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { NO_HOOKS, type PickleHooks, isGlobal, readPickle } from "./pickle.ts";
import { type PickleLeaf, type PickleValue, describeValue } from "./pickle_value.ts";
import { elementBytes } from "./tensor.ts";
import {
  type StorageId,
  type TorchFile,
  type TorchTensor,
  type TorchStorage,
  type TorchValue,
  isSize,
  parseStorageId,
  readTensor,
  torchHooks,
} from "./torch_tensor.ts";

/** torch/serialization.py, MAGIC_NUMBER 0x1950a86a20f9469cfc6c, as LONG1 of a pickle. */
const MAGIC = Buffer.from("8a0a6cfc9c46f9206aa85019", "hex");
/** Before it stand PROTO (2 bytes) and, from protocol 4 on, FRAME (9 bytes). */
const MAGIC_OFFSET_MAX = 11;
/** torch/serialization.py, PROTOCOL_VERSION; the only one there ever was. */
const PROTOCOL_VERSION = 1001;
/** A pickle is first looked for in so many bytes, which most trees fit in. */
const WINDOW_BYTES = 1 << 16;

/** Elements of storages that are only stepped over, by type: torch/storage.py. */
const OTHER_STORAGE_BYTES: ReadonlyMap<string, number> = new Map([
  ["torch.ComplexFloatStorage", 8],
  ["torch.ComplexDoubleStorage", 16],
  ["torch.QInt8Storage", 1],
  ["torch.QUInt8Storage", 1],
  ["torch.QInt32Storage", 4],
]);

/** Whether the file begins with the magic number of legacy checkpoints. */
export function isTorchLegacy(source: ByteSource): boolean {
  const start = Buffer.from(source.read(0, Math.min(source.size, 32)));
  const at = start.indexOf(MAGIC);
  return start[0] === 0x80 && at >= 2 && at <= MAGIC_OFFSET_MAX;
}

/** Reads the tree; the source must stay open for `load`. Throws FormatError. */
export function readTorchLegacy(source: ByteSource): TorchFile {
  const stream: Stream = { source, offset: 0 };
  readNext(stream, "magic number", NO_HOOKS);
  checkVersion(readNext(stream, "protocol version", NO_HOOKS));
  checkSystem(readNext(stream, "system", NO_HOOKS));
  let ids = new Map<string, StorageId>();
  const root = readNext(stream, "tree", () => {
    ids = new Map();
    return torchHooks((id) => loadPersistent(id, ids));
  });
  const keys = readKeys(readNext(stream, "list of storages", NO_HOOKS), ids);
  const spans = locateStorages(stream, keys, ids);
  let latest: { readonly key: string; readonly bytes: Uint8Array } | undefined;
  return {
    root,
    load(tensor: TorchTensor) {
      const { storageKey: key } = tensor;
      if (latest?.key !== key) latest = { key, bytes: readSpan(source, spans, key) };
      return readTensor(tensor, latest.bytes);
    },
  };
}

interface Stream {
  readonly source: ByteSource;
  /** Of the next byte. */
  offset: number;
}

/**
 * The next pickle. How long it is shows only at its end, so it is looked for in a window that
 * grows until it is found or nothing more can come.
 */
function readNext<Leaf extends PickleLeaf>(
  stream: Stream,
  what: string,
  hooks: PickleHooks<Leaf> | (() => PickleHooks<Leaf>),
): PickleValue<Leaf> {
  const { source, offset } = stream;
  const left = Math.min(source.size - offset, LIMITS.pickleBytes);
  for (let window = WINDOW_BYTES; ; window *= 4) {
    const bytes = source.read(offset, Math.min(window, left));
    try {
      const made = typeof hooks === "function" ? hooks() : hooks;
      const { value, consumed } = readPickle(bytes, made);
      stream.offset += consumed;
      return value;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      if (error.code === "MALFORMED" && window < left) continue;
      const { message, code } = error;
      throw new FormatError(
        `${what}, from byte ${offset}: ${message}`,
        code === "TOO_LARGE" || code === "UNSUPPORTED" ? code : "MALFORMED",
      );
    }
  }
}

function checkVersion(version: PickleValue): void {
  if (version === PROTOCOL_VERSION) return;
  const found = typeof version === "number" ? version : describeValue(version);
  throw new FormatError(
    `the protocol version is ${found}, need ${PROTOCOL_VERSION}`,
    "UNSUPPORTED",
  );
}

function checkSystem(system: PickleValue): void {
  const isLittle = system instanceof Map ? system.get("little_endian") : undefined;
  if (isLittle === true) return;
  throw new FormatError(
    isLittle === false
      ? "it was written on a big-endian machine, need little-endian"
      : `the system is ${describeValue(system)} without little_endian, need that`,
    isLittle === false ? "UNSUPPORTED" : "MALFORMED",
  );
}

/** A storage, or for a saved `nn.Module` its class, whose source stands beside it in the id. */
function loadPersistent(id: TorchValue, ids: Map<string, StorageId>): TorchValue {
  const [word, saved, , , , view] = Array.isArray(id) ? (id as TorchValue[]) : [];
  if (word === "module" && saved !== undefined && isGlobal(saved)) return saved;
  const found = parseStorageId(id);
  const { type, dtype, key, elements } = found;
  const known = ids.get(key);
  if (known !== undefined && (known.type !== type || known.elements !== elements)) {
    throw new FormatError(
      `storage ${quote(key)} is ${elements} of ${type} here, ${known.elements} of ${known.type} ` +
        "before",
    );
  }
  ids.set(key, found);
  if (dtype === undefined) return { kind: "opaque", global: type, args: [] };
  const storage: TorchStorage = { kind: "storage", dtype, key, elements };
  return view === undefined || view === null ? storage : { ...storage, part: cut(view, found) };
}

/** `(key of the view, start, elements)`: what files of 2017 say of a storage within another. */
function cut(view: TorchValue, { key, elements: whole }: StorageId): TorchStorage["part"] & object {
  const [, start, elements] = Array.isArray(view) ? (view as TorchValue[]) : [];
  if (!isSize(start) || !isSize(elements) || start + elements > whole) {
    throw new FormatError(`a view of storage ${quote(key)} is not a part of its ${whole} elements`);
  }
  return { start, elements };
}

function readKeys(value: PickleValue, ids: ReadonlyMap<string, StorageId>): readonly string[] {
  const keys: readonly unknown[] = Array.isArray(value) ? value : [];
  const isKey = (key: unknown): key is string => typeof key === "string" && ids.has(key);
  if (!Array.isArray(value) || !keys.every(isKey) || new Set(keys).size !== keys.length) {
    throw new FormatError("the list of storages is not one of different keys that the tree has");
  }
  const missing = [...ids.keys()].find((key) => !keys.includes(key));
  if (missing !== undefined) {
    throw new FormatError(`storage ${quote(missing)} of the tree is not in the list of storages`);
  }
  return keys;
}

interface Span {
  readonly offset: number;
  readonly bytes: number;
}

function locateStorages(
  { source, offset }: Stream,
  keys: readonly string[],
  ids: ReadonlyMap<string, StorageId>,
): ReadonlyMap<string, Span> {
  const spans = new Map<string, Span>();
  let at = offset;
  for (const key of keys) {
    const { type, dtype, elements } = ids.get(key) as StorageId;
    const itemBytes = dtype === undefined ? OTHER_STORAGE_BYTES.get(type) : elementBytes(dtype);
    if (itemBytes === undefined) {
      throw new FormatError(
        `storage ${quote(key)} at byte ${at} is a ${type}, whose size is not known`,
        "UNSUPPORTED",
      );
    }
    const bytes = elements * itemBytes;
    if (at + 8 + bytes > source.size) {
      throw new FormatError(
        `storage ${quote(key)} at byte ${at} needs 8 and ${bytes} bytes, ` +
          `but ${Math.max(0, source.size - at)} are left`,
      );
    }
    const stored = new DataView(source.read(at, 8).buffer).getBigInt64(0, true);
    if (stored !== BigInt(elements)) {
      throw new FormatError(
        `storage ${quote(key)} at byte ${at} has ${stored} elements, but the tree says ${elements}`,
      );
    }
    spans.set(key, { offset: at + 8, bytes });
    at += 8 + bytes;
  }
  return spans;
}

function readSpan(source: ByteSource, spans: ReadonlyMap<string, Span>, key: string): Uint8Array {
  const { offset, bytes } = spans.get(key) ?? { offset: 0, bytes: 0 };
  if (bytes > LIMITS.modelBytes) {
    throw new FormatError(
      `storage ${quote(key)} at byte ${offset} has ${bytes} bytes, ` +
        `at most ${LIMITS.modelBytes} are taken`,
      "TOO_LARGE",
    );
  }
  return source.read(offset, bytes);
}
