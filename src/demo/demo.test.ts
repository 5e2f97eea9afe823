import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { runEpisode } from "../closed_loop/episode.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { failed, OBS_STATS, type Program, run, start, TextStream } from "../cli/program_fixture.ts";
import { createLite3 } from "../environment/lite3.ts";
import { DEMO_POLICY } from "../policy/policy_fixture.ts";
import { openPolicy } from "../runtime/open.ts";
import { doubleLibrary } from "../runtime/rknn_double_fixture.ts";
import { unpackDemoPolicy } from "../policy/demo_policy.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const output = join(directory, "demo");
const STAGES = ["export", "collect", "serve", "walk", "stand", "service", "parity"];

const running: Program[] = [];

/** Starts the demo as `lite3rl demo --output <directory>/<name>`. */
function startDemo(name: string, flags: string[] = [], env: Record<string, string> = {}): Program {
  const program = start(["demo", "--output", join(directory, name), ...flags], { env });
  running.push(program);
  return program;
}

/** The demo to its end; these run at once, because a walk is 10 s of waiting. */
let ran: { status: number; json: Record<string, unknown>; stderr: string };
const interrupted = { status: -1, stdout: "", last: "", isGroupGone: false };
const second = { status: -1, stdout: "", stderr: "" };
const failing = { status: -1, stdout: "", stderr: "" };
const doubled = { status: -1, stdout: "", stderr: "" };
/** So long that no socket can be made in it. */
const deep = join(directory, "x".repeat(100));

beforeAll(async () => {
  const whole = async (): Promise<void> => {
    const program = startDemo("demo", ["--json"]);
    const [status, stdout, stderr] = await outcome(program);
    ran = { status, json: JSON.parse(stdout) as Record<string, unknown>, stderr };
  };
  const cut = async (): Promise<void> => {
    const program = startDemo("interrupted");
    const stderr = new TextStream(program.stderr);
    await stderr.until(/^serve: ok/m);
    await conclude(startDemo("interrupted", ["--quiet"]), second);
    // As a terminal does: to the whole process group, the service included.
    process.kill(-program.pid, "SIGINT");
    interrupted.status = await program.exited;
    interrupted.last = (await stderr.rest()).trimEnd().split("\n").at(-1) ?? "";
    interrupted.stdout = await program.stdout.text();
    interrupted.isGroupGone = !isGroupAlive(program.pid);
  };
  const nowhere = async (): Promise<void> => {
    mkdirSync(deep);
    await conclude(startDemo("failing", ["--quiet"], { TMPDIR: deep }), failing);
  };
  const overDouble = async (): Promise<void> => {
    if (findTool("cc") === undefined) return;
    const flags = ["--json", "--double", doubleLibrary()];
    await conclude(startDemo("doubled", flags, { LITE3RL_DOUBLE: "" }), doubled);
  };
  await Promise.all([whole(), cut(), nowhere(), overDouble()]);
});

afterAll(() => {
  for (const program of running) program.kill("SIGKILL");
});

const outcome = (program: Program) =>
  Promise.all([program.exited, program.stdout.text(), program.stderr.text()]);

async function conclude(program: Program, into: typeof second): Promise<void> {
  [into.status, into.stdout, into.stderr] = await outcome(program);
}

function isGroupAlive(pid: number): boolean {
  try {
    return process.kill(-pid, 0);
  } catch {
    return false;
  }
}

describe("demo", () => {
  const number = expect.any(Number);
  const comparison = (evidence: string, b: unknown) => ({
    mae: number,
    max: number,
    rmse: number,
    quantiles: { p50: number, p90: number, p99: number, p999: number },
    cosine: number,
    // No error at all has no ratio to it.
    sqnrDb: evidence === "cpu" ? null : number,
    perOutput: expect.any(Array),
    worst: { sample: number, output: expect.any(String), error: number },
    worstSamples: expect.any(Array),
    space: "raw",
    samples: 2048,
    dataset: "calib_obs.npy",
    requiredTolerance: { mae: number, max: number },
    sides: { a: join(output, "policy.onnx"), b },
    evidence: { a: "cpu", b: evidence },
  });

  test("carries the policy through every stage and gives its document", () => {
    expect({ status: ran.status, json: ran.json }).toEqual({
      status: 0,
      json: {
        ok: true,
        version: expect.any(String),
        stages: STAGES.map((name) => ({
          name,
          seconds: number,
          ok: true,
          ranOn: expect.stringMatching(/^CPU/),
          detail: expect.any(String),
        })),
        walkedM: number,
        falls: 0,
        overruns: number,
        stand: { driftM: number, feetDown: 4, durationS: 4 },
        parity: comparison("emulation", `emulated (${join(output, "policy.onnx")})`),
        service: {
          ...comparison("cpu", undefined),
          sides: {
            a: `mlp (${join(output, "policy.onnx")})`,
            b: expect.stringMatching(/^unix:.*\/policy\.sock$/),
          },
          services: { b: expect.objectContaining({ backend: "mlp", evidence: "cpu" }) },
        },
        latencyUs: { p50: number, p99: number, max: number },
        trajectorySha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        page: join(output, "report.html"),
        seconds: number,
        notes: expect.arrayContaining([expect.stringContaining("No NPU and no robot took part")]),
      },
    });
    const { walkedM, service, parity } = ran.json as {
      walkedM: number;
      service: { mae: number };
      parity: { mae: number };
    };
    expect(walkedM).toBeWithin(5.4, 6.2);
    expect(service.mae).toBe(0);
    expect(parity.mae).toBeWithin(1e-6, 1e-3);
  });

  testWith("cc")("has a stage more with --double, whose evidence is named everywhere", () => {
    const json = JSON.parse(doubled.stdout) as typeof ran.json;
    const { status, stages, npu, notes, page } = { ...json, ...doubled } as Record<string, unknown>;
    const place = join(directory, "doubled");
    expect({ status, npu }).toEqual({
      status: 0,
      npu: {
        ...comparison("double", join(place, "policy.double.rknn")),
        sides: { a: join(place, "policy.onnx"), b: join(place, "policy.double.rknn") },
      },
    });
    expect(stages).toBeArrayOfSize(STAGES.length + 1);
    expect((stages as unknown[]).at(-1)).toEqual({
      name: "npu",
      seconds: number,
      ok: true,
      ranOn: "CPU, test double of the NPU library",
      detail: expect.stringMatching(/^evidence double: MAE .*, 2048 observations$/),
    });
    expect(notes).toContain(
      "Stage npu ran a test double of the NPU library on the CPU (evidence: double): it shows " +
        "that the way to the library works, and no figure of an NPU.",
    );
    const html = readFileSync(page as string, "utf8");
    expect(html).toContain("<strong>No NPU was used.</strong>");
    expect(html).toContain("evidence double: MAE");
    expect(doubled.stderr).toMatch(/^warning: .* is a test double of the NPU library: no figure/m);
  });

  test("refuses a --double that is not there before the first stage", async () => {
    const place = join(directory, "nothing");
    expect(await run(["demo", "--output", place, "--double", "/nowhere/double.so"])).toEqual(
      failed(
        3,
        'Cannot run the demo over "/nowhere/double.so": there is no such file; need the test ' +
          "double of the NPU library: from source, bun run demo --double builds it",
      ),
    );
    expect(existsSync(place)).toBe(false);
  });

  testWith("cc")("refuses another library before the first stage", async () => {
    const place = join(directory, "nothing");
    const other = join(directory, "other.so");
    writeFileSync(`${other}.c`, "int rknn_init(void) { return 0; }");
    const compiler = findTool("cc") ?? "cc";
    Bun.spawnSync([compiler, "-shared", "-fPIC", "-o", other, `${other}.c`]);
    const { status, stderr } = await run(["demo", "--output", place, "--double", other]);
    expect(stderr).toStartWith(
      `error: Cannot run the demo over "${other}": it lacks rknn_destroy, rknn_query, `,
    );
    expect([status, existsSync(place)]).toEqual([5, false]);
  });

  test("says on stderr how each stage went", () => {
    // A slow machine also says how far it is: "collect: 1024 of 2048".
    const lines = ran.stderr.split("\n").filter((line) => !/^\w+: \d+ of \d+$|^$/.test(line));
    expect(lines.map((line) => /^(\w+): ok, [\d.]+ m?s$/.exec(line)?.[1])).toEqual(STAGES);
  });

  test("leaves the files of a project behind, and no service", () => {
    expect(readdirSync(output).sort()).toEqual([
      "actor_config.yaml",
      "calib_obs.npy",
      "obs_stats.npz",
      "policy.onnx",
      "policy.pt",
      "report.html",
    ]);
    expect(readFileSync(join(output, "report.html"), "utf8")).toStartWith("<!doctype html>");
  });

  test("walks the very trajectory that the policy walks in process", async () => {
    using policy = await openPolicy(join(output, "policy.onnx"), OBS_STATS, { backend: "mlp" });
    using environment = await createLite3({ command: [0.5, 0, 0] });
    await runEpisode({ environment, policy, steps: 500, seed: 0, realTime: false });
    expect(ran.json.trajectorySha256).toBe(environment.trajectoryHash());
  });

  test("stops at Ctrl-C with one line, and takes its service along", () => {
    expect(interrupted).toEqual({
      status: 1,
      stdout: "",
      last: "error: Interrupted",
      isGroupGone: true,
    });
    expect(readdirSync(join(directory, "interrupted")).sort()).toEqual([
      "actor_config.yaml",
      "calib_obs.npy",
      "obs_stats.npz",
      "policy.onnx",
      "policy.pt",
    ]);
  });

  test("does not write where another demo is running", () => {
    const place = join(directory, "interrupted");
    expect(second).toEqual(
      failed(7, `Another demo is running in "${place}": wait for it, or choose another --output`),
    );
  });

  test("says why its service did not start", () => {
    const socket = join(deep, "lite3rl-XXXXXX", "policy.sock");
    const { stderr, ...rest } = failing;
    expect({
      ...rest,
      stderr: stderr.replace(/lite3rl-\w{6}(?=.policy)/, "lite3rl-XXXXXX"),
    }).toEqual(
      failed(
        7,
        "The service ended with status 2 before it was ready: error: Cannot use socket path " +
          `"${socket}": it has ${socket.length} bytes, a Unix socket's path has 1 to 107; ` +
          "choose a shorter one",
      ),
    );
    expect(readdirSync(deep)).toEqual([]);
  });
});

test("unpackDemoPolicy() writes the embedded files as they are", async () => {
  const place = join(directory, "inputs");
  const paths = await unpackDemoPolicy(place);
  expect(paths).toEqual({
    checkpoint: join(place, "policy.pt"),
    config: join(place, "actor_config.yaml"),
    obsStats: join(place, "obs_stats.npz"),
  });
  for (const [name, path] of Object.entries(paths)) {
    const original = DEMO_POLICY[name as keyof typeof DEMO_POLICY];
    expect(readFileSync(path).equals(readFileSync(original))).toBe(true);
  }
});
