import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { closeSocket, receive, socketPair } from "../../ffi/socket.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { createEvents } from "./events.ts";

const directory = temporaryDirectory();

test("Events.report() says each name at most once a second, with its reasons", () => {
  const path = join(directory, "lines");
  const fd = openSync(path, "w");
  const events = createEvents(fd);
  for (let i = 0; i < 1000; i++) events.report("info", "a", `a${i % 3}`, 5e6 + i);
  for (let i = 0; i < 1000; i++) events.report("info", "c", `c${i}`, 5e6 + i);
  events.report("warn", "b", "b", 5e6);
  events.flush(5.5e6);
  events.flush(6.1e6);
  events.report("info", "a", "late", 6.2e6);
  events.say({ event: "listening" });
  events.flush();
  events.flush();
  closeSync(fd);
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { event: "info", name: "a", message: "a0", count: 1 },
    { event: "info", name: "c", message: "c0", count: 1 },
    { event: "warn", name: "b", message: "b", count: 1 },
    { event: "info", name: "a", message: "a1", count: 333 },
    { event: "info", name: "a", message: "a2", count: 333 },
    { event: "info", name: "a", message: "a0", count: 333 },
    ...Array.from({ length: 8 }, (_, i) => ({
      event: "info",
      name: "c",
      message: `c${i + 1}`,
      count: 1,
    })),
    { event: "info", name: "c", message: "c, for other reasons", count: 991 },
    { event: "listening" },
    { event: "info", name: "a", message: "late", count: 1 },
  ]);
});

test("Events.say() waits for nobody who does not read, and cuts no line off", () => {
  const [ours, theirs] = socketPair();
  const events = createEvents(ours);
  const message = "x".repeat(999);
  for (let i = 0; i < 2000; i++)
    events.say({ event: "info", name: "n", message: `${i}${message}` });
  const buffer = new Uint8Array(1 << 20);
  let text = "";
  const drain = (): void => {
    for (let count; (count = receive(theirs, buffer)) > 0;) {
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  };
  drain();
  events.say({ event: "listening" });
  drain();
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.length).toBeLessThan(2000);
  expect(lines.at(-1)).toEqual({ event: "listening" });
  expect(lines.slice(0, -1).every((line, i) => line.message === `${i}${message}`)).toBe(true);
  closeSocket(ours);
  expect(() => events.say({ event: "listening" })).not.toThrow();
  closeSocket(theirs);
});
