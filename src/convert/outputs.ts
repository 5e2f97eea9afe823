/**
 * Every file that a conversion may write, held against the inputs, against each other, and against
 * what has that name already: a conversion replaces what conversions wrote, and nothing else.
 */

import { existsSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { Lite3Error, quote } from "../base/errors.ts";
import { checkOutput, openFile, readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { decodeOnnx } from "../formats/onnx.ts";
import { recordPath } from "../policy/conversion_record.ts";
import type { ConvertOptions } from "./conversion.ts";

export const rejectedPath = (output: string): string => `${output}.rejected`;
export const logPath = (output: string): string => `${output}.log`;

/** The first line of a log, by which a later conversion knows that it may be replaced. */
export const LOG_HEADING = "# what rknn-toolkit2 said to lite3rl convert\n";

interface Output {
  readonly path: string;
  readonly kind: string;
  isKind(path: string): boolean;
}

/** Throws CONFIG for an output that would destroy what is no earlier conversion's. */
export function checkOutputs(
  options: Pick<ConvertOptions, "model" | "output" | "dataset" | "obsStats" | "emitOnnx">,
): void {
  const { model, dataset, obsStats } = options;
  const outputs = outputsOf(options);
  for (const { path, kind, isKind } of outputs) {
    checkOutput(path, [model, dataset, obsStats]);
    const twin = outputs.find((one) => one.kind !== kind && isSame(one.path, path));
    if (twin !== undefined) {
      throw refuse(path, `the ${twin.kind} goes there too, name another --emit-onnx or --output`);
    }
    if (existsSync(path) && !isEmpty(path) && !isKind(path)) {
      throw refuse(path, `it exists and is no ${kind}: ${kindOf(path)}, name another output`);
    }
  }
}

function outputsOf({ output, emitOnnx }: Pick<ConvertOptions, "output" | "emitOnnx">): Output[] {
  const rejected = rejectedPath(output);
  return [
    { path: output, kind: ".rknn", isKind: isRknn },
    { path: recordPath(output), kind: "record", isKind: isRecord },
    { path: rejected, kind: "rejected .rknn", isKind: isRknn },
    { path: recordPath(rejected), kind: "record of a rejected .rknn", isKind: isRecord },
    { path: logPath(output), kind: "toolkit's log", isKind: isLog },
    ...(emitOnnx === undefined ? [] : [{ path: emitOnnx, kind: "ONNX", isKind: isOnnx }]),
  ];
}

const refuse = (path: string, found: string): Lite3Error =>
  new Lite3Error("CONFIG", `Cannot write ${quote(path)}: ${found}`);

const placeOf = (path: string): string => (existsSync(path) ? realpathSync(path) : resolve(path));
const isSame = (a: string, b: string): boolean => placeOf(a) === placeOf(b);

function begins(path: string, length: number): Uint8Array {
  using source = openFile(path);
  return source.read(0, Math.min(length, source.size));
}

const textAt = (path: string, length: number): string =>
  new TextDecoder("latin1").decode(begins(path, length));

const isEmpty = (path: string): boolean => begins(path, 1).length === 0;
const isRknn = (path: string): boolean => textAt(path, 4) === "RKNN";
const isLog = (path: string): boolean => textAt(path, LOG_HEADING.length) === LOG_HEADING;

function isOnnx(path: string): boolean {
  try {
    decodeOnnx(readFile(path, LIMITS.modelBytes));
    return true;
  } catch {
    return false;
  }
}

function isRecord(path: string): boolean {
  try {
    const text = new TextDecoder().decode(readFile(path, LIMITS.rknnDocumentBytes));
    const document: unknown = JSON.parse(text);
    return typeof document === "object" && document !== null && "lite3rl" in document;
  } catch {
    return false;
  }
}

/** By the first bytes, as far as those tell. */
function kindOf(path: string): string {
  const begin = textAt(path, 512);
  if (begin.startsWith("RKNN")) return "it is a .rknn";
  if (begin.startsWith("\x93NUMPY")) return "it is a .npy";
  if (begin.startsWith("PK")) return "it is a zip archive, as .npz and .pt are";
  if (isOnnx(path)) return "it is an ONNX";
  if (isRecord(path)) return "it is the record of a conversion";
  return /^[\t\n\r -~\xa0-\xff]*$/.test(begin) ? "it is a text" : "it is another file";
}
