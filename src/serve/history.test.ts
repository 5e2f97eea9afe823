import { expect, test } from "bun:test";
import { linesDuring } from "../base/log_fixture.ts";
import { type CounterName, type HistogramView, quantileOf } from "../service/page.ts";
import { type EngineTotals, sumTotals } from "../service/totals.ts";
import { History } from "./history.ts";

const zero = sumTotals([]);
const counted = (counters: Partial<Record<CounterName, number>>): EngineTotals => ({
  ...zero,
  counters: { ...zero.counters, ...counters },
});
/** So many durations in the bucket that ends at 10 µs. */
const durations = (count: number): HistogramView => ({
  ...zero.service,
  counts: zero.service.counts.with(12, count),
  sumUs: 10 * count,
  count,
});

test("History.totals() adds the living to the dead", () => {
  const history = new History();
  history.keep(counted({ answered: 3, requests: 4 }));
  history.keep(counted({ answered: 1 }));
  expect(history.totals([counted({ requests: 2 }), zero])).toEqual(
    counted({ answered: 4, requests: 6 }),
  );
  expect(history.totals([])).toEqual(counted({ answered: 4, requests: 4 }));
});

test("History.totals() adds durations, and those of the NPU where an engine has them", () => {
  const history = new History();
  const [service, outside] = [durations(3), Float64Array.of(1, 2)];
  history.keep({ ...zero, service, outside });
  const npu = { set: durations(1), run: durations(2), get: durations(3) };
  const totals = history.totals([
    { ...zero, ...npu, service },
    { ...zero, outside },
  ]);
  expect(totals).toEqual({
    ...zero,
    ...npu,
    service: durations(6),
    outside: Float64Array.of(2, 4),
  });
  expect(quantileOf(totals.service, 1)).toBeCloseTo(10);
});

test("History.tell() logs, and keeps the last 200", async () => {
  const history = new History();
  const lines = await linesDuring(() => {
    for (let i = 0; i < 201; i++) history.tell("info", "number", `number ${i}`);
  });
  expect([lines.length, history.events.length]).toEqual([201, 200]);
  expect(history.events[0]).toEqual({
    at: expect.any(String),
    level: "info",
    name: "number",
    message: "number 1",
  });
});
