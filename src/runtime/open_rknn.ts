/**
 * `.rknn` file → backend on the NPU. What the file does not say itself, which observations it
 * expects, is in the record that `lite3rl convert` writes beside it.
 */

import { extname } from "node:path";
import type { Core } from "../../ffi/rknn_api.ts";
import {
  findRknnLibrary,
  LIBRARY_DIRECTORIES,
  LIBRARY_NAME,
  LIBRARY_VARIABLE,
  openRknnLibrary,
} from "../../ffi/rknn_library.ts";
import { describeSource, Lite3Error, quote } from "../base/errors.ts";
import { DISK, type FileSet, readFile, sha256 } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { warn } from "../base/log.ts";
import { parseRknn } from "../formats/rknn.ts";
import { isRknnDouble } from "../formats/rknn_double.ts";
import { readRecord, recordPath } from "../policy/conversion_record.ts";
import { decodeMetadata, type PolicyMetadata } from "../policy/metadata.ts";
import type { Backend } from "./backend.ts";
import { openIsolated } from "./isolated.ts";
import { checkPlatform, type IoKind, openRknn } from "./rknn.ts";
import { readSoc } from "./rknn_device.ts";

export interface NpuOptions {
  /** Path of the library; found by itself if absent. */
  readonly librknnrt?: string | undefined;
  readonly core?: Core;
  readonly io?: IoKind;
  /** In a process of its own (default); otherwise the caller is such a process. */
  readonly isolated?: boolean | undefined;
  /** Variables for the process that holds the library: for the test double, off without one. */
  readonly libraryEnv?: Readonly<Record<string, string>>;
}

export interface RknnModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Of the ONNX that the file was made of, if its record is there. */
  readonly metadata: PolicyMetadata | undefined;
}

export const isRknnPath = (path: string): boolean => extname(path).toLowerCase() === ".rknn";

/** Is there a library to run a .rknn with? Throws for one that was named and cannot be used. */
export const hasNpuLibrary = ({ librknnrt }: NpuOptions): boolean =>
  findRknnLibrary(librknnrt) !== undefined;

/**
 * The library that was named for a model, as another process needs it, which has no variables.
 * Throws for one that is named and not there.
 */
export function libraryFor(model: string, librknnrt: string | undefined): string | undefined {
  if (isRknnPath(model)) return librknnrt === undefined ? undefined : findRknnLibrary(librknnrt);
  return isOfVariable(librknnrt) ? undefined : librknnrt;
}

/** Not meant for this model alone. */
const isOfVariable = (librknnrt: string | undefined): boolean =>
  librknnrt === (process.env[LIBRARY_VARIABLE] || undefined);

/** Says which flags mean nothing, since `path` does not run on the NPU. */
export function warnOfNpuFlags(path: string, { librknnrt, core, io }: NpuOptions): void {
  const given = [
    librknnrt === undefined || isOfVariable(librknnrt) ? [] : "--librknnrt",
    core === undefined || core === "auto" ? [] : `--core ${core}`,
    io === undefined || io === "auto" ? [] : `--io ${io}`,
  ].flat();
  if (given.length === 0) return;
  warn(`${path}: without effect, for a .rknn on the NPU only: ${given.join(", ")}`);
}

/** Reads a .rknn and its record. Throws for a container that is broken or encrypted. */
export async function readRknnModel(path: string, files = DISK): Promise<RknnModelFile> {
  const bytes = readFile(path, LIMITS.modelBytes, files);
  return describeSource("Cannot read model", path, () => {
    parseRknn(bytes);
    return { path, bytes, metadata: readMetadata(path, bytes, files) };
  });
}

function readMetadata(path: string, bytes: Uint8Array, files: FileSet): PolicyMetadata | undefined {
  if (!files.has(recordPath(path))) return undefined;
  const { metadata } = readRecord(path, sha256(bytes), files).model;
  const metadataProps = Object.entries(metadata).map(([key, value]) => ({ key, value }));
  return decodeMetadata({ graph: {}, metadataProps });
}

/** Opens the file on the NPU. Throws UNSUPPORTED without a library. */
export async function openRknnModel(file: RknnModelFile, options: NpuOptions): Promise<Backend> {
  const { core = "auto", io = "auto", librknnrt, isolated = true, libraryEnv: env = {} } = options;
  // Before the library: no library runs a file of another SoC.
  await describeSource("Cannot run model", file.path, () => {
    checkPlatform(parseRknn(file.bytes), readSoc());
  });
  const library = findRknnLibrary(librknnrt);
  if (library === undefined) {
    const cure = isRknnDouble(file.bytes)
      ? "and the file is made for the test double: need that by --librknnrt and LITE3RL_DOUBLE=1"
      : "need it there (lite3rl doctor --fix prints how) or by --librknnrt; off the board run " +
        "the .onnx that it was converted from";
    throw new Lite3Error(
      "UNSUPPORTED",
      `Cannot run ${quote(file.path)}: no ${LIBRARY_NAME} in ${LIBRARY_DIRECTORIES.join(", ")}, ` +
        cure,
    );
  }
  return describeSource("Cannot run model", file.path, async () => {
    const backend = isolated
      ? await openIsolated(file.bytes, { library, core, io, env })
      : openRknn(openRknnLibrary(library), file.bytes, { core, io });
    if (backend.arithmetic === "double") {
      warn(`${library} is a test double of the NPU library: no figure is an NPU's`);
    }
    return backend;
  });
}
