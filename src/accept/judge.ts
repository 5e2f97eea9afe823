/**
 * The verdict of an acceptance, which follows from what was measured and the limits alone:
 * `accept verify` judges again with the figures of the archive.
 *
 * - A row that was measured passes or fails by its limit; what broke off while it was measured
 *   fails. A row that was not measured neither passes nor fails, and is never assumed.
 * - FAIL: a row fails. INCOMPLETE: a row was not measured and may not be missing, or figures are
 *   those of a test double. PASS: neither.
 * - Preprocessing and the board's state pass on an RK3588 only.
 * - NPU latency passes on an NPU only. A test double's figure can fail the row and never pass it.
 */

import { plural } from "../base/text.ts";
import { figure, microseconds } from "../cli/output.ts";
import {
  type AcceptDocument,
  type AcceptLimits,
  type AcceptRow,
  type Measured,
  type RowName,
  ROWS,
} from "../report/accept_document.ts";
import { looserThanUsual } from "./limits.ts";
import { judgeGait } from "../run_log/verdict.ts";

export interface Judgement extends Pick<
  AcceptDocument,
  "rows" | "gaitRows" | "verdict" | "reasons" | "notes" | "looser"
> {}

/** What a row comes to, before it is known whether it may be missing. */
interface Finding {
  readonly state: AcceptRow["state"];
  readonly found: string;
  readonly evidence: string | null;
  readonly why: string;
}

const TITLES: Readonly<Record<RowName, string>> = {
  latency: "NPU latency, batch 1, p99",
  preprocessing: "preprocessing, p99",
  parity: "actions, .onnx and .rknn, MAE",
  power: "steady power",
  gait: "gait",
  service: "service start",
  board: "board state",
};

export function judgeAcceptance(
  measured: Measured,
  limits: AcceptLimits,
  allowMissing: readonly RowName[],
): Judgement {
  const { gait } = measured;
  const gaitRows =
    gait.state === "measured" ? judgeGait(gait.figures, gait.falls, limits.gait) : [];
  const findings: Readonly<Record<RowName, Finding>> = {
    latency: judgeLatency(measured.latency, limits),
    preprocessing: judgePreprocessing(measured.preprocessing, limits),
    parity: judgeParity(measured, limits),
    power: judgePower(measured.power, limits),
    gait: judgeRun(gait, limits, gaitRows.filter(({ ok }) => !ok).map(describeBroken)),
    service: judgeService(measured.service),
    board: judgeBoard(measured.board),
  };
  const rows = ROWS.map((name): AcceptRow => {
    const { state, found, evidence, why } = findings[name];
    const [title, limit] = [TITLES[name], limitText(name, limits)];
    const allowedMissing = allowMissing.includes(name);
    return { name, title, state, found, limit, evidence, why, allowedMissing };
  });
  const judged = {
    rows,
    gaitRows: structuredClone([...gaitRows]),
    looser: looserThanUsual(limits),
  };
  return { ...judged, ...conclude(rows, measured) };
}

function conclude(rows: readonly AcceptRow[], measured: Measured) {
  const failed = rows.filter(({ state }) => state === "fail");
  const unmeasured = rows.filter(({ state }) => state === "not measured");
  const missing = unmeasured.filter(({ allowedMissing }) => !allowedMissing);
  const isDouble = evidencesOf(measured).includes("double");
  const say = ({ title, why }: AcceptRow): string => `${title}: ${why}`;
  return {
    verdict:
      failed.length > 0
        ? ("FAIL" as const)
        : missing.length > 0 || isDouble
          ? ("INCOMPLETE" as const)
          : ("PASS" as const),
    reasons: [
      ...failed.map(say),
      ...missing.map((row) => `${row.title}: not measured: ${row.why}`),
      ...(isDouble ? ["figures of a test double of the NPU library stand for no NPU"] : []),
    ],
    notes: unmeasured
      .filter(({ allowedMissing }) => allowedMissing)
      .map((row) => `${row.title}: not measured, which was allowed: ${row.why}`),
  };
}

/** On what the figures rest, of all that was measured. */
function evidencesOf({
  latency,
  parity,
  gait,
  service,
}: Measured): readonly (string | undefined)[] {
  return [
    ...(latency.state === "measured" ? [latency.evidence] : []),
    ...(parity.state === "measured" ? Object.values(parity.comparison.evidence) : []),
    ...(gait.state === "measured" ? [gait.evidence] : []),
    ...(service.state === "measured" ? [service.about?.evidence] : []),
  ];
}

function limitText(name: RowName, limits: AcceptLimits): string {
  const texts: Partial<Record<RowName, string>> = {
    latency: `< ${limits.npu_latency_p99_ms} ms`,
    preprocessing: `< ${limits.preprocessing_p99_ms} ms`,
    parity: `< ${figure(limits.mae)}`,
    power: `< ${limits.power_w} W`,
    gait: `${limits.gait_duration_s} s within ${Object.keys(limits.gait).length} limits`,
  };
  return texts[name] ?? "recorded";
}

const pass = (found: string, evidence: string | null): Finding => ({
  state: "pass",
  found,
  evidence,
  why: "",
});

const fail = (found: string, evidence: string | null, why: string): Finding => ({
  state: "fail",
  found,
  evidence,
  why,
});

const unmeasured = (why: string, found = "", evidence: string | null = null): Finding => ({
  state: "not measured",
  found,
  evidence,
  why,
});

/** Of a stage that did not measure. */
function unfinished(stage: {
  readonly state: "missing" | "failed";
  readonly why: string;
}): Finding {
  return stage.state === "missing" ? unmeasured(stage.why) : fail("", null, stage.why);
}

function judgeLatency(stage: Measured["latency"], limits: AcceptLimits): Finding {
  if (stage.state !== "measured") return unfinished(stage);
  const { evidence, us, queries, durationS, noNpu } = stage;
  const found = `${microseconds(us.p99)} of ${queries} queries`;
  const isNpu = evidence === "npu";
  const why = noNpu ?? `it rests on ${evidence}`;
  if (!isNpu && evidence !== "double") {
    return unmeasured(`${why}; ${evidence} took ${microseconds(us.p99)}, which is no NPU's`);
  }
  if (!(us.p99 < limits.npu_latency_p99_ms * 1000)) {
    return fail(found, evidence, `p99 is ${microseconds(us.p99)}, need below the limit`);
  }
  if (!isNpu) return unmeasured(why, found, evidence);
  const { latency_queries_min: queriesMin, latency_duration_s: durationMinS } = limits;
  if (queries < queriesMin || durationS < durationMinS) {
    const enough = `${queriesMin} queries in ${durationMinS} s or more`;
    return unmeasured(
      `${queries} queries in ${figure(durationS)} s, need ${enough}`,
      found,
      evidence,
    );
  }
  return pass(found, evidence);
}

function judgePreprocessing(stage: Measured["preprocessing"], limits: AcceptLimits): Finding {
  if (stage.state !== "measured") return unfinished(stage);
  const { us, queries, soc } = stage;
  const found = `${figure(us.p99)} µs of ${queries} observations`;
  if (soc.state !== "ok") {
    return unmeasured(`${noBoard(soc)}; this CPU took ${figure(us.p99)} µs`);
  }
  if (us.p99 < limits.preprocessing_p99_ms * 1000) return pass(found, "cpu");
  return fail(found, "cpu", `p99 is ${microseconds(us.p99)}, need below the limit`);
}

const noBoard = ({ found }: { readonly found: string }): string => `no RK3588: ${found}`;

/** The errors, the checks of the file, and whether every query of the latency had an action. */
function judgeParity({ parity, latency }: Measured, limits: AcceptLimits): Finding {
  const silent =
    latency.state === "measured" && latency.unanswered > 0
      ? [`${plural(latency.unanswered, "query", "queries")} had no action: ${latency.reason}`]
      : [];
  if (parity.state !== "measured") {
    return silent.length > 0 ? fail("", null, silent.join("; ")) : unfinished(parity);
  }
  const { mae, samples, evidence, checks } = parity.comparison;
  const failures = [...checks.flatMap((check) => check.failures), ...silent];
  const rests = `${evidence.a} and ${evidence.b}`;
  const found = `${figure(mae)} on ${samples} observations`;
  if (mae < limits.mae && failures.length === 0) return pass(found, rests);
  return fail(found, rests, failures.join("; ") || `MAE is ${figure(mae)}, need below the limit`);
}

function judgePower(stage: Measured["power"], limits: AcceptLimits): Finding {
  if (stage.state !== "measured") return unfinished(stage);
  const { load, aboveIdleW, source, constant } = stage;
  const sign = aboveIdleW < 0 ? "" : "+";
  const found = `${figure(load.meanW)} W under load (${sign}${figure(aboveIdleW)} W above idle)`;
  if (!(load.meanW < limits.power_w)) {
    return fail(found, source, `${figure(load.meanW)} W on average, need below the limit`);
  }
  // A sensor of a board at work flickers: one that stands still may be dead, or a made-up number.
  if (constant) {
    const readings = plural(load.samples, "reading");
    return unmeasured(`the reading never changed, ${readings} under load`, found, source);
  }
  return pass(found, source);
}

function judgeRun(
  stage: Measured["gait"],
  limits: AcceptLimits,
  broken: readonly string[],
): Finding {
  if (stage.state !== "measured") return unfinished(stage);
  const { figures, ending, imu, isSimulated, environment, evidence, complete } = stage;
  const rests = `${evidence}, ${environment}${isSimulated ? " (simulation)" : ""}`;
  const found = `${figure(figures.durationS)} s, ${figures.steps} steps, falls ${stage.falls}`;
  if (broken.length > 0) {
    return fail(found, rests, [...(ending === null ? [] : [ending]), ...broken].join("; "));
  }
  if (!complete) return unmeasured("the log of the run has no end", found, rests);
  if (imu === null) return unmeasured("the log of the run has no IMU", found, rests);
  if (figures.durationS < limits.gait_duration_s) {
    const needed = `need ${limits.gait_duration_s} s; --duration is shorter`;
    return unmeasured(`${figure(figures.durationS)} s, ${needed}`, found, rests);
  }
  return pass(found, rests);
}

function describeBroken(row: AcceptDocument["gaitRows"][number]): string {
  const { name, found, limit, where } = row;
  const value = found === null ? "not measured" : figure(found);
  const side = name.includes("_min_") ? "at least" : "at most";
  return `${name} is ${value}${where === undefined ? "" : ` (${where})`}, ${side} ${figure(limit)}`;
}

function judgeService(stage: Measured["service"]): Finding {
  if (stage.state !== "measured") return unfinished(stage);
  const { how, about, logLines, endpoint } = stage;
  const who = about === null ? "unstated" : `${about.backend}, ${about.evidence}`;
  const found =
    how === "started" ? `started and ended, ${logLines} lines of log` : `${endpoint} answers`;
  return pass(found, how === "started" ? who : `${who}, by its own word`);
}

function judgeBoard(stage: Measured["board"]): Finding {
  if (stage.state !== "measured") return unfinished(stage);
  const { rows, governors, place } = stage;
  const set = governors.filter(({ tried, readBack }) => tried === readBack).length;
  const tried = governors.length === 0 ? "" : `, ${set} of ${governors.length} governors set`;
  const found = `${rows.length} checks recorded${tried}`;
  const soc = rows.find(({ check }) => check === "SoC");
  if (soc?.state !== "ok") {
    return unmeasured(noBoard(soc ?? { found: "nobody knows which" }), found, place);
  }
  return pass(found, place);
}
