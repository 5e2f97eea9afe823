import { expect, test } from "bun:test";
import type { AcceptDocument } from "./accept_document.ts";
import { renderAcceptPage } from "./accept_page.ts";
import { ABOUT, MEASURED } from "./accept_report_fixture.ts";
import { bareMarkup, chromium, openInBrowser, rootOf, textOf } from "./browser_fixture.ts";
import { HOSTILE } from "./parity_report_fixture.ts";

const ROW = {
  name: "latency",
  title: "NPU latency",
  state: "pass",
  found: "1500 µs of 11000 queries",
  limit: "< 5 ms",
  evidence: "npu",
  why: "",
  allowedMissing: false,
} as const;

const DOCUMENT = {
  ...ABOUT,
  verdict: "FAIL",
  reasons: ["steady power: 11 W on average, need below the limit"],
  notes: ["gait: not measured, which was allowed: no service"],
  rows: [
    ROW,
    { ...ROW, name: "power", title: "steady power", state: "fail", why: "11 W on average" },
    { ...ROW, name: "gait", title: "gait", state: "not measured", why: "no service" },
  ],
  gaitRows: [{ name: "slip_mps", found: 0.1, limit: 0.25, ok: true }],
  looser: ["power_w 12 > 10"],
  limits: { npu_latency_p99_ms: 5, power_w: 10 },
  allowMissing: ["gait"],
  measured: MEASURED,
} as unknown as AcceptDocument;

/** Latency, power, and five of the gait. */
const PLOTS = 7;

test("renderAcceptPage() says the verdict, each row, and the figures behind it", () => {
  const text = textOf(renderAcceptPage(DOCUMENT));
  for (const part of [
    "✕ Failed; limits (looser: power_w 12 &#62; 10) lite3rl 0.1.0 accept 2026-09-01 12:33 UTC arm64, 8 cores",
    "policy.rknn: 1 row passed, 1 failed, 1 not measured",
    "steady power: 11 W on average, need below the limit",
    "✓ NPU latency &#60; 5 ms 1500 µs of 11000 queries npu",
    "○ gait &#60; 5 ms 1500 µs of 11000 queries not measured: no service",
    "policy.rknn by rknn, which rests on npu: one query at a time",
    "with 99 % confidence the p99 is at most 1600 µs",
    "inputs set 10",
    "7.50 W on average of 600 readings under load, at most 8.10 W; 5.00 W of 10 before",
    "In lite3, a simulation, seed 0, through unix:/tmp/lite3rl/s",
    "temperature soc 41 °C soc 55 °C",
    "/sys/class/devfreq/dmc/governor dmc_ondemand, tried performance performance",
    `model: policy.rknn 100 ${"a".repeat(64)}`,
  ]) {
    expect(text).toContain(part);
  }
});

test("renderAcceptPage() shows a pass in green only where it has no terms", () => {
  const rows = DOCUMENT.rows.filter(({ state }) => state === "pass");
  const pass: AcceptDocument = { ...DOCUMENT, verdict: "PASS", rows, looser: [] };
  const without = { ...ROW, name: "power", state: "not measured", allowedMissing: true } as const;
  const badge = (document: AcceptDocument) =>
    /<span class="(verdict [^"]*)"[^>]*>([^<]*)</.exec(renderAcceptPage(document))?.slice(1);
  expect([badge(pass), badge({ ...pass, rows: [...rows, without] })]).toEqual([
    ["verdict good", "✓ Passed"],
    ["verdict ", "✓ Passed without power"],
  ]);
});

const UNMEASURED: AcceptDocument = {
  ...DOCUMENT,
  measured: Object.fromEntries(
    Object.keys(MEASURED).map((name) => [name, { state: "missing", why: `no ${name} here` }]),
  ) as never,
};

test("renderAcceptPage() says why in place of what was not measured", () => {
  const text = textOf(renderAcceptPage(UNMEASURED));
  for (const name of ["latency", "parity", "power", "gait", "board"]) {
    expect(text).toContain(`no ${name} here`);
  }
});

/** Every text of the document replaced by an attack. */
function attacked(value: unknown): unknown {
  if (typeof value === "string") return HOSTILE;
  if (Array.isArray(value)) return value.map(attacked);
  if (typeof value !== "object" || value === null) return value;
  const kept = ["state", "verdict"];
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      kept.includes(key) ? inner : attacked(inner),
    ]),
  );
}
const ATTACKED = attacked(DOCUMENT) as AcceptDocument;

test("renderAcceptPage() has no element of an attack, and nothing from elsewhere", () => {
  const page = renderAcceptPage(ATTACKED);
  expect(bareMarkup(page)).not.toMatch(/<img|onerror="/);
  expect(page.match(/\s(?:src|href|action|poster|data|srcset)="[^"]*"/g)).toEqual([
    ' href="data:,"',
  ]);
});

test.skipIf(!chromium)(
  "the page draws its plots in a browser, and none of what was not measured",
  async () => {
    const root = async (page: AcceptDocument) => {
      return rootOf(await openInBrowser(renderAcceptPage(page)));
    };
    expect([await root(DOCUMENT), await root(ATTACKED), await root(UNMEASURED)]).toEqual(
      [PLOTS, PLOTS, 0].map((plots) => `<html lang="en" data-plots="${plots}">`),
    );
  },
  60_000,
);
