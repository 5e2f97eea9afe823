/**
 * The clients with `lite3rl serve` itself: the actions are those of ONNX Runtime, and a client
 * outlives the engine that served it.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, run as runProgram } from "../../scripts/dev/project.ts";
import { describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { sha256 } from "../base/files.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import { openPolicy } from "../runtime/open.ts";
import {
  computeExchange,
  type Exchange,
  killServices,
  type Service,
  startService,
} from "../serve/service_fixture.ts";
import { compile, compileDriver, type Launch, placeDriver, startDriver } from "./driver_fixture.ts";

setDefaultTimeout(120_000);

const directory = temporaryDirectory();
/** Largest |difference| to ONNX Runtime: the service may run its own kernel. */
const TOLERANCE = 1e-6;
const ROWS = 64;

let service: Service;
let model: string;
let exchange: Exchange;
const addresses = { unix: "", tcp: "" };

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeExchange(model);
  const path = join(directory, "service.sock");
  const flags = ["--model", model, "--obs-stats", OBS_STATS, "--socket", path];
  service = await startService([...flags, "--tcp", "127.0.0.1:0"]);
  addresses.unix = `unix:${path}`;
  addresses.tcp = /tcp:[\d.:]+/.exec(service.ready)?.[0] ?? "";
});
afterAll(killServices);

const floats = (bytes: Uint8Array): number[] => [
  ...new Float32Array(Uint8Array.from(bytes).buffer),
];
const numbersOf = (parts: readonly Uint8Array[]): number[] => parts.flatMap(floats);
const worst = (found: readonly number[], expected: readonly number[]): number =>
  found.length === expected.length
    ? Math.max(...found.map((value, i) => Math.abs(value - (expected[i] ?? NaN))))
    : Infinity;

/** The engine that the supervisor runs. */
function enginePid(supervisor: number): number {
  const engines = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return Number(parent) === supervisor && words.includes("engine");
      } catch {
        return false; // it ended meanwhile
      }
    });
  expect(engines.length).toBe(1);
  return Number(engines[0]);
}

/** The README's example in a language, with this service and more patience. */
async function readmeExample(language: "cpp" | "python"): Promise<string> {
  const readme = await Bun.file(join(ROOT, "README.md")).text();
  const all = [...readme.matchAll(/^```(\w+)\n([^]*?)^```$/gm)];
  const [, , text = ""] =
    all.find(([, of, body]) => of === language && body?.includes("_client")) ?? [];
  expect(text).not.toBe("");
  return text
    .replace("unix:/tmp/lite3_policy.sock", addresses.unix)
    .replace("20'000", "20'000'000")
    .replace("deadline_ms=20", "deadline_ms=20000");
}

/** It asks for the action to an observation of zeros. */
async function expectActionOfZeros(command: readonly string[]): Promise<void> {
  using policy = await openPolicy(model, OBS_STATS);
  const action = new Float32Array(12);
  await policy.act(new Float32Array(45), action, policy.backend.createState());
  const { status, stdout, stderr } = runProgram(command, { cwd: directory });
  expect([status, stderr]).toEqual([0, ""]);
  const found = stdout.match(/-?[\d.]+(?:e-?\d+)?/g)?.map(Number) ?? [];
  expect(worst(found, [...action])).toBeLessThanOrEqual(1e-4); // six digits are printed
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function testRealService(prepare: () => Promise<Launch>): void {
  let launch: Launch;
  beforeAll(async () => {
    launch = await prepare();
  });
  const drive = (address: string, protocol: "framed" | "raw") =>
    startDriver(launch([address, "45", "12", protocol]));

  for (const kind of ["unix", "tcp"] as const) {
    for (const protocol of ["framed", "raw"] as const) {
      test(`${protocol} actions over ${kind} are those of ONNX Runtime`, async () => {
        await using client = drive(addresses[kind], protocol);
        const found: number[] = [];
        for (const request of exchange.requests) {
          const outcome = await client.infer(floats(request));
          expect(outcome).toMatchObject({ status: 0, reason: "" });
          found.push(...outcome.action);
        }
        expect(worst(found, numbersOf(exchange.answers))).toBeLessThanOrEqual(TOLERANCE);

        const batch = numbersOf(exchange.requests.slice(0, ROWS));
        const { status, action } = await client.infer(batch, undefined, ROWS);
        expect(status).toBe(0);
        const expected = numbersOf(exchange.answers.slice(0, ROWS));
        expect(worst(action, expected)).toBeLessThanOrEqual(TOLERANCE);
      });
    }
  }

  test("the hello is that of the model", async () => {
    await using client = drive(addresses.unix, "framed");
    const digest = sha256(readFileSync(model));
    expect(await client.connect()).toMatchObject({
      status: 0,
      sizes: [45, 12, 64],
      recurrent: false,
      digest,
      about: { program: "lite3rl", protocols: [1], model: { sha256: digest } },
    });
    await using other = startDriver(launch([addresses.unix, "48", "12", "framed"]));
    const reason = "it takes 45 and gives 12 numbers, need 48 and 12";
    expect(await other.connect()).toMatchObject({ status: 257, reason });
  });

  test("a deadline that cannot be made is missed, and the next question gets its own", async () => {
    await using client = drive(addresses.unix, "framed");
    await client.connect();
    const [first, second] = exchange.requests;
    const missed = await client.infer(floats(first as Uint8Array), 0.002);
    expect(missed).toMatchObject({ status: 17, action: Array(12).fill(-7) as number[] });
    const { status, action } = await client.infer(floats(second as Uint8Array));
    expect(status).toBe(0);
    const expected = floats(exchange.answers[1] as Uint8Array);
    expect(worst(action, expected)).toBeLessThanOrEqual(TOLERANCE);
  });

  test("an engine that stalls is late, and its late answers go to nobody", async () => {
    await using client = drive(addresses.unix, "framed");
    await client.connect();
    const engine = enginePid(service.program.pid);
    process.kill(engine, "SIGSTOP");
    const [first, second] = exchange.requests;
    const missed = await client.infer(floats(first as Uint8Array), 100);
    expect(missed).toMatchObject({ status: 17, action: Array(12).fill(-7) as number[] });
    // Its supervisor may have replaced it meanwhile.
    if (isRunning(engine)) process.kill(engine, "SIGCONT");
    const { action } = await client.infer(floats(second as Uint8Array));
    const expected = floats(exchange.answers[1] as Uint8Array);
    expect(worst(action, expected)).toBeLessThanOrEqual(TOLERANCE);
  });

  test("a client outlives the engine that served it", async () => {
    await using client = drive(addresses.unix, "framed");
    for (let i = 0; i < 3; i++) {
      const observation = floats(exchange.requests[i] as Uint8Array);
      expect(await client.infer(observation)).toMatchObject({ status: 0 });
      const engine = enginePid(service.program.pid);
      process.kill(engine, "SIGKILL");
      while (isRunning(engine)) await Bun.sleep(1);
      // Connects, is taken by the next engine, and asked: in one call, within its deadline.
      const { status, action } = await client.infer(observation);
      expect(status).toBe(0);
      const expected = floats(exchange.answers[i] as Uint8Array);
      expect(worst(action, expected)).toBeLessThanOrEqual(TOLERANCE);
    }
  });
}

describeWith("cxx")("the C++ client with lite3rl serve", () => {
  testRealService(() => compileDriver(findTool("cxx") ?? "", directory));

  test("the README's example runs", async () => {
    const source = join(directory, "example.cpp");
    await Bun.write(source, await readmeExample("cpp"));
    await compile(findTool("cxx") ?? "", [source, "-o", join(directory, "example")]);
    await expectActionOfZeros([join(directory, "example")]);
  });
});

describeWith("python")("the Python client with lite3rl serve", () => {
  testRealService(() => placeDriver(findTool("python") ?? "", directory));

  test("the README's example runs", async () => {
    await Bun.write(join(directory, "example.py"), await readmeExample("python"));
    await expectActionOfZeros([findTool("python") ?? "", "example.py"]);
  });
});
