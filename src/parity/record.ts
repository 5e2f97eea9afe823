/**
 * The record that `lite3rl convert` left beside a .rknn, held against the file and the ONNX: it
 * speaks for the file only while both are what they were.
 */

import { quote } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { readRecordBeside, recordPath } from "../policy/conversion_record.ts";

/** How convert accepted a file that also walked: in words for whoever holds it to MAE alone. */
export function walkedWords(rknn: string): string | undefined {
  const record = readRecordBeside(rknn);
  if (record?.closedLoop === undefined || record.forced) return undefined;
  const { closedLoop, parity } = record;
  return (
    `${rknn}: convert accepted it by its walk (${closedLoop.verdict}, ${closedLoop.episodes} ` +
    `episodes) at MAE ${parity.gate}; --closed-loop --mae ${parity.gate} asks for the same`
  );
}

export interface RecordFit {
  /** `own`: of this file and this ONNX; `other-model`: of this file, made of other ONNX bytes. */
  readonly record: "none" | "own" | "other-model" | "other-file";
  /** The simulator passed the file against this very ONNX. */
  readonly stands: boolean;
  readonly failures: readonly string[];
  readonly warnings: readonly string[];
}

export function fitRecord(
  rknn: { readonly path: string; readonly bytes: Uint8Array },
  model: { readonly path: string; readonly bytes: Uint8Array },
): RecordFit {
  const record = readRecordBeside(rknn.path);
  if (record === undefined) return { record: "none", stands: false, failures: [], warnings: [] };
  const path = quote(recordPath(rknn.path));
  const short = (digest: string): string => `${digest.slice(0, 12)}…`;
  const [ofFile, ofModel] = [sha256(rknn.bytes), sha256(model.bytes)];
  if (record.rknn.sha256 !== ofFile) {
    const failure =
      `${quote(rknn.path)} is ${short(ofFile)}, but ${path} describes ` +
      `${short(record.rknn.sha256)}: the file was changed after it was judged, convert again`;
    return { record: "other-file", stands: false, failures: [failure], warnings: [] };
  }
  const isOwn = record.model.sha256 === ofModel;
  const { pass, mae, gate } = record.parity;
  const passed = pass && record.weights.holds && record.problems.length === 0 && !record.forced;
  const warnings = [
    ...(isOwn
      ? []
      : [
          `${path} is of another ONNX file: ${short(record.model.sha256)}, ` +
            `${quote(model.path)} is ${short(ofModel)}`,
        ]),
    ...(passed
      ? []
      : [
          `${path}: it did not pass (MAE ${mae} against ${gate})` +
            `${record.forced ? " and was kept by --force" : ""}` +
            `${record.problems.length === 0 ? "" : `: ${record.problems.join("; ")}`}`,
        ]),
  ];
  return { record: isOwn ? "own" : "other-model", stands: isOwn && passed, failures: [], warnings };
}
