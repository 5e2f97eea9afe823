import { expect, test } from "bun:test";
import { createFallbackPolicy } from "./fallback_policy.ts";

test("createFallbackPolicy() falls back after two deaths within ten seconds", () => {
  const policy = createFallbackPolicy();
  policy.died(0);
  policy.died(10_000);
  expect([policy.isActive, policy.returnAtMs]).toEqual([false, Infinity]);
  policy.died(19_999);
  expect([policy.isActive, policy.returnAtMs]).toEqual([true, 20_999]);
});

test("createFallbackPolicy() waits twice as long before each try, and short again later", () => {
  const policy = createFallbackPolicy();
  const waits: number[] = [];
  let now = 0;
  for (let i = 0; i < 8; i++) {
    policy.returned();
    policy.failed(now);
    waits.push(policy.returnAtMs - now);
    now = policy.returnAtMs;
  }
  expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  policy.returned();
  expect(policy.isActive).toBe(false);
  policy.failed(now + 121_000);
  expect(policy.returnAtMs - now).toBe(122_000);
});

test("createFallbackPolicy() waits no longer for an NPU that fails while left alone", () => {
  const policy = createFallbackPolicy();
  for (const nowMs of [0, 300, 600, 900]) policy.failed(nowMs);
  expect(policy.returnAtMs).toBe(1000);
});
