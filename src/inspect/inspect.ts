/**
 * File → finding: what it is by its content, and everything that can be known about it without
 * executing anything in it.
 */

import { statSync } from "node:fs";
import { describeSource, FormatError } from "../base/errors.ts";
import { type ByteSource, openFile, sha256Source } from "../base/files.ts";
import { describeStart } from "../formats/zip.ts";
import { inspectNpy, inspectNpz } from "./arrays.ts";
import { inspectCheckpoint } from "./checkpoint.ts";
import { detectKind } from "./detect.ts";
import { inspectDirectory } from "./directory.ts";
import type { Finding } from "./finding.ts";
import { inspectOnnx } from "./onnx_file.ts";
import { inspectPickle } from "./pickle_file.ts";
import { inspectRknn } from "./rknn_file.ts";

export interface Inspection {
  readonly path: string;
  readonly finding: Finding;
  /** Null for a directory. */
  readonly bytes: number | null;
  readonly sha256: string | null;
}

/**
 * Throws a Lite3Error that names the file: MALFORMED for one that is broken, UNSUPPORTED for one
 * that lite3rl does not know, with what it begins with.
 */
export async function inspect(path: string): Promise<Inspection> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    return { path, finding: await inspectDirectory(path), bytes: null, sha256: null };
  }
  using source = openFile(path);
  const finding = await describeSource("Cannot inspect", path, () => inspectFile(path, source));
  return { path, finding, bytes: source.size, sha256: sha256Source(source) };
}

async function inspectFile(path: string, source: ByteSource): Promise<Finding> {
  switch (await detectKind(source)) {
    case "checkpoint":
      return inspectCheckpoint(path, source);
    case "pickle":
      return inspectPickle(source);
    case "onnx":
      return inspectOnnx(path, source);
    case "npy":
      return inspectNpy(path, source);
    case "npz":
      return inspectNpz(path, source);
    case "rknn":
      return inspectRknn(path, source);
    case undefined:
      throw new FormatError(
        `${describeStart(source)}, need a checkpoint, pickle, .onnx, .rknn, .npy or .npz`,
        "UNSUPPORTED",
      );
  }
}

/** The document of `--json`. */
export function inspectionDocument({ path, finding, bytes, sha256 }: Inspection) {
  const { kind, details, warnings, advice } = finding;
  return { path, kind, bytes, sha256, ...details, warnings, advice };
}
