/**
 * What `lite3rl convert` writes beside a `.rknn`, as `policy.rknn.json`: of which model the file
 * was made and how, what was proven of it, and everything that is needed to make it again. It
 * names the file by its digest, so that it never speaks for another one.
 */

import { existsSync } from "node:fs";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { DISK, readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Figure = v.pipe(v.number(), v.finite());
const Digest = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const Texts = v.record(v.string(), v.string());
const Seconds = v.record(v.string(), Figure);

const WeightCheck = v.strictObject({
  layer: v.string(),
  parameter: v.picklist(["weight", "bias"]),
  dtype: v.picklist(["float16", "float32", "int8", "int16", "int32"]),
  /** In the file; null where it was not found. */
  offset: v.nullable(Count),
  elements: Count,
  differing: Count,
  first: v.exactOptional(
    v.strictObject({ index: v.array(Count), offset: Count, file: v.number(), model: v.number() }),
  ),
  maxError: v.number(),
});

const ConversionRecord = v.strictObject({
  lite3rl: v.string(),
  /** ISO 8601, UTC. */
  created: v.pipe(v.string(), v.isoTimestamp()),
  model: v.strictObject({ file: v.string(), sha256: Digest, metadata: Texts }),
  rknn: v.strictObject({ sha256: Digest, bytes: Count }),
  target: v.string(),
  precision: v.picklist(["fp16", "w8a8", "hybrid"]),
  /** Null for fp16. */
  algorithm: v.nullable(v.picklist(["normal", "mmse", "kl_divergence"])),
  method: v.nullable(v.picklist(["channel", "layer"])),
  /** Of a hybrid: ONNX outputs, and the toolkit's own names. */
  float16Layers: v.array(v.string()),
  toolkitLayers: v.array(v.string()),
  /** Versions of rknn-toolkit2 and what it stands on. */
  toolkit: Texts,
  /** The set that was given; null where the judge's rows were generated. */
  calibration: v.nullable(
    v.strictObject({
      file: v.string(),
      sha256: Digest,
      rows: Count,
      calibrationRows: Count,
      heldOutRows: Count,
      duplicates: Count,
      constantColumns: v.array(v.strictObject({ column: Count, value: v.number() })),
      normalisedBy: v.nullable(Digest),
    }),
  ),
  seed: Count,
  /** The toolkit's simulator against the model, on rows that the toolkit did not see. */
  parity: v.strictObject({
    evidence: v.literal("toolkit-simulator"),
    samples: Count,
    label: v.string(),
    mae: Figure,
    max: Figure,
    cosine: Figure,
    perOutput: v.array(v.strictObject({ name: v.string(), mae: Figure, max: Figure })),
    gate: Figure,
    pass: v.boolean(),
  }),
  /** How it walks beside the policy, emulated with its own weights, where that was asked for. */
  closedLoop: v.exactOptional(
    v.strictObject({
      verdict: v.string(),
      evidence: v.literal("emulation"),
      episodes: Count,
      seed: Count,
      level: Figure,
      figures: v.array(
        v.strictObject({
          name: v.string(),
          unit: v.string(),
          a: v.nullable(Figure),
          b: v.nullable(Figure),
          worsening: v.nullable(v.strictObject({ mean: Figure, low: Figure, high: Figure })),
          margin: Figure,
          pairs: Count,
          verdict: v.string(),
        }),
      ),
    }),
  ),
  weights: v.strictObject({
    holds: v.boolean(),
    layers: v.array(WeightCheck),
    /** Recurrent cells, whose weights are proven by values only. */
    unproven: v.array(v.string()),
  }),
  /** Why the file is not the policy; empty where it passed. */
  problems: v.array(v.string()),
  /** Kept under its name although it did not pass. */
  forced: v.boolean(),
  stages: Seconds,
  seconds: Figure,
  /** Arguments of lite3rl that make the file again. */
  recipe: v.array(v.string()),
});

export type ConversionRecord = v.InferOutput<typeof ConversionRecord>;

/** `policy.rknn` → `policy.rknn.json`. */
export const recordPath = (rknn: string): string => `${rknn}.json`;

export function encodeRecord(record: ConversionRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** The record beside a `.rknn`, of whatever file it is; nothing where there is none. */
export function readRecordBeside(rknn: string): ConversionRecord | undefined {
  return existsSync(recordPath(rknn)) ? readAny(rknn) : undefined;
}

function readAny(rknn: string, files = DISK): ConversionRecord {
  const path = recordPath(rknn);
  const bytes = readFile(path, LIMITS.rknnDocumentBytes, files);
  return parseRecord(new TextDecoder().decode(bytes), path);
}

/** Reads the record of a `.rknn`; refuses one of another file by its digest. */
export function readRecord(rknn: string, digest: string, files = DISK): ConversionRecord {
  const path = recordPath(rknn);
  const record = readAny(rknn, files);
  if (record.rknn.sha256 === digest) return record;
  throw new Lite3Error(
    "CONFIG",
    `Cannot use ${quote(path)}: it describes a file ${record.rknn.sha256.slice(0, 12)}…, and ` +
      `${quote(rknn)} is ${digest.slice(0, 12)}…, as when a conversion is cut off; convert the model again`,
  );
}

function parseRecord(text: string, path: string): ConversionRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed(path, error instanceof Error ? error.message : "no JSON");
  }
  const checked = v.safeParse(ConversionRecord, value);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  throw malformed(path, `${v.getDotPath(issue) ?? "the document"}: ${issue.message}`);
}

const malformed = (path: string, why: string): Lite3Error =>
  new Lite3Error(
    "MALFORMED",
    `Cannot read ${quote(path)}: ${why}; need what lite3rl convert wrote; delete it or convert again`,
  );
