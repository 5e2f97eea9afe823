/**
 * torch checkpoints (`torch.save`): since 1.6 a zip archive with one directory of any name, which
 * holds `data.pkl` (the tree), `data/<key>` (one file per storage) and sometimes `byteorder`;
 * before that the stream of `torch_legacy.ts`.
 *
 * Nothing of the file is executed: the pickle's allow-list is tensors, parameters and storages.
 * A tensor is a view (offset, shape, strides) of a storage, and the physical invariant is that
 * its elements are in the file: every storage is held against its zip entry, every view against
 * its storage, before anything is allocated.
 */

import { FormatError, quote } from "../base/errors.ts";
import type { ByteSource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { parsePickle } from "./pickle.ts";
import { elementBytes } from "./tensor.ts";
import { isTorchLegacy, readTorchLegacy } from "./torch_legacy.ts";
import {
  type TorchFile,
  type TorchHooks,
  type TorchStorage,
  type TorchValue,
  parseStorageId,
  readTensor,
  torchHooks,
} from "./torch_tensor.ts";
import {
  type ZipArchive,
  type ZipEntry,
  describeEntry,
  describeStart,
  isZip,
  listNames,
  openZip,
} from "./zip.ts";

export type { TorchFile, TorchStorage, TorchTensor, TorchValue } from "./torch_tensor.ts";

/** `ustar` stands at this offset of a tar's first header (POSIX.1-1988). */
const TAR_MAGIC_OFFSET = 257;

/**
 * Reads the tree of a checkpoint; the source must stay open for `load`. Throws FormatError:
 * UNSUPPORTED for the sound containers this version does not read, else MALFORMED.
 */
export async function readTorch(source: ByteSource): Promise<TorchFile> {
  if (isTorchLegacy(source)) return readTorchLegacy(source);
  if (!isZip(source)) throw notZip(source);
  const zip = await openZip(source);
  if (zip.entries.has("policy.pth")) throw unsupported("a Stable-Baselines3 archive");
  const directory = findTorchDirectory(zip);
  if (isTorchScript(zip, directory)) throw unsupported("a TorchScript archive");
  return { root: readTorchTree(zip, directory, "data"), load: torchLoader(zip, directory) };
}

/** The first byte of every pickle since protocol 2. */
const PROTO = 0x80;

function notZip(source: ByteSource): FormatError {
  const start = Buffer.from(source.read(0, Math.min(source.size, 512))).toString("latin1");
  if (start.startsWith("ustar", TAR_MAGIC_OFFSET)) return unsupported("a tar archive");
  const [opcode, protocol = 0] = source.read(0, Math.min(source.size, 2));
  if (opcode === PROTO && protocol >= 2 && protocol <= 5) {
    return new FormatError(
      "it is a plain pickle, need what torch.save writes; lite3rl inspect lists what is in it",
      "UNSUPPORTED",
    );
  }
  return new FormatError(`${describeStart(source)}, need a torch checkpoint (a zip archive)`);
}

function unsupported(what: string): FormatError {
  return new FormatError(`it is ${what}, need what torch.save writes`, "UNSUPPORTED");
}

/** The directory of `data.pkl`, with its slash. Throws for an archive with none, or several. */
export function findTorchDirectory({ entries }: ZipArchive): string {
  const trees = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [tree] = trees;
  if (tree === undefined || trees.length > 1) {
    const found = tree === undefined ? listNames(entries) : `are ${trees.map(quote).join(", ")}`;
    throw new FormatError(`there ${found}, need one <name>/data.pkl of a torch checkpoint`);
  }
  return tree.slice(0, -"data.pkl".length);
}

/** Whether `torch.jit.save` wrote it: there are constants, or there is code. */
export function isTorchScript({ entries }: ZipArchive, directory: string): boolean {
  const isCode = (name: string): boolean => name.startsWith(`${directory}code/`);
  return entries.has(`${directory}constants.pkl`) || [...entries.keys()].some(isCode);
}

/** Reads `<folder>.pkl`, whose storages are in `<folder>/`. */
export function readTorchTree(
  zip: ZipArchive,
  directory: string,
  folder: "data" | "constants",
  reduce?: TorchHooks["reduce"],
): TorchValue {
  const storages = new Map<string, TorchStorage>();
  const hooks = torchHooks((id) => {
    const { type, dtype, key, elements } = parseStorageId(id);
    if (dtype === undefined) return { kind: "opaque", global: type, args: [] };
    const storage: TorchStorage = {
      kind: "storage",
      dtype,
      key,
      elements,
      ...(folder === "data" ? {} : { folder }),
    };
    storages.set(`${key} ${dtype} ${elements}`, storage);
    return storage;
  });
  const name = `${directory}${folder}.pkl`;
  const entry = zip.entries.get(name);
  if (entry !== undefined) checkInflation(entry);
  const pickle = zip.read(name, LIMITS.pickleBytes);
  const root = describeEntry(name, () =>
    parsePickle(pickle, {
      ...hooks,
      reduce: (global, args) => hooks.reduce(global, args) ?? reduce?.(global, args),
    }),
  );
  for (const storage of storages.values()) checkStorage(storage, zip, directory);
  return root;
}

/** Reads tensors of an archive; their storages were held against it by `readTorchTree`. */
export function torchLoader(zip: ZipArchive, directory: string): TorchFile["load"] {
  const littleEndian = readByteOrder(zip, directory);
  let latest: { readonly name: string; readonly bytes: Uint8Array } | undefined;
  return (tensor) => {
    const { folder = "data", storageKey } = tensor;
    const name = `${directory}${folder}/${storageKey}`;
    if (latest?.name !== name) latest = { name, bytes: zip.read(name, LIMITS.modelBytes) };
    return readTensor(tensor, latest.bytes, littleEndian);
  };
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

/** Torch stores, and what repacks archives gains little: weights are noise to deflate. */
const INFLATION_MAX = 16;
/** Zeros are no bomb while they are few. */
const INFLATION_FREE_BYTES = 1 << 20;

/** Refuses an entry that would take far more memory than the file has bytes. */
export function checkInflation({ name, offset, bytes, compressedBytes }: ZipEntry): void {
  if (bytes <= INFLATION_FREE_BYTES || bytes <= INFLATION_MAX * compressedBytes) return;
  throw new FormatError(
    `entry ${quote(name)} at offset ${offset} unpacks to ${bytes} bytes from ${compressedBytes}, ` +
      `at most ${INFLATION_MAX} to 1 are taken`,
    "TOO_LARGE",
  );
}

function checkStorage(storage: TorchStorage, { entries }: ZipArchive, directory: string): void {
  const { key, elements, dtype, folder = "data" } = storage;
  const name = `${folder}/${key}`;
  const entry = entries.get(directory + name);
  const needed = elements * elementBytes(dtype);
  if (entry === undefined) {
    throw new FormatError(
      `entry ${quote(name)} is missing, but storage ${key} needs ${needed} bytes`,
    );
  }
  checkInflation(entry);
  if (entry.bytes !== needed) {
    throw new FormatError(
      `entry ${quote(name)} is ${entry.bytes} bytes at offset ${entry.offset}, ` +
        `but storage ${key} needs ${needed}`,
    );
  }
}
