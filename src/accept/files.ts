/**
 * Digests of every file that took part, the program and the NPU's library included.
 */

import { existsSync } from "node:fs";
import { findRknnLibrary } from "../../ffi/rknn_library.ts";
import { openFile, sha256Source } from "../base/files.ts";
import { recordPath } from "../policy/conversion_record.ts";
import type { AcceptDocument } from "../report/accept_document.ts";
import type { AcceptOptions } from "./accept.ts";
import type { Subject } from "./subject.ts";

export function describeFiles(
  options: AcceptOptions,
  { onnx }: Pick<Subject, "onnx">,
): AcceptDocument["files"] {
  const { model, obsStats, dataset, limitsPath, npu } = options;
  const roles: readonly (readonly [string, string | undefined])[] = [
    ["model", model],
    ["record", recordPath(model)],
    ["onnx", onnx === model ? undefined : onnx],
    ["obs-stats", obsStats],
    ["dataset", dataset],
    ["limits", limitsPath],
    ["librknnrt", findRknnLibrary(npu.librknnrt)],
    ["program", process.execPath],
  ];
  return roles.flatMap(([role, path]) => {
    if (path === undefined || !existsSync(path)) return [];
    using source = openFile(path);
    return [{ role, path, bytes: source.size, sha256: sha256Source(source) }];
  });
}
