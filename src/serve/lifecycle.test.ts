/**
 * Engines that die, hang or break under load: the service goes on, and no answer is wrong.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, run } from "../cli/program_fixture.ts";
import { frame, FramedPeer } from "../engine/peer_fixture.ts";
import { DEMO_POLICY, demoNetwork } from "../policy/policy_fixture.ts";
import { doubleLibrary, doubleOf, doubleOptions } from "../runtime/rknn_double_fixture.ts";
import { STATUS } from "../wire/protocol.ts";
import { askAll, note, startLoad } from "./load_fixture.ts";
import {
  computeExchange,
  enginePids,
  type Exchange,
  killServices,
  startService,
  untilEngines,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeExchange(model);
});
afterAll(killServices);

let sockets = 0;
const socketPath = (): string => join(directory, `s${sockets++}`);
const flags = (...more: string[]) => ["--model", model, "--obs-stats", OBS_STATS, ...more];

describe("serve: an engine that dies", () => {
  for (const more of [[], ["--spare"]]) {
    test(`is replaced under load when it is killed ${more.join()}`, async () => {
      const unix = socketPath();
      const service = await startService(flags("--socket", unix, ...more));
      const load = startLoad(unix, exchange);
      for (let round = 0; round < 3; round++) {
        const pids = await untilEngines(service.program.pid, 1 + more.length);
        await load.answers(500);
        // The spare one is the youngest.
        process.kill(pids[0]!, "SIGKILL");
        await service.stderr.until(new RegExp(`engine ${pids[0]} was ended by SIGKILL\n`));
        await service.stderr.until(
          new RegExp(`(?:.*answers since \\d+ ms later\n[^]*){${round + 1}}`),
        );
        await load.answers(500);
      }
      const { wrong, closed, gapMs } = load.stop();
      note(`longest time without an answer ${more.join()}: ${gapMs} ms`);
      expect({ wrong, closed }).toEqual({ wrong: 0, closed: 3 });
      const { status, stderr } = await service.stop();
      expect(status).toBe(0);
      const counted = Number(/stopped: (\d+) answers/.exec(stderr)?.[1]);
      expect(counted).toBeGreaterThanOrEqual(load.result.answered);
    });
  }

  test("ends the service, with the reason, when it dies again and again unanswered", async () => {
    const unix = socketPath();
    const service = await startService(flags("--socket", unix, "--restarts-max", "3"));
    const dead: number[] = [];
    while (dead.length < 3) {
      const [engine] = await untilEngines(service.program.pid, 1, dead);
      process.kill(engine!, "SIGKILL");
      dead.push(engine!);
    }
    const status = await service.program.exited;
    expect({ status, last: (await service.stderr.rest()).trimEnd().split("\n").at(-1) }).toEqual({
      status: 6,
      last:
        "error: Cannot go on serving: 3 engines died within a minute without an answer in " +
        "between, the last one was ended by SIGKILL; " +
        "lite3rl doctor checks library and driver, --restarts-max allows more",
    });
  });

  test("is no hang when engine and supervisor are stopped together", async () => {
    const unix = socketPath();
    const service = await startService(flags("--socket", unix, "--infer-timeout", "100ms"));
    const [engine] = enginePids(service.program.pid);
    const load = startLoad(unix, exchange);
    await load.answers(100);
    for (const pid of [service.program.pid, engine!]) process.kill(pid, "SIGSTOP");
    await Bun.sleep(2500);
    for (const pid of [engine!, service.program.pid]) process.kill(pid, "SIGCONT");
    await load.answers(100);
    expect(load.stop()).toMatchObject({ wrong: 0, closed: 0 });
    expect((await service.stop()).status).toBe(0);
  });

  test("is found when it stands still, without a request too", async () => {
    const unix = socketPath();
    const service = await startService(flags("--socket", unix, "--infer-timeout", "100ms"));
    const [engine] = enginePids(service.program.pid);
    process.kill(engine!, "SIGSTOP");
    await service.stderr.until(/stood still\n/);
    const load = startLoad(unix, exchange);
    await load.answers(10);
    expect(load.stop()).toMatchObject({ wrong: 0, closed: 0 });
    expect((await service.stop()).status).toBe(0);
  });

  test("leaves nothing behind when the supervisor is killed", async () => {
    const unix = socketPath();
    const service = await startService(flags("--socket", unix, "--spare"));
    const engines = await untilEngines(service.program.pid, 2);
    await service.stop("SIGKILL");
    const deadline = performance.now() + 10_000;
    const isAlive = (pid: number): boolean => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    while (engines.some(isAlive) && performance.now() < deadline) await Bun.sleep(5);
    expect(engines.filter(isAlive)).toEqual([]);
  });
});

describeWith("cc")("serve: an NPU that breaks", () => {
  const rknn = join(directory, "policy.rknn");
  const trigger = join(directory, "trigger");
  let npuExchange: Exchange;
  const npuFlags = (...more: string[]) => [
    `--model=${rknn}`,
    `--obs-stats=${DEMO_POLICY.obsStats}`,
    `--librknnrt=${doubleLibrary()}`,
    "--io=float",
    "--infer-timeout=200ms",
    ...more,
  ];
  const environment = (faults: Record<string, string | number> = {}) =>
    doubleOptions({ TRIGGER: trigger, ...faults }).env as Record<string, string>;
  const pull = (what: string): void => writeFileSync(join(trigger, what), "");

  beforeAll(async () => {
    mkdirSync(trigger);
    writeFileSync(rknn, doubleOf(await demoNetwork()));
    const unix = socketPath();
    const service = await startService(npuFlags("--socket", unix), { env: environment() });
    npuExchange = await askAll(unix, exchange.requests);
    await service.stop();
  });

  for (const [what, kind] of [
    ["crash", "was ended by SIGSEGV, its last line is"],
    ["hang", "did not return from an inference in time, its last line is"],
    ["nan", "said: Cannot go on: too many actions in a row were not finite"],
  ] as const) {
    test(`loses its engine to a ${what} under load, and no answer is wrong`, async () => {
      const unix = socketPath();
      const service = await startService(npuFlags("--socket", unix), { env: environment() });
      const load = startLoad(unix, npuExchange);
      await load.answers(200);
      pull(what);
      await service.stderr.until(new RegExp(kind));
      const [, ms] = await service.stderr.until(/answers since (\d+) ms later/);
      await load.answers(200);
      const { wrong, closed, gapMs } = load.stop();
      note(`${what}: answers again after ${ms} ms, longest gap ${gapMs} ms`);
      expect(wrong).toBe(0);
      // Each NaN ends a connection, and the tenth in a row the engine.
      expect(closed).toBe(what === "nan" ? 10 : 1);
      expect((await service.stop()).status).toBe(0);
    });
  }

  test("may take its time for each row of a batch, however long they take together", async () => {
    const unix = socketPath();
    const env = environment({ DELAY_US: 20_000 });
    const service = await startService(npuFlags("--socket", unix, "--warmup", "0"), { env });
    const peer = await FramedPeer.connect({ unix });
    const rows = exchange.requests.slice(0, 32).map((bytes) => [...new Float32Array(bytes.buffer)]);
    peer.client.send(frame({ id: 5 }, Float32Array.from(rows.flat())));
    const answer = await peer.answer();
    expect(answer?.header).toMatchObject({ id: 5, status: STATUS.ok, rows: 32 });
    expect(answer?.header.inferenceUs).toBeGreaterThan(600_000);
    expect((await service.stop()).stderr).toContain("stopped: 1 answers");
  });

  test("is given up after ten engines without an answer", async () => {
    const unix = socketPath();
    const ended = run(
      ["serve", ...npuFlags("--socket", unix, "--warmup", "0", "--restarts-max", "3")],
      {
        env: environment({ CRASH_AT: 1 }),
      },
    );
    const crashing = setInterval(() => {
      void Bun.connect({
        unix,
        socket: { open: (s) => void s.write(exchange.requests[0]!), data() {} },
      }).catch(() => {});
    }, 20);
    const { status, stderr } = await ended.finally(() => clearInterval(crashing));
    expect(status).toBe(6);
    expect(stderr).toContain(
      "error: Cannot go on serving: 3 engines died within a minute without an answer in between, " +
        "the last one was ended by SIGSEGV",
    );
  });

  test("that fails on is answered for with --fallback, and tried again unnoticed", async () => {
    const unix = socketPath();
    // Ten runs in a row of every engine, some time after its warm-up.
    const FAIL = Array.from({ length: 10 }, (_, i) => `run:${40 + i}:-1`).join(",");
    const service = await startService(
      npuFlags("--socket", unix, "--fallback=mlp", `--fallback-model=${model}`),
      { env: environment({ FAIL }) },
    );
    const load = startLoad(unix, npuExchange);
    await service.stderr.until(
      /too many inferences in a row failed, the last: .*rknn_run gave -1.*; the CPU answers/,
    );
    await service.stderr.until(/generation 1 of .* serves, 1 connection moved/);
    await load.answers(50);
    expect(load.stop().closed).toBe(0);
    const { status, stderr } = await service.stop();
    expect([status, stderr.includes("was ended")]).toEqual([0, false]);
  });

  test("is replaced by the CPU with --fallback, and comes back", async () => {
    const onnx = join(directory, "policy.onnx");
    const unix = socketPath();
    const service = await startService(
      npuFlags("--socket", unix, "--fallback", "mlp", "--fallback-model", onnx),
      { env: environment() },
    );
    const load = startLoad(unix, npuExchange);
    for (const _ of [1, 2]) {
      await load.answers(50);
      pull("crash");
      await service.stderr.until(/answers since (\d+) ms later/);
    }
    await service.stderr.until(/generation 1 of .* serves, \d+ connections? moved/);
    await load.answers(50);
    load.stop();
    expect((await service.stop()).status).toBe(0);
  });
});
