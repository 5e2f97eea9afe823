import { describe, expect, test } from "bun:test";
import type { Measured, RowName } from "../report/accept_document.ts";
import { MEASURED } from "../report/accept_report_fixture.ts";
import { judgeAcceptance } from "./judge.ts";
import { verdictLine } from "../report/verdict_line.ts";
import { ACCEPT_LIMITS } from "./limits.ts";

type Change = { readonly [N in RowName]?: object };

/** What was measured, with some fields of some stages otherwise. */
const but = (change: Change): Measured =>
  Object.fromEntries(
    Object.entries(MEASURED).map(([name, stage]) => [
      name,
      { ...stage, ...change[name as RowName] },
    ]),
  ) as Measured;

/** The verdict, and the rows that do not pass. */
function judged(change: Change, allowMissing: readonly RowName[] = []) {
  const measured = but(change);
  const { verdict, rows } = judgeAcceptance(measured, ACCEPT_LIMITS, allowMissing);
  const others = rows.filter(({ state }) => state !== "pass");
  return [verdict, ...others.map(({ name, state, why }) => `${name} ${state}: ${why}`)];
}

const us = MEASURED.latency.state === "measured" ? MEASURED.latency.us : undefined;
const comparison = MEASURED.parity.state === "measured" ? MEASURED.parity.comparison : undefined;
const figures = MEASURED.gait.state === "measured" ? MEASURED.gait.figures : undefined;
const slow = { us: { ...us, p99: 6000 } };
const noNpu = "no NPU: no library";

describe("judgeAcceptance()", () => {
  test("passes what was measured within the limits, on an NPU", () => {
    expect(judged({})).toEqual(["PASS"]);
    const { reasons, notes, gaitRows } = judgeAcceptance(MEASURED, ACCEPT_LIMITS, []);
    expect([reasons, notes, gaitRows.every(({ ok }) => ok)]).toEqual([[], [], true]);
  });

  test("fails each row by its own limit, and no other", () => {
    const worse = { load: { samples: 9, meanW: 11, maxW: 12 } };
    const broken = { ...comparison, mae: 0.01 };
    expect([
      judged({ latency: slow }),
      judged({ preprocessing: slow }),
      judged({ parity: { comparison: broken } }),
      judged({ power: worse }),
      judged({ gait: { falls: 1, ending: "the robot rolled over" } }),
      judged({ gait: { figures: { ...figures, slipMps: 0.4 } } }),
    ]).toEqual([
      ["FAIL", "latency fail: p99 is 6000 µs, need below the limit"],
      ["FAIL", "preprocessing fail: p99 is 6000 µs, need below the limit"],
      ["FAIL", "parity fail: MAE is 0.01, need below the limit"],
      ["FAIL", "power fail: 11 W on average, need below the limit"],
      ["FAIL", "gait fail: the robot rolled over; falls is 1, at most 0"],
      ["FAIL", "gait fail: slip_mps is 0.4, at most 0.25"],
    ]);
  });

  test("leaves preprocessing and the board's state open on a machine that is no RK3588", () => {
    const soc = { state: "fails", found: "no device tree: the processor is a Xeon" };
    const rows = [{ check: "SoC", needed: "an RK3588", ...soc }];
    expect([
      judged({ preprocessing: { soc } }),
      judged({ board: { rows } }),
      judged({ board: { rows: [] } }),
    ]).toEqual([
      ["INCOMPLETE", `preprocessing not measured: no RK3588: ${soc.found}; this CPU took 2 µs`],
      ["INCOMPLETE", `board not measured: no RK3588: ${soc.found}`],
      ["INCOMPLETE", "board not measured: no RK3588: nobody knows which"],
    ]);
  });

  test("leaves power open that never changed, and fails it above the limit all the same", () => {
    const load = { samples: 600, meanW: 11, maxW: 11 };
    expect([
      judged({ power: { constant: true } }),
      judged({ power: { constant: true, load } }),
    ]).toEqual([
      ["INCOMPLETE", "power not measured: the reading never changed, 600 readings under load"],
      ["FAIL", "power fail: 11 W on average, need below the limit"],
    ]);
  });

  test("says in a line what a PASS rests on less than usual", () => {
    const missing = { state: "missing", why: "none here" };
    const limits = {
      ...ACCEPT_LIMITS,
      power_w: 9,
      latency_duration_s: 1,
      gait: { ...ACCEPT_LIMITS.gait, overrun_share: 0.9, height_min_m: 0.3 },
    };
    const files = [{ role: "limits", path: "lim.yaml", bytes: 9, sha256: "" }];
    const line = (change: Change, allowed: readonly RowName[], given = ACCEPT_LIMITS) => {
      const judgement = judgeAcceptance(but(change), given, allowed);
      return verdictLine({ ...judgement, files: given === ACCEPT_LIMITS ? [] : files });
    };
    const change = { latency: missing, power: missing };
    const low = { figures: { ...figures, heightM: { min: 0.31, max: 0.34, mean: 0.32 } } };
    expect([
      line({}, ["power"]),
      line(change, ["latency", "power", "gait"]),
      line({ gait: low }, [], limits),
      line({ ...change, gait: low }, ["latency", "power"], limits),
    ]).toEqual([
      "PASS",
      "PASS without latency, power",
      "PASS; limits of lim.yaml (looser: latency_duration_s 1 < 10, overrun_share 0.9 > 0.01)",
      "PASS without latency, power; limits of lim.yaml (looser: latency_duration_s 1 < 10, " +
        "overrun_share 0.9 > 0.01)",
    ]);
  });

  test("takes a figure at its limit for too much", () => {
    expect([
      judged({ latency: { us: { ...us, p99: 5000 } } }),
      judged({ power: { load: { samples: 9, meanW: 10, maxW: 10 } } }),
    ]).toEqual([
      ["FAIL", "latency fail: p99 is 5000 µs, need below the limit"],
      ["FAIL", "power fail: 10 W on average, need below the limit"],
    ]);
  });

  test("fails the actions' row for what had no action, whatever the latency of the others", () => {
    const silent = { unanswered: 2, reason: "the NPU gave NaN" };
    const why = "2 queries had no action: the NPU gave NaN";
    expect([
      judged({ latency: silent }),
      judged({ latency: silent, parity: { state: "failed", why: "the NPU gave NaN" } }),
      judged({
        parity: { comparison: { ...comparison, checks: [{ failures: ["other weights"] }] } },
      }),
    ]).toEqual([
      ["FAIL", `parity fail: ${why}`],
      ["FAIL", `parity fail: ${why}`],
      ["FAIL", "parity fail: other weights"],
    ]);
  });

  test("passes no latency but an NPU's, and fails a test double's that is bad", () => {
    const double = { evidence: "double", noNpu: "a test double" };
    expect([
      judged({ latency: { evidence: "cpu", noNpu } }),
      judged({ latency: { evidence: "unstated", noNpu: null } }),
      judged({ latency: { ...slow, evidence: "cpu", noNpu } }),
      judged({ latency: double }),
      judged({ latency: { ...double, ...slow } }),
    ]).toEqual([
      ["INCOMPLETE", `latency not measured: ${noNpu}; cpu took 1500 µs, which is no NPU's`],
      [
        "INCOMPLETE",
        "latency not measured: it rests on unstated; unstated took 1500 µs, which is no NPU's",
      ],
      ["INCOMPLETE", `latency not measured: ${noNpu}; cpu took 6000 µs, which is no NPU's`],
      ["INCOMPLETE", "latency not measured: a test double"],
      ["FAIL", "latency fail: p99 is 6000 µs, need below the limit"],
    ]);
  });

  test("lets rows be missing that may be, and says so, but never a test double pass", () => {
    const missing = { state: "missing", why: "no power sensor" };
    const allowed = judgeAcceptance(but({ power: missing }), ACCEPT_LIMITS, ["power"]);
    expect([judged({ power: missing }), allowed.verdict, allowed.notes]).toEqual([
      ["INCOMPLETE", "power not measured: no power sensor"],
      "PASS",
      ["steady power: not measured, which was allowed: no power sensor"],
    ]);
    const ofDouble = { ...comparison, evidence: { a: "cpu", b: "double" } };
    for (const change of [
      { latency: { evidence: "double", noNpu: "a test double" } },
      { parity: { comparison: ofDouble } },
      { gait: { evidence: "double" } },
      { service: { about: { backend: "rknn", evidence: "double" } } },
    ]) {
      const { verdict, reasons } = judgeAcceptance(but(change), ACCEPT_LIMITS, ["latency"]);
      expect([verdict, reasons]).toEqual([
        "INCOMPLETE",
        ["figures of a test double of the NPU library stand for no NPU"],
      ]);
    }
  });

  test("takes no part for the whole: a short run, few queries, a log without its end", () => {
    expect([
      judged({ gait: { figures: { ...figures, durationS: 60 } } }),
      judged({ latency: { queries: 1000 } }),
      judged({ latency: { durationS: 9 } }),
      judged({ gait: { complete: false } }),
      judged({ gait: { imu: null } }),
    ]).toEqual([
      ["INCOMPLETE", "gait not measured: 60 s, need 600 s; --duration is shorter"],
      [
        "INCOMPLETE",
        "latency not measured: 1000 queries in 10 s, need 1024 queries in 10 s or more",
      ],
      [
        "INCOMPLETE",
        "latency not measured: 11000 queries in 9 s, need 1024 queries in 10 s or more",
      ],
      ["INCOMPLETE", "gait not measured: the log of the run has no end"],
      ["INCOMPLETE", "gait not measured: the log of the run has no IMU"],
    ]);
  });

  test("fails what broke off, and allows no failure", () => {
    const failed = { state: "failed", why: "the service ended" };
    expect(judged({ gait: failed }, ["gait"])).toEqual(["FAIL", "gait fail: the service ended"]);
  });
});
