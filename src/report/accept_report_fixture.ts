/**
 * For tests: what an acceptance on a board measures when all is well. No board was there: the
 * figures are made up.
 */

import type { AcceptDocument, Measured } from "./accept_document.ts";
import { COMPARISON } from "./parity_report_fixture.ts";

const us = { mean: 900, p50: 880, p90: 1000, p95: 1100, p99: 1500, p999: 2000, max: 2600 };
const part = { p50: 10, p99: 20 };
const twelve = (value: number): number[] => Array.from({ length: 12 }, () => value);
const row = { check: "SoC", state: "ok", found: "rockchip,rk3588", needed: "" };
const temperature = { check: "temperature", state: "ok", found: "soc 41 °C", needed: "" };

const GAIT_SERIES = {
  timeS: [200, 400, 600],
  heightM: [0.31, 0.32, 0.31],
  rollDeg: [1, -1, 0],
  pitchDeg: [2, 1, 2],
  forwardMps: [0.5, 0.4, 0],
  commandedMps: [0.5, 0.5, 0],
  footForceN: [
    [100, 120, 90],
    [110, 100, 95],
    [90, 95, 99],
    [101, 98, 97],
  ],
  torqueNm: [12, 14, 11],
};

export const MEASURED: Measured = {
  latency: {
    state: "measured",
    evidence: "npu",
    subject: "policy.rknn",
    backend: "rknn",
    library: { api: "2.3.2", driver: "0.9.8", io: "float" },
    warmUp: 16,
    queries: 11_000,
    durationS: 10,
    unanswered: 0,
    reason: null,
    us,
    p99UpperUs: 1600,
    split: { setUs: part, runUs: { p50: 850, p99: 1400 }, getUs: part },
    histogram: { edges: [800, 1200, 2600], counts: [10_000, 1000], zeros: 0 },
    noNpu: null,
  },
  preprocessing: {
    state: "measured",
    steps: ["180 bytes out of the connection's buffer", "(obs-mean)/max(std,1e-3)"],
    queries: 20_000,
    us: { ...us, p99: 2 },
    soc: { state: "ok", found: "rockchip,rk3588" },
  },
  parity: {
    state: "measured",
    comparison: structuredClone({ ...COMPARISON, evidence: { a: "cpu", b: "npu" } }) as never,
  },
  power: {
    state: "measured",
    source: "hwmon ina226 power1_input",
    intervalS: 1,
    idle: { samples: 10, meanW: 5, maxW: 5.2 },
    load: { samples: 600, meanW: 7.5, maxW: 8.1 },
    aboveIdleW: 2.5,
    constant: false,
    series: { timeS: [0, 5, 10, 15], watts: [5, 5.1, 7.4, 7.6], loadFromS: 10 },
  },
  gait: {
    state: "measured",
    environment: "lite3",
    isSimulated: true,
    seed: 0,
    requestedS: 600,
    evidence: "npu",
    policy: "unix:/tmp/lite3rl/s",
    falls: 0,
    ending: null,
    complete: true,
    figures: {
      steps: 30_000,
      durationS: 600,
      velocityErrorMps: 0.1,
      yawErrorRadps: 0.1,
      heightM: { min: 0.29, max: 0.34, mean: 0.31 },
      rollRmsDeg: 1,
      pitchRmsDeg: 2,
      slipMps: 0.1,
      footForcePeakN: [200, 210, 190, 205],
      footAsymmetry: 0.02,
      torqueRmsNm: twelve(5),
      torquePeakNm: twelve(15),
      costOfTransport: 0.8,
      overruns: 3,
      latencyUs: { p50: 900, p99: 1700, max: 4000 },
    },
    imu: { angularVelocityRmsRadps: [0.5, 0.4, 0.3], accelerationPeakMps2: 24 },
    series: GAIT_SERIES,
  },
  service: {
    state: "measured",
    how: "started",
    endpoint: "unix:/tmp/lite3rl/s",
    ready: "READY unix:/tmp/lite3rl/s",
    about: null,
    logLines: 3,
  },
  board: {
    state: "measured",
    place: "this machine",
    board: "Radxa ROCK 5B, kernel 5.10.160",
    rows: [row, temperature],
    after: [{ ...temperature, found: "soc 55 °C" }],
    governors: [
      {
        place: "/sys/class/devfreq/dmc/governor",
        before: "dmc_ondemand",
        tried: "performance",
        readBack: "performance",
      },
    ],
  },
};

/** What a document has besides what is measured and judged. */
export const ABOUT: Pick<
  AcceptDocument,
  "format" | "version" | "startedAt" | "endedAt" | "machine" | "model" | "files" | "members"
> = {
  format: 1,
  version: "0.1.0",
  startedAt: "2026-09-01T12:33:05.120Z",
  endedAt: "2026-09-01T12:44:05.120Z",
  machine: "arm64, 8 cores, Linux 5.10.160, Bun 1.4.5",
  model: "policy.rknn",
  files: [{ role: "model", path: "policy.rknn", bytes: 100, sha256: "a".repeat(64) }],
  members: [
    { name: "report.html", sha256: null },
    { name: "run.mcap", sha256: "b".repeat(64) },
    { name: "service.log", sha256: "c".repeat(64) },
  ],
};
