/**
 * `accept` over the test double of the NPU library: each fault fails its own row and no other, and
 * no figure of the double counts as an NPU's.
 */

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { ACCEPT_SCHEMA, acceptSchema } from "../../scripts/dev/schema.ts";
import { describeWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, runJson, start, TextStream } from "../cli/program_fixture.ts";
import { decodeOnnx, encodeOnnx } from "../formats/onnx.ts";
import { linear, modelOf, networkOf } from "../policy/policy_fixture.ts";
import type { AcceptDocument, MeasuredOf, RowName } from "../report/accept_document.ts";
import { readRunLog } from "../run_log/read_run_log.ts";
import { doubleOfOnnx } from "../runtime/double_of_rknn.ts";
import { doubleLibrary, doubleOptions } from "../runtime/rknn_double_fixture.ts";
import { verifyArchive } from "./verify.ts";

setDefaultTimeout(120_000);

const directory = temporaryDirectory();
const place = (name: string): string => join(directory, name);
const model = place("policy.rknn");

/** Short, and without limits on how fast this machine is. */
const LIMITS = `npu_latency_p99_ms: 1000
preprocessing_p99_ms: 1000
latency_queries_min: 500
latency_duration_s: 0
gait_duration_s: 3
gait:
  overrun_share: 1
  latency_p99_ms: 1000
`;

beforeAll(async () => {
  const onnx = await exportDemoPolicy(directory);
  writeFileSync(model, doubleOfOnnx(decodeOnnx(readFileSync(onnx))));
  writeFileSync(place("limits.yaml"), LIMITS);
  const layer = linear("actor.0", Array(12).fill(Array<number>(45).fill(0)), Array(12).fill(-6));
  const fallen = modelOf(networkOf(layer), { metadata: { normalizer: "folded" } });
  writeFileSync(place("fallen.onnx"), encodeOnnx(fallen));
  writeFileSync(place("fallen.rknn"), doubleOfOnnx(fallen));
});

/** The words of a short acceptance; `flags` come before the usual ones. */
const words = (flags: readonly string[]): string[] => {
  const usual = {
    "--duration": "3s",
    "--limits": place("limits.yaml"),
    "--root": sensors("no-sensor"),
  };
  const rest = Object.entries(usual).filter(([name]) => !flags.includes(name));
  return ["accept", ...flags, ...rest.flat()];
};
const DEMO = ["--model", model, "--obs-stats", OBS_STATS];
const ofDouble = (): string[] => [...DEMO, "--librknnrt", doubleLibrary()];
const faults = (given: Record<string, string | number> = {}) => ({
  env: doubleOptions(given).env as Record<string, string>,
});

/** A tree with a power sensor of so many watts, or none. */
function sensors(name: string, watts?: number): string {
  const root = place(name);
  const hwmon = join(root, "sys/class/hwmon/hwmon0");
  mkdirSync(hwmon, { recursive: true });
  writeFileSync(join(hwmon, "name"), "ina226\n");
  if (watts !== undefined) writeFileSync(join(hwmon, "power1_input"), `${watts * 1e6}\n`);
  return root;
}

type Report = AcceptDocument & { readonly archive: string; readonly sha256: string };

interface Accepted {
  readonly status: number;
  readonly report: Report;
  /** Rows that do not pass. */
  readonly others: Partial<Record<RowName, AcceptDocument["rows"][number]["state"]>>;
}

async function accept(
  name: string,
  flags: readonly string[],
  environment: { env: Record<string, string> } = { env: {} },
): Promise<Accepted> {
  const output = ["--output", place(`${name}.tar.gz`)];
  const { status, json, stderr } = await runJson(words([...output, ...flags]), environment);
  if (json.rows === undefined) throw new Error(stderr);
  const report = json as unknown as Report;
  const others = report.rows.filter(({ state }) => state !== "pass");
  return {
    status,
    report,
    others: Object.fromEntries(others.map((row) => [row.name, row.state])),
  };
}

/** The tests' machine is no RK3588. */
const NO_NPU = {
  latency: "not measured",
  preprocessing: "not measured",
  board: "not measured",
} as const;
const UNMEASURED = { ...NO_NPU, power: "not measured" } as const;

const why = ({ report }: Accepted, name: RowName): string =>
  report.rows.find((row) => row.name === name)?.why ?? "";

describeWith("cc")("accept over the test double", () => {
  test("is incomplete without an NPU and power, and archives what it found", async () => {
    const junit = place("rows.xml");
    const clean = await accept("clean", [...ofDouble(), "--junit", junit], faults());
    const { status, report, others } = clean;
    expect({ status, verdict: report.verdict, others }).toEqual({
      status: 1,
      verdict: "INCOMPLETE",
      others: UNMEASURED,
    });
    expect(report.reasons).toEqual([
      "NPU latency, batch 1, p99: not measured: a test double of the NPU library, not an NPU",
      expect.stringMatching(/^preprocessing, p99: not measured: no RK3588: .*; this CPU took /),
      "steady power: not measured: no power sensor in hwmon; name a meter with --power-cmd or " +
        "--power-file",
      "board state: not measured: no RK3588: there is no /proc of a running kernel",
      "figures of a test double of the NPU library stand for no NPU",
    ]);
    const latency = report.measured.latency as MeasuredOf<"latency">;
    expect(structuredClone(latency)).toMatchObject({
      evidence: "double",
      queries: 500,
      warmUp: 16,
      unanswered: 0,
      library: { driver: "0.9.8" },
      split: { runUs: { p50: expect.any(Number) } },
    });
    expect(latency.histogram.counts.reduce((sum, count) => sum + count, 0)).toBe(500);
    const { sound, checks, sha256 } = await verifyArchive(report.archive);
    expect([sound, checks.length, sha256]).toEqual([true, 8, report.sha256]);
    expect(report.files.map(({ role }) => role)).toEqual([
      "model",
      "onnx",
      "obs-stats",
      "limits",
      "librknnrt",
      "program",
    ]);
    const xml = readFileSync(junit, "utf8");
    expect(xml).toContain('<testsuites name="lite3rl accept" tests="7" failures="4"');
    const validator = new Ajv({ allErrors: true });
    const schema = JSON.parse(readFileSync(ACCEPT_SCHEMA, "utf8")) as Record<string, unknown>;
    expect(schema).toEqual(JSON.parse(acceptSchema()) as Record<string, unknown>);
    validator.validate(schema, report);
    expect(validator.errors ?? []).toEqual([]);
  });

  test("fails the latency alone where a run takes 6 ms", async () => {
    const limits = place("five.yaml");
    writeFileSync(limits, LIMITS.replace("npu_latency_p99_ms: 1000", "npu_latency_p99_ms: 5"));
    const flags = [...ofDouble(), "--limits", limits];
    const slow = await accept("slow", flags, faults({ DELAY_US: 6000 }));
    expect([slow.status, slow.report.verdict, slow.others]).toEqual([
      1,
      "FAIL",
      { ...UNMEASURED, latency: "fail" },
    ]);
    const { us } = slow.report.measured.latency as MeasuredOf<"latency">;
    expect(us.p50).toBeGreaterThan(6000);
  });

  test("fails power alone at 11 W, and takes 9 W with its source named", async () => {
    const hot = await accept("hot", [...ofDouble(), "--root", sensors("hot", 11)], faults());
    const flags = [...ofDouble(), "--power-cmd", "date +9.%N"];
    const cool = await accept("cool", flags, faults());
    expect([hot.report.verdict, hot.others, why(hot, "power")]).toEqual([
      "FAIL",
      { ...NO_NPU, power: "fail" },
      "11 W on average, need below the limit",
    ]);
    expect([cool.report.verdict, cool.others, cool.report.rows[3]?.evidence]).toEqual([
      "INCOMPLETE",
      NO_NPU,
      'command "date +9.%N"',
    ]);
    const { idle, load } = cool.report.measured.power as MeasuredOf<"power">;
    expect([idle.meanW, load.meanW]).toEqual([expect.closeTo(9.5, 0), expect.closeTo(9.5, 0)]);
  });

  test("fails the actions alone where one run gives NaN", async () => {
    // Beyond the latency's queries and the gait's, within those of parity.
    const late = await accept("nan", ofDouble(), faults({ NAN_AT: 900 }));
    // Within the latency's, and so of parity's too.
    const early = await accept("nan-early", ofDouble(), faults({ NAN_AT: 400 }));
    const gave = "Cannot act: the NPU gave NaN as action[0], need finite numbers";
    for (const { report, others } of [late, early]) {
      expect([report.verdict, others]).toEqual(["FAIL", { ...UNMEASURED, parity: "fail" }]);
    }
    expect([why(late, "parity"), why(early, "parity")]).toEqual([
      gave,
      `1 query had no action: ${gave}`,
    ]);
  });

  test("fails the gait alone where the robot falls, and keeps the log of it", async () => {
    const files = ["--model", place("fallen.rknn"), "--librknnrt", doubleLibrary()];
    const fallen = await accept("fallen", files, faults());
    expect([fallen.report.verdict, fallen.others]).toEqual([
      "FAIL",
      { ...UNMEASURED, gait: "fail" },
    ]);
    expect(why(fallen, "gait")).toMatch(/falls is 1, at most 0/);
    expect((await verifyArchive(fallen.report.archive)).sound).toBe(true);
  });

  test("lets rows be missing that may be, but the double stands for no NPU", async () => {
    const flags = [
      ...ofDouble(),
      "--allow-missing",
      "power",
      "--allow-missing",
      "latency,gait,preprocessing,board",
    ];
    const { report, status } = await accept("allowed", flags, faults());
    expect([
      status,
      report.verdict,
      report.allowMissing,
      report.reasons,
      report.notes.length,
    ]).toEqual([
      1,
      "INCOMPLETE",
      ["latency", "preprocessing", "power", "gait", "board"],
      ["figures of a test double of the NPU library stand for no NPU"],
      4,
    ]);
  });

  test("prints what it measured where the archive could not be written in the end", async () => {
    const [folder, junit] = [place("kept"), place("kept.xml")];
    const flags = [...ofDouble(), "--output", join(folder, "a.tar.gz"), "--junit", junit];
    const program = start([...words(flags), "--json"], faults());
    const stderr = new TextStream(program.stderr);
    await stderr.until(/accept: gait/);
    writeFileSync(folder, "");
    const [stdout, errors] = await Promise.all([
      new Response(program.stdout).text(),
      stderr.rest(),
    ]);
    const report = JSON.parse(stdout) as AcceptDocument;
    expect([await program.exited, errors.trimEnd().split("\n").at(-1)]).toEqual([
      6,
      `error: Cannot write "${join(folder, "a.tar.gz")}": there is a file in its place; name a ` +
        "place that can be written with --output",
    ]);
    expect([report.verdict, "archive" in report, existsSync(junit)]).toEqual([
      "INCOMPLETE",
      false,
      true,
    ]);
  });

  test("leaves nothing but the log that was asked for when it is interrupted", async () => {
    const [output, log, temporary] = ["cut.tar.gz", "cut.mcap", "tmp"].map(place) as [
      string,
      string,
      string,
    ];
    mkdirSync(temporary);
    const flags = [...ofDouble(), "--duration", "60s", "--output", output, "--log", log];
    const env = { ...faults().env, TMPDIR: temporary };
    const program = start(words(flags), { env });
    const stderr = new TextStream(program.stderr);
    await stderr.until(/accept: gait/);
    while (!existsSync(log) || statSync(log).size < 70_000) await Bun.sleep(20);
    process.kill(-program.pid, "SIGINT");
    expect([await program.exited, (await stderr.rest()).trimEnd().split("\n").at(-1)]).toEqual([
      1,
      "error: Interrupted: nothing was archived",
    ]);
    expect([existsSync(output), readdirSync(temporary)]).toEqual([false, []]);
    const end = readRunLog(log, () => {});
    expect(end.complete).toBe(true);
  });
});

describe("accept without an NPU", () => {
  test("measures the .onnx on the CPU apart, and compares the .rknn by emulation", async () => {
    const rknn = join(import.meta.dir, "../../fixtures/rknn/demo.fp16.rknn");
    const files = ["--model", rknn, "--onnx", place("policy.onnx"), "--obs-stats", OBS_STATS];
    const { report, others, status } = await accept("cpu", files);
    expect([status, report.verdict, others]).toEqual([1, "INCOMPLETE", UNMEASURED]);
    const [latency, , parity, , gait] = report.rows;
    expect(latency?.why).toMatch(
      /^no NPU: no librknnrt.so in [^;]*; cpu took .*, which is no NPU's$/,
    );
    expect([parity?.evidence, gait?.evidence]).toEqual([
      "cpu and emulation",
      "cpu, lite3 (simulation)",
    ]);
  });
});
