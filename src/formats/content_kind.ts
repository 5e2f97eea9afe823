/**
 * What a file is by its first bytes: names lie, and a message that says what was given beats one
 * that says what it is not.
 */

import { isRknn } from "./rknn.ts";

const NPY_MAGIC = "\x93NUMPY";
/** Of a zip's first entry (APPNOTE 4.3.7): torch files and .npz are zips. */
const ZIP_MAGIC = "PK\x03\x04";

/** The kinds that have a magic number; nothing for all others, such as ONNX. */
export function contentKind(start: Uint8Array): "rknn" | "npy" | "zip" | undefined {
  const text = Buffer.from(start.subarray(0, 8)).toString("latin1");
  if (isRknn(start)) return "rknn";
  if (text.startsWith(NPY_MAGIC)) return "npy";
  return text.startsWith(ZIP_MAGIC) ? "zip" : undefined;
}
