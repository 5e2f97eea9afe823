import { describe, expect, test } from "bun:test";
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run as runCommand } from "../../scripts/dev/project.ts";
import { describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { present } from "../base/assert.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { FormatError } from "../base/errors.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { readRunLog } from "./read_run_log.ts";
import type { RunStep } from "./run_step.ts";
import { runStep } from "./run_step_fixture.ts";
import { openRunLog } from "./write_run_log.ts";

const directory = temporaryDirectory();
const STARTED_NS = 1_700_000_000_000_000_000n;

async function writeLog(name: string, steps: readonly RunStep[], bytesMax?: number) {
  const path = join(directory, name);
  const log = await openRunLog(path, { environment: "a test" }, STARTED_NS, bytesMax);
  await log.event("info", "started", "as a test");
  for (const step of steps) await log.step(step);
  await log.event("error", "fall", "rolled over");
  await log.end();
  return { path, broken: log.broken };
}

function readLog(path: string) {
  const steps: RunStep[] = [];
  return { end: readRunLog(path, (step) => steps.push(step)), steps };
}

const STEPS = [1, 2, 3].map((n) => runStep(n));
/** More than one chunk. */
const LONG = Array.from({ length: 400 }, (_, i) => runStep(i + 1));

describe("a run's log", () => {
  test("gives back every step as it was, actions to the last bit", async () => {
    const { path } = await writeLog("whole.mcap", STEPS);
    const { end, steps } = readLog(path);
    expect(end).toEqual({
      description: { environment: "a test" },
      events: [
        { timeS: 0, level: "info", name: "started", message: "as a test" },
        { timeS: 0.06, level: "error", name: "fall", message: "rolled over" },
      ],
      complete: true,
    });
    expect(steps).toEqual(STEPS);
  });

  test("leaves out what an environment does not say", async () => {
    const bare = runStep(1, { command: undefined, sensors: undefined, info: { timeS: 0.02 } });
    const { path } = await writeLog("bare.mcap", [bare]);
    expect(readLog(path).steps).toEqual([bare]);
  });

  test("counts no overruns of a run that kept no period, whatever an older log says", async () => {
    const untimed = STEPS.map((step) => ({ ...step, overrun: null }));
    const { path } = await writeLog("untimed.mcap", untimed);
    expect(readLog(path).steps).toEqual(untimed);
    const older = join(directory, "older.mcap");
    const log = await openRunLog(older, { realTime: "false" }, STARTED_NS);
    for (const step of STEPS) await log.step(step);
    await log.end();
    expect(readLog(older).steps).toEqual(untimed);
  });

  test("is never written over", async () => {
    const { path } = await writeLog("once.mcap", STEPS);
    const before = readFileSync(path);
    expect(await refusalOf(() => openRunLog(path, {}, STARTED_NS))).toEqual({
      code: "CONFIG",
      message:
        `Cannot write log "${path}": it is there already, need another name; ` +
        "a log is never written over",
    });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test("ends at its limit with the chunks before, and the run goes on", async () => {
    let written: Awaited<ReturnType<typeof writeLog>> | undefined;
    const lines = await linesDuring(async () => {
      written = await writeLog("limit.mcap", LONG, 12_000);
    });
    const { path, broken } = present(written);
    expect(lines).toEqual([`warning: the log "${path}" ends here: ${broken}`]);
    expect(broken).toMatch(/^it has \d+ bytes, at most 12000 are written$/);
    const { end, steps } = readLog(path);
    expect(statSync(path).size).toBeLessThanOrEqual(12_000);
    expect(end.complete).toBe(false);
    expect(steps).toEqual(LONG.slice(0, steps.length));
  });

  test("is a prefix of its steps, or refused, where it is cut", async () => {
    const { path } = await writeLog("long.mcap", LONG);
    const bytes = readFileSync(path);
    const counts = new Set<number>();
    for (let part = 0; part < 64; part++) {
      const cut = join(directory, `cut${part}.mcap`);
      writeFileSync(cut, bytes);
      truncateSync(cut, Math.floor((bytes.length * part) / 64));
      try {
        const { steps } = readLog(cut);
        expect(steps).toEqual(LONG.slice(0, steps.length));
        counts.add(steps.length);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        counts.add(0);
      }
    }
    expect(Math.max(...counts)).toBe(400);
    expect(counts.size).toBeGreaterThan(3);
  });

  test("is refused where it is something else, damaged or without steps", async () => {
    const { path } = await writeLog("empty.mcap", []);
    expect(() => readLog(path)).toThrow("it has no steps of a run");
    const text = join(directory, "text.mcap");
    writeFileSync(text, "this is no log, and long enough");
    expect(() => readLog(text)).toThrow("it is no sound MCAP file");
    const { path: sound } = await writeLog("damaged.mcap", LONG);
    const bytes = readFileSync(sound);
    for (let i = 4_000; i < 4_040; i++) bytes[i] = 0xff;
    writeFileSync(sound, bytes);
    expect(() => readLog(sound)).toThrow(FormatError);
  });
});

const READER = `
import collections, json, sys
from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader, make_reader
count = collections.Counter()
whole = True
with open(sys.argv[1], "rb") as file:
    try:
        for schema, channel, message in NonSeekingReader(file).iter_messages(log_time_order=False):
            json.loads(message.data)
            assert schema.encoding == "jsonschema" and channel.message_encoding == "json"
            count[channel.topic] += 1
    except EndOfFile:
        whole = False
indexed = 0
if whole:
    with open(sys.argv[1], "rb") as file:
        indexed = make_reader(file).get_summary().statistics.message_count
print(json.dumps({"whole": whole, "indexed": indexed, "count": count}))
`;

describeWith("python")("mcap of PyPI", () => {
  const read = (path: string) => {
    const { stdout, stderr } = runCommand([findTool("python") ?? "", "-c", READER, path]);
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout) as { whole: boolean; indexed: number; count: object };
  };
  const perStep = (count: number) =>
    Object.fromEntries(
      ["state", "command", "observation", "action", "imu", "feet", "joints", "latency"].map(
        (name) => [`/${name}`, count],
      ),
    );

  test("reads every message, and the index", async () => {
    const { path } = await writeLog("python.mcap", LONG);
    expect(read(path)).toEqual({
      whole: true,
      indexed: 8 * 400 + 2,
      count: { ...perStep(400), "/events": 2 },
    });
  });

  test("reads what is there of a log that was cut off", async () => {
    const { path } = await writeLog("python_cut.mcap", LONG, 12_000);
    const { whole, count } = read(path);
    const { steps } = readLog(path);
    expect({ whole, steps: (count as Record<string, number>)["/latency"] }).toEqual({
      whole: false,
      steps: steps.length,
    });
  });
});
