import { expect, test } from "bun:test";
import { linesDuring } from "../base/log_fixture.ts";
import { COUNTERS } from "../service/page.ts";
import { type Counters, History } from "./history.ts";

const zero = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as unknown as Counters;

test("History.totals() adds the living to the dead", () => {
  const history = new History();
  history.keep({ ...zero, answered: 3, requests: 4 });
  history.keep({ ...zero, answered: 1 });
  expect(history.totals([{ ...zero, requests: 2 }, zero])).toEqual({
    ...zero,
    answered: 4,
    requests: 6,
  });
  expect(history.totals([])).toEqual({ ...zero, answered: 4, requests: 4 });
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
