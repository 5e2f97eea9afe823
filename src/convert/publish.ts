/**
 * The end of a conversion: a file that passed takes its name, together with its record; one that
 * did not lies beside, and what had the name keeps it.
 */

import { existsSync } from "node:fs";
import { version } from "../../package.json" with { type: "json" };
import { removeFile, sha256, writeDescribedFile } from "../base/files.ts";
import { notice } from "../base/log.ts";
import { metadata } from "../formats/onnx.ts";
import { type ConversionRecord, encodeRecord, recordPath } from "../policy/conversion_record.ts";
import type { ClosedLoop } from "../report/closed_loop_document.ts";
import type { Built } from "./build.ts";
import type { Conversion } from "./conversion.ts";
import { logPath, rejectedPath } from "./outputs.ts";
import { recipeArguments } from "./recipe.ts";

export interface Published {
  /** Where the .rknn is. */
  readonly path: string;
  readonly recordPath: string;
  readonly record: ConversionRecord;
}

/** Writes the file and its record, both or neither. */
export function publish(conversion: Conversion, built: Built, seconds: number): Published {
  const { output, force } = conversion.options;
  const passed = built.problems.length === 0;
  const path = passed || force ? output : rejectedPath(output);
  const record = recordOf(conversion, built, { forced: !passed && force, seconds });
  writeDescribedFile(path, built.rknn, { path: recordPath(path), text: encodeRecord(record) });
  removeFile(logPath(output));
  if (passed) removeRejected(output);
  return { path, recordPath: recordPath(path), record };
}

/** What an earlier conversion had refused is no longer of this output. */
function removeRejected(output: string): void {
  const rejected = rejectedPath(output);
  if (!existsSync(rejected)) return;
  removeFile(rejected);
  removeFile(recordPath(rejected));
  notice(`removed ${rejected}, which an earlier conversion had left`);
}

function recordOf(
  { options, choice, prepared, samples }: Conversion,
  built: Built,
  { forced, seconds }: { readonly forced: boolean; readonly seconds: number },
): ConversionRecord {
  const { candidate, parity, closedLoop, weights, problems } = built;
  const isQuantised = candidate.precision !== "fp16";
  const { set } = samples;
  return {
    lite3rl: version,
    created: new Date().toISOString(),
    model: {
      file: options.model,
      sha256: sha256(prepared.file.bytes),
      metadata: Object.fromEntries(metadata(prepared.model)),
    },
    rknn: { sha256: built.sha256, bytes: built.rknn.length },
    target: options.target,
    precision: candidate.precision,
    algorithm: isQuantised ? choice.algorithm : null,
    method: isQuantised ? choice.method : null,
    float16Layers: [...candidate.float16Layers],
    toolkitLayers: [...built.toolkitLayers],
    toolkit: { ...built.versions },
    calibration: set && {
      file: set.file,
      sha256: set.sha256,
      rows: set.rows,
      calibrationRows: samples.calibrationRows,
      heldOutRows: samples.heldOutRows,
      duplicates: set.duplicates,
      constantColumns: set.constantColumns.map((column) => ({ ...column })),
      normalisedBy: set.normalisedBy,
    },
    seed: samples.seed,
    parity: {
      evidence: "toolkit-simulator",
      samples: parity.samples,
      label: samples.label,
      mae: parity.mae,
      max: parity.max,
      cosine: parity.cosine,
      perOutput: parity.perOutput.map(({ name, mae, max }) => ({ name, mae, max })),
      gate: options.mae,
      pass: parity.mae <= options.mae,
    },
    ...(closedLoop && { closedLoop: recordOfWalk(closedLoop) }),
    weights: {
      holds: weights.holds,
      layers: weights.layers.map(({ first, ...check }) => ({
        ...check,
        ...(first && { first: { ...first, index: [...first.index] } }),
      })),
      unproven: [...weights.unproven],
    },
    problems: [...problems],
    forced,
    stages: { ...built.stages },
    seconds,
    recipe: recipeArguments(options, choice, candidate, built.versions["rknn-toolkit2"]),
  };
}

/** Without the single episodes, which the seed gives again. */
function recordOfWalk({ verdict, episodes, seed, level, figures }: ClosedLoop) {
  return { verdict, evidence: "emulation" as const, episodes, seed, level, figures };
}
