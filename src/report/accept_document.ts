/**
 * What `accept --json` says, as a schema: the document that an acceptance's page, its JUnit file
 * and its archive are made of. `accept.schema.json` is the same for programs in other languages,
 * written by `bun run schema`.
 *
 * `measured` and `limits` are what was found; `rows`, `gaitRows`, `verdict`, `reasons`, `notes` and
 * `looser` follow from them alone, so that whoever has the document can judge again.
 */

import * as v from "valibot";
import { ARITHMETICS } from "../runtime/backend.ts";
import { aboutSchema } from "../wire/protocol.ts";
import { GAIT_LIMITS } from "../run_log/verdict.ts";
import { parityReportSchema } from "./parity_document.ts";

const text = v.string();
const texts = v.array(text);
const real = v.number();
const numbers = v.array(real);
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const limit = v.pipe(v.number(), v.minValue(0));
const sha256 = v.pipe(text, v.regex(/^[0-9a-f]{64}$/));
const evidence = v.picklist(ARITHMETICS);

/** The rows of the table, by the names that `--allow-missing` takes. */
export const ROWS = [
  "latency",
  "preprocessing",
  "parity",
  "power",
  "gait",
  "service",
  "board",
] as const;
export type RowName = (typeof ROWS)[number];

/** A stage that measured, one that could not, or one that broke off at what it measured. */
const stage = <E extends v.ObjectEntries>(entries: E) =>
  v.variant("state", [
    v.strictObject({ state: v.literal("measured"), ...entries }),
    v.strictObject({ state: v.literal("missing"), why: text }),
    v.strictObject({ state: v.literal("failed"), why: text }),
  ]);

const spread = v.strictObject({
  mean: real,
  p50: real,
  p90: real,
  p95: real,
  p99: real,
  p999: real,
  max: real,
});
const part = v.strictObject({ p50: real, p99: real });

const latency = stage({
  evidence,
  /** The file or endpoint that was asked. */
  subject: text,
  backend: text,
  library: v.nullable(v.strictObject({ api: text, driver: text, io: text })),
  warmUp: count,
  queries: count,
  durationS: real,
  /** Queries without an action, and what the first of them said. */
  unanswered: count,
  reason: v.nullable(text),
  us: spread,
  /** The p99 is below this with 99 % confidence; null where the queries are too few to say. */
  p99UpperUs: v.nullable(real),
  split: v.nullable(v.strictObject({ setUs: part, runUs: part, getUs: part })),
  histogram: v.strictObject({ edges: numbers, counts: v.array(count), zeros: count }),
  /** Why it was no NPU that was asked; null where it was one. */
  noNpu: v.nullable(text),
});

const preprocessing = stage({
  steps: texts,
  queries: count,
  us: spread,
  /** Where that was: the doctor's row of the SoC, which is `ok` on an RK3588. */
  soc: v.strictObject({ state: text, found: text }),
});

const parity = stage({ comparison: parityReportSchema });

const powerPhase = v.strictObject({ samples: count, meanW: real, maxW: real });
const power = stage({
  source: text,
  intervalS: real,
  idle: powerPhase,
  load: powerPhase,
  /** Mean under load less mean before. */
  aboveIdleW: real,
  /** Every reading under load was the same: is the source alive? */
  constant: v.boolean(),
  series: v.strictObject({ timeS: numbers, watts: numbers, loadFromS: real }),
});

const perPlace = v.nullable(numbers);
const gaitFigures = v.strictObject({
  steps: count,
  durationS: real,
  velocityErrorMps: v.nullable(real),
  yawErrorRadps: v.nullable(real),
  heightM: v.nullable(v.strictObject({ min: real, max: real, mean: real })),
  rollRmsDeg: v.nullable(real),
  pitchRmsDeg: v.nullable(real),
  slipMps: v.nullable(real),
  footForcePeakN: perPlace,
  footAsymmetry: v.nullable(real),
  torqueRmsNm: perPlace,
  torquePeakNm: perPlace,
  costOfTransport: v.nullable(real),
  /** Null where no period was kept. */
  overruns: v.nullable(count),
  latencyUs: v.strictObject({ p50: real, p99: real, max: real }),
});

/** What the run's log says; every figure can be had from it again. */
const gaitOfLog = {
  falls: count,
  ending: v.nullable(text),
  /** The log has its end. */
  complete: v.boolean(),
  figures: gaitFigures,
  imu: v.nullable(v.strictObject({ angularVelocityRmsRadps: numbers, accelerationPeakMps2: real })),
};
/** For plots: one point for every so many steps; peaks are of those steps. */
const gaitSeries = v.strictObject({
  timeS: numbers,
  heightM: numbers,
  rollDeg: numbers,
  pitchDeg: numbers,
  forwardMps: numbers,
  commandedMps: numbers,
  /** Per foot FL FR HL HR. */
  footForceN: v.array(numbers),
  torqueNm: numbers,
});
const gait = stage({
  environment: text,
  /** Is it a robot, or one in a computer? */
  isSimulated: v.boolean(),
  seed: count,
  requestedS: real,
  evidence,
  policy: text,
  ...gaitOfLog,
  series: gaitSeries,
});

const service = stage({
  how: v.picklist(["started", "given"]),
  endpoint: text,
  /** Its READY line, or that there is none to be had. */
  ready: text,
  about: v.nullable(aboutSchema),
  logLines: count,
});

const boardRow = v.strictObject({ check: text, state: text, found: text, needed: text });
const board = stage({
  place: text,
  board: text,
  rows: v.array(boardRow),
  /** Clocks, temperature and power sensor again, when all was done. */
  after: v.array(boardRow),
  /** Governors that were tried, as they were read before and after the attempt. */
  governors: v.array(v.strictObject({ place: text, before: text, tried: text, readBack: text })),
});

const measured = v.strictObject({ latency, preprocessing, parity, power, gait, service, board });

const row = v.strictObject({
  name: v.picklist(ROWS),
  title: text,
  state: v.picklist(["pass", "fail", "not measured"]),
  found: text,
  limit: text,
  evidence: v.nullable(text),
  /** Why it fails or was not measured; empty where it passes. */
  why: text,
  allowedMissing: v.boolean(),
});

const gaitRow = v.strictObject({
  name: v.picklist(Object.keys(GAIT_LIMITS) as (keyof typeof GAIT_LIMITS)[]),
  found: v.nullable(real),
  limit,
  ok: v.boolean(),
  where: v.exactOptional(text),
});

const limits = v.strictObject({
  npu_latency_p99_ms: limit,
  preprocessing_p99_ms: limit,
  mae: limit,
  power_w: limit,
  gait_duration_s: limit,
  latency_queries_min: limit,
  latency_duration_s: limit,
  gait: v.strictObject(
    Object.fromEntries(Object.keys(GAIT_LIMITS).map((name) => [name, limit])) as Record<
      keyof typeof GAIT_LIMITS,
      typeof limit
    >,
  ),
});

export const VERDICTS = ["PASS", "FAIL", "INCOMPLETE"] as const;

export const acceptDocumentSchema = v.strictObject({
  format: v.literal(1),
  verdict: v.picklist(VERDICTS),
  /** Why it is not PASS; one sentence each. */
  reasons: texts,
  /** What a PASS leaves open. */
  notes: texts,
  /** Limits that demand less than the usual: `overrun_share 0.9 > 0.01`. */
  looser: texts,
  rows: v.array(row),
  gaitRows: v.array(gaitRow),
  version: text,
  startedAt: text,
  endedAt: text,
  machine: text,
  model: text,
  limits,
  allowMissing: v.array(v.picklist(ROWS)),
  measured,
  /** Every file that took part. */
  files: v.array(v.strictObject({ role: text, path: text, bytes: count, sha256 })),
  /** The archive's files beside this document and the digests; the page is made of this document. */
  members: v.array(v.strictObject({ name: text, sha256: v.nullable(sha256) })),
});

/** `accept --json`: the document, and the archive that has it as `report.json`. */
export const acceptReportSchema = v.strictObject({
  archive: v.exactOptional(text),
  sha256: v.exactOptional(sha256),
  ...acceptDocumentSchema.entries,
});

export type AcceptDocument = v.InferOutput<typeof acceptDocumentSchema>;
export type Measured = AcceptDocument["measured"];
export type AcceptRow = AcceptDocument["rows"][number];
export type AcceptLimits = AcceptDocument["limits"];
/** What a stage gives that measured. */
export type MeasuredOf<N extends RowName> = Extract<Measured[N], { state: "measured" }>;
