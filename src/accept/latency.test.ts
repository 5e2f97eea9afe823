/**
 * The single stream over a backend that does what it is told.
 */

import { describe, expect, test } from "bun:test";
import { Lite3Error } from "../base/errors.ts";
import type { Backend } from "../runtime/backend.ts";
import { measureLatency, type Stream, WARM_UP } from "./latency.ts";

const SIZES = { observationSize: 3, actionSize: 2 };

/** A backend that answers as `answer` says; `query` counts from 1 with those that warm up. */
function backendOf(answer: (query: number, action: Float32Array) => void) {
  const seen = { queries: 0, rows: new Set<number>(), running: 0 };
  const backend = {
    name: "mlp",
    arithmetic: "cpu",
    subject: "file",
    inputs: [],
    outputs: [],
    ...SIZES,
    createState: () => ({ tensors: [] }),
    async infer(_observation: Float32Array, action: Float32Array, _state: unknown, rows: number) {
      seen.rows.add(rows);
      expect(++seen.running).toBe(1);
      await Promise.resolve();
      action.fill(0);
      seen.running--;
      answer(++seen.queries, action);
    },
    [Symbol.dispose]() {},
  } satisfies Backend;
  return { backend, seen };
}

const streamOf = (backend: Backend, more: Partial<Stream> = {}): Stream => ({
  backend,
  subject: "policy.onnx",
  noNpu: "none",
  queriesMin: 500,
  durationMinS: 0,
  seed: 0,
  stop: { requested: false },
  onQuery: () => {},
  ...more,
});

describe("measureLatency()", () => {
  test("asks one query of one row at a time, after those that warm up", async () => {
    const { backend, seen } = backendOf(() => {});
    const found = await measureLatency(streamOf(backend));
    expect([seen.queries, [...seen.rows]]).toEqual([500 + WARM_UP, [1]]);
    expect(structuredClone(found)).toMatchObject({
      state: "measured",
      evidence: "cpu",
      queries: 500,
      warmUp: WARM_UP,
      unanswered: 0,
      split: null,
      library: null,
      p99UpperUs: expect.any(Number),
    });
  });

  test("goes on until it took long enough", async () => {
    const { backend } = backendOf(() => Bun.sleepSync(1));
    const found = await measureLatency(streamOf(backend, { queriesMin: 1, durationMinS: 0.05 }));
    if (found.state !== "measured") throw new Error("it was measured");
    expect(found.durationS).toBeGreaterThanOrEqual(0.05);
    // Too few to say with 99 % confidence.
    expect(found.p99UpperUs).toBeNull();
  });

  test("counts queries without an action and keeps what the first said", async () => {
    const { backend } = backendOf((query, action) => {
      if (query === 100) throw new Lite3Error("NATIVE", "the NPU failed");
      if (query === 200) action[1] = Number.NaN;
    });
    expect(await measureLatency(streamOf(backend))).toMatchObject({
      queries: 498,
      unanswered: 2,
      reason: "the NPU failed",
    });
  });

  test("fails where nothing is answered, without asking for ever", async () => {
    const { backend, seen } = backendOf((_, action) => action.fill(Number.POSITIVE_INFINITY));
    expect(await measureLatency(streamOf(backend, { durationMinS: 60 }))).toEqual({
      state: "failed",
      why: "action[0] is Infinity, need finite numbers",
    });
    expect(seen.queries).toBeLessThan(200);
  });

  test("stops where a signal came", async () => {
    const stop = { requested: false };
    const { backend } = backendOf((query) => (stop.requested = query > 300));
    const found = await measureLatency(streamOf(backend, { stop, durationMinS: 60 }));
    if (found.state !== "measured") throw new Error("it was measured");
    expect(found.queries).toBeWithin(280, 500);
  });
});
