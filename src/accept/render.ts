/**
 * An acceptance, and the check of an archive, as a person reads them on a terminal.
 */

import { plain } from "../base/text.ts";
import { figure, microseconds, paint, passed, table } from "../cli/output.ts";
import type { AcceptDocument, AcceptRow } from "../report/accept_document.ts";
import { verdictLine } from "../report/verdict_line.ts";
import type { Suite } from "../report/junit.ts";
import type { Verification } from "./verify.ts";

const STATES = {
  pass: () => paint("green", "ok"),
  fail: () => paint("red", "FAILED"),
  "not measured": () => paint("yellow", "not measured"),
} as const;

export function renderAcceptance(document: AcceptDocument, archive: string | undefined) {
  const rows = document.rows.map(({ title, state, limit, found, evidence }) => [
    title,
    limit,
    found,
    evidence ?? "",
    STATES[state](),
  ]);
  return [
    table(["criterion", "limit", "found", "rests on", ""], rows),
    "",
    ...latencyLines(document),
    ...document.reasons,
    ...document.notes,
    archive ?? "nothing was archived",
    `verdict: ${verdictLine(document)}`,
  ].join("\n");
}

function latencyLines({ measured: { latency } }: AcceptDocument): string[] {
  if (latency.state !== "measured") return [];
  const { us, split, evidence, queries, warmUp, p99UpperUs } = latency;
  const quantiles = (["p50", "p90", "p95", "p99", "p999", "max"] as const).map(
    (key) => `${key === "p999" ? "p99.9" : key} ${microseconds(us[key])}`,
  );
  const sure = p99UpperUs === null ? "" : `; p99 at most ${microseconds(p99UpperUs)} (99 % sure)`;
  const parts =
    split === null
      ? ""
      : `; p50 of set ${figure(split.setUs.p50)}, run ${figure(split.runUs.p50)}, ` +
        `get ${figure(split.getUs.p50)} µs`;
  return [
    `latency (${evidence}): ${quantiles.join(", ")}${parts}; ${queries} queries after ` +
      `${warmUp} to warm up${sure}`,
  ];
}

export function renderVerification({ archive, sha256, sound, checks, document }: Verification) {
  return [
    table(
      ["", "", ""],
      checks.map(({ name, ok, detail }) => [name, passed(ok), detail]),
    ).trimStart(),
    "",
    `${archive}: sha256 ${sha256}`,
    ...(document === undefined
      ? []
      : [`of ${plain(document.model)}, ${plain(document.startedAt)}`]),
    sound && document !== undefined
      ? `sound; its verdict: ${verdictLine(document)}`
      : "NOT sound: its verdict counts for nothing",
  ].join("\n");
}

/** A row that may not be missing fails there too: a CI must not be green without it. */
export function suiteOf(document: AcceptDocument): Suite {
  const { model, rows } = document;
  const cases = rows.map((row) => ({
    name: row.title,
    failures: failuresOf(row),
    ...(row.state === "not measured" && row.allowedMissing ? { skipped: row.why } : {}),
  }));
  const evidence = rows.map(({ name, evidence: of }) => [`evidence.${name}`, of ?? ""]);
  return {
    name: model,
    properties: { verdict: verdictLine(document), ...Object.fromEntries(evidence) },
    cases,
  };
}

export function failuresOf({ state, why, allowedMissing }: AcceptRow): readonly string[] {
  if (state === "fail") return [why];
  return state === "not measured" && !allowedMissing ? [`not measured: ${why}`] : [];
}
