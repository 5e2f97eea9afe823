import { describe, expect, test } from "bun:test";
import { createGait, type GaitFigures } from "./gait.ts";
import type { RunStep } from "./run_step.ts";
import { runStep } from "./run_step_fixture.ts";
import { GAIT_LIMITS, judgeGait } from "./verdict.ts";

const SECONDS = 4;

function figuresOf(steps: readonly RunStep[], massKg?: number): GaitFigures {
  const gait = createGait(massKg);
  for (const step of steps) gait.add(step);
  return gait.figures();
}

/** Steps at 50 Hz. */
const run = (change: (timeS: number, n: number) => Partial<RunStep>): RunStep[] =>
  Array.from({ length: SECONDS * 50 }, (_, i) => runStep(i + 1, change((i + 1) / 50, i + 1)));

const still = {
  timeS: 0,
  position: [0, 0, 0.3],
  velocity: [0, 0, 0],
  attitude: [0, 0, 0],
  yawRate: 0,
} as const;

describe("createGait()", () => {
  test("holds velocity against its command only a second after it changed", () => {
    const steps = run((timeS) => ({
      command: timeS <= 2 ? [0.5, 0, 0] : [1, 0, 0.5],
      // Right half a second after each change, far away before.
      info: {
        ...still,
        velocity: timeS <= 2 ? [timeS <= 0.5 ? 9 : 0.4, 0, 0] : [timeS <= 2.5 ? 9 : 1, 0.1, 0],
        yawRate: timeS <= 2 ? 0.1 : 0.4,
      },
    }));
    const { velocityErrorMps, yawErrorRadps } = figuresOf(steps);
    expect(velocityErrorMps).toBeCloseTo(0.1, 9);
    expect(yawErrorRadps).toBeCloseTo(0.1, 9);
  });

  test("gives height, tilt, forces, torques, slip and work as the numbers have them", () => {
    const torque = [2, -4];
    const steps = run((timeS, n) => ({
      info: {
        ...still,
        position: [timeS, 0, n % 2 === 0 ? 0.3 : 0.32],
        attitude: [n % 2 === 0 ? 0.1 : -0.1, 0.05, 0],
      },
      sensors: {
        footForce: [30, 10, n === 7 ? 90 : 30, 10],
        // The first foot slips 1 m/s, the second flies.
        footPosition: [timeS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        jointTorque: torque,
        jointVelocity: [1, 1],
      },
      overrun: n <= 3,
    }));
    const { heightM, latencyUs, durationS, costOfTransport, ...figures } = figuresOf(steps, 10);
    expect(figures).toEqual({
      steps: 200,
      velocityErrorMps: expect.any(Number),
      yawErrorRadps: expect.any(Number),
      rollRmsDeg: expect.closeTo((0.1 * 180) / Math.PI, 9),
      pitchRmsDeg: expect.closeTo((0.05 * 180) / Math.PI, 9),
      slipMps: expect.closeTo(0.25, 9),
      footForcePeakN: [30, 10, 90, 10],
      footAsymmetry: expect.closeTo((60 * 200 + 60 - 20 * 200) / (80 * 200 + 60), 9),
      torqueRmsNm: [2, 4],
      torquePeakNm: [2, 4],
      overruns: 3,
    });
    expect(heightM).toEqual({ min: 0.3, max: 0.32, mean: expect.closeTo(0.31, 9) });
    expect({ durationS, latencyUs }).toEqual({
      durationS: 4,
      latencyUs: { p50: 200.5, p99: expect.closeTo(298.01, 9), max: 300 },
    });
    // 6 W for 4 s over 3.98 m with 98.1 N.
    expect(costOfTransport).toBeCloseTo(24 / (98.1 * 3.98), 9);
  });

  test("gives null for what was not said", () => {
    const steps = run((timeS) => ({ command: undefined, sensors: undefined, info: { timeS } }));
    const { steps: _, durationS: __, overruns: ___, latencyUs: ____, ...rest } = figuresOf(steps);
    expect(new Set(Object.values(rest))).toEqual(new Set([null]));
  });
});

test("judgeGait() fails each figure over its limit, and what was not measured", () => {
  const figures: GaitFigures = {
    steps: 100,
    durationS: 2,
    velocityErrorMps: 0.1,
    yawErrorRadps: 0.1,
    heightM: { min: 0.2, max: 0.3, mean: 0.25 },
    rollRmsDeg: null,
    pitchRmsDeg: 1,
    slipMps: 0.1,
    footForcePeakN: [1, 2, 501, 4],
    footAsymmetry: 0,
    torqueRmsNm: [1, 2],
    torquePeakNm: [1, 2],
    costOfTransport: 1,
    overruns: 2,
    latencyUs: { p50: 1, p99: 5000, max: 9000 },
  };
  expect(judgeGait(figures, 1, GAIT_LIMITS).filter(({ ok }) => !ok)).toEqual([
    { name: "falls", found: 1, limit: 0, ok: false },
    { name: "height_min_m", found: 0.2, limit: 0.25, ok: false },
    { name: "roll_rms_deg", found: null, limit: 5, ok: false },
    { name: "foot_force_peak_n", found: 501, limit: 500, ok: false, where: "HL" },
    { name: "overrun_share", found: 0.02, limit: 0.01, ok: false },
  ]);
});
