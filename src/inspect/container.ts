/**
 * How a checkpoint is packed, and which classes and functions its pickles name: known before, and
 * even if, the checkpoint can be read.
 */

import { describeSource, FormatError } from "../base/errors.ts";
import { type ByteSource, memorySource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { listGlobals, type NamedGlobal } from "../formats/pickle_globals.ts";
import { findTorchDirectory, isTorchScript } from "../formats/torch.ts";
import { isTorchLegacy } from "../formats/torch_legacy.ts";
import { isZip, openZip, type ZipArchive } from "../formats/zip.ts";

export type ContainerForm = "torch zip" | "TorchScript zip" | "SB3 zip" | "torch legacy" | "tar";

export interface Container {
  readonly form: ContainerForm;
  /** Entries of the outer zip. */
  readonly entries: number | null;
  readonly byteOrder: string | null;
  readonly pickleProtocol: number | null;
  /** The version of Stable-Baselines3 that wrote it. */
  readonly library: string | null;
  readonly globals: readonly NamedGlobal[];
}

/** Pickles at the start of a legacy stream: magic number, version, system, tree, storage keys. */
const LEGACY_PICKLES = 5;

const NONE = { entries: null, byteOrder: null, pickleProtocol: null, library: null, globals: [] };

/** Throws FormatError for a zip that is broken or holds no tree. */
export async function readContainer(source: ByteSource): Promise<Container> {
  if (!isZip(source)) {
    return isTorchLegacy(source)
      ? { ...NONE, form: "torch legacy", byteOrder: "little", ...scanStream(source) }
      : { ...NONE, form: "tar" };
  }
  const zip = await openZip(source);
  const entries = zip.entries.size;
  if (zip.entries.has("policy.pth")) {
    const inner = memorySource(zip.read("policy.pth", LIMITS.modelBytes));
    const library = textEntry(zip, "_stable_baselines3_version");
    const policy = await describeSource("Cannot read entry", "policy.pth", () =>
      readContainer(inner),
    );
    return { ...policy, form: "SB3 zip", entries, library };
  }
  const directory = findTorchDirectory(zip);
  const tree = listGlobals(zip.read(`${directory}data.pkl`, LIMITS.pickleBytes));
  return {
    form: isTorchScript(zip, directory) ? "TorchScript zip" : "torch zip",
    entries,
    byteOrder: textEntry(zip, `${directory}byteorder`),
    pickleProtocol: tree.protocol,
    library: null,
    globals: tree.globals,
  };
}

function textEntry(zip: ZipArchive, name: string): string | null {
  if (!zip.entries.has(name)) return null;
  try {
    return Buffer.from(zip.read(name, 64)).toString("latin1").trim();
  } catch (error) {
    if (error instanceof FormatError) return null;
    throw error;
  }
}

function scanStream(source: ByteSource): Pick<Container, "globals" | "pickleProtocol"> {
  let rest = source.read(0, Math.min(source.size, LIMITS.pickleBytes));
  const globals: NamedGlobal[] = [];
  let pickleProtocol = 0;
  for (let i = 0; i < LEGACY_PICKLES; i++) {
    const scan = listGlobals(rest);
    globals.push(...scan.globals);
    pickleProtocol = Math.max(pickleProtocol, scan.protocol);
    if (scan.problem !== undefined) break;
    rest = rest.subarray(scan.consumed);
  }
  return { globals, pickleProtocol };
}
