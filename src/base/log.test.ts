import { expect, test } from "bun:test";
import { complain, logEvent, notice, sayOnce, setJsonLog, setQuiet, warn } from "./log.ts";
import { linesDuring } from "./log_fixture.ts";

test("setQuiet() stops notices, and warnings never", async () => {
  const lines = await linesDuring(() => {
    notice("a fact");
    warn("a surprise");
    setQuiet(true);
    notice("another fact");
    warn("another surprise");
  });
  expect(lines).toEqual(["a fact", "warning: a surprise", "warning: another surprise"]);
});

test("sayOnce() leaves out what was said within it, and nothing else", async () => {
  const lines = await linesDuring(async () => {
    notice("a fact");
    await sayOnce(async () => {
      for (const _ of "xx") {
        notice("a fact");
        warn("a fact");
      }
    });
    await sayOnce(() => Promise.reject(new Error("fails"))).catch(() => {});
    notice("a fact");
    notice("a fact");
  });
  const fact = "a fact";
  expect(lines).toEqual([fact, fact, `warning: ${fact}`, fact, fact]);
});

test("setJsonLog() makes every line an object with time, level, event and message", async () => {
  const lines = await linesDuring(() => {
    setJsonLog(true);
    notice("a fact");
    warn("a surprise");
    logEvent("info", "reload", "another model", { generation: 2 });
    complain("error", "an end");
    setJsonLog(false);
    logEvent("error", "error", "in words");
  });
  expect(lines.pop()).toBe("error: in words");
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { time, level: "info", event: "notice", message: "a fact" },
    { time, level: "warn", event: "warning", message: "a surprise" },
    { time, level: "info", event: "reload", message: "another model", generation: 2 },
    { time, level: "error", event: "error", message: "an end" },
  ]);
});
