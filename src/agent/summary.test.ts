import { describe, expect, test } from "bun:test";
import { AssertionError } from "../base/assert.ts";
import type { StepInfo } from "../environment/environment.ts";
import type { Episode } from "../closed_loop/episode.ts";
import { renderSummary, summarise, summariseLatency } from "./summary.ts";

/** Five steps of 0.5 s, at 1 m/s forward from the second on. */
const TRACE: readonly StepInfo[] = [0.5, 1, 1.5, 2, 2.5].map((timeS, i) => ({
  timeS,
  position: [i, i / 2, 0.25 + i / 16],
  velocity: [i === 0 ? 9 : 1, 0.25, 0],
  yawRate: i % 2 === 0 ? 0.5 : -0.5,
  attitude: [0, 0, 0],
  footContact: [true, i === 4, false, true],
}));
const EPISODE: Episode = {
  trace: TRACE,
  latencyUs: [40, 10, 30, 20, 50],
  overruns: 2,
  totalReward: 4.5,
  restarts: 0,
  fall: undefined,
  interrupted: false,
};

describe("summarise()", () => {
  test("summarises an episode; velocity is that after the first second", () => {
    expect(summarise(EPISODE, [0.5, 0, 0], 500)).toEqual({
      walkedM: Math.hypot(4, 2),
      displacementM: [4, 2],
      falls: 0,
      ending: null,
      steps: 5,
      durationS: 2.5,
      rateHz: 2,
      totalReward: 4.5,
      restarts: 0,
      command: [0.5, 0, 0],
      velocity: [1, 0.25, 0.5 / 3],
      velocityError: [0.5, 0.25, 0.5],
      heightM: { min: 0.25, max: 0.5, mean: 0.375 },
      feetDown: 3,
      overruns: 2,
      latencyUs: { p50: 30, p99: 49.6, max: 50 },
    });
  });

  test("gives a negative distance to a robot that ends behind its start", () => {
    const trace = TRACE.toReversed();
    const { walkedM, displacementM } = summarise({ ...EPISODE, trace }, [0, 0, 0], 500);
    expect([walkedM, displacementM]).toEqual([-Math.hypot(4, 2), [-4, -2]]);
  });

  test("counts a fall and says how it ended", () => {
    const fallen = summarise({ ...EPISODE, fall: "it lies on its back" }, [0, 0, 0], 500);
    expect([fallen.falls, fallen.ending]).toEqual([1, "it lies on its back"]);
  });

  test("summarises an episode of one step, and one shorter than a second", () => {
    const one = { ...EPISODE, trace: TRACE.slice(0, 1), latencyUs: [5] };
    expect(summarise(one, [0, 0, 0], 500)).toMatchObject({
      walkedM: 0,
      steps: 1,
      velocity: [9, 0.25, 0.5],
    });
    const two = { ...EPISODE, trace: TRACE.slice(0, 2), latencyUs: [5, 6] };
    expect(summarise(two, [0, 0, 0], 500).velocity).toEqual([5, 0.25, 0]);
  });
});

describe("summariseLatency()", () => {
  test("gives median, 99th percentile (between values) and maximum, in any order", () => {
    const values = Array.from({ length: 200 }, (_, i) => 200 - i);
    expect(summariseLatency(values)).toEqual({ p50: 100.5, p99: 198.01, max: 200 });
    expect(summariseLatency([7])).toEqual({ p50: 7, p99: 7, max: 7 });
  });

  test("asserts that something was measured", () => {
    expect(() => summariseLatency([])).toThrow(AssertionError);
  });
});

describe("renderSummary()", () => {
  test("shows the summary as a table", () => {
    const summary = summarise(EPISODE, [0.5, 0, 0], 500);
    expect(renderSummary(summary, "onnx, cpu")).toBe(
      [
        "episode",
        "walked          4.47 m forward (x 4.00, y 2.00)",
        "time            2.50 s, 5 steps at 2 Hz",
        "command         vx 0.50 m/s, vy 0.00 m/s, wz 0.00 rad/s",
        "velocity        vx 1.00 m/s, vy 0.25 m/s, wz 0.17 rad/s",
        "velocity error  vx 0.50 m/s, vy 0.25 m/s, wz 0.50 rad/s (RMS after 1 s)",
        "base height     0.250 to 0.500 m",
        "feet down       3 of 4 at the end",
        "falls           0",
        "overruns        2 of 5",
        "latency         p50 30 µs, p99 50 µs, max 50 µs (onnx, cpu)",
      ].join("\n"),
    );
  });

  test("leaves out what an environment does not report", () => {
    const trace = [{ timeS: 0.5 }, { timeS: 1 }];
    const summary = summarise({ ...EPISODE, trace, restarts: 1 }, [0.5, 0, 0], 500);
    expect(summary).toEqual({
      falls: 0,
      ending: null,
      steps: 2,
      durationS: 1,
      rateHz: 2,
      totalReward: 4.5,
      restarts: 1,
      overruns: 2,
      latencyUs: { p50: 30, p99: 49.6, max: 50 },
    });
    expect(renderSummary(summary, "onnx, cpu")).toBe(
      [
        "episode",
        "time      1.00 s, 2 steps at 2 Hz",
        "reward    4.5 in 2 episodes",
        "overruns  2 of 2",
        "latency   p50 30 µs, p99 50 µs, max 50 µs (onnx, cpu)",
      ].join("\n"),
    );
  });

  test("says that nothing was counted without real time, and why the robot fell", () => {
    const text = renderSummary(
      summarise({ ...EPISODE, overruns: null, fall: "roll 95°" }, [0, 0, 0], 500),
      "remote, unstated",
    );
    expect(text).toContain("falls           1: roll 95°\n");
    expect(text).toContain("overruns        not counted with --fast\n");
  });
});
