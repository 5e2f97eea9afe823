/** The engine as a process of its own, with a test in the supervisor's place. */

import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { boundPort, closeSocket, listenOn } from "../../ffi/socket.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { LITE3_CONTRACT } from "../policy/contract.ts";
import { exportDemoPolicy, failed, OBS_STATS, run } from "../cli/program_fixture.ts";
import { decodeOnnx, encodeOnnx } from "../formats/onnx.ts";
import { runProtocolSuite } from "../serve/protocol_suite.ts";
import { Client } from "../serve/service_fixture.ts";
import { EngineUnderTest, killEngines } from "./engine_fixture.ts";
import { bytesOf, computeByKernel, type Exchange } from "./peer_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;
let paths = 0;
const socketPath = (): string => join(directory, `s${paths++}`);

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeByKernel(model);
});

/** Engines that a whole group uses end with the group. */
for (const backend of ["mlp", "onnx"] as const) {
  describe(`the protocol, by ${backend}`, () => {
    const unix = socketPath();
    let port = 0;
    let sha256 = "";

    beforeAll(async () => {
      const { engine, ready } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, backend });
      ({ sha256 } = ready);
      await engine.listen(unix);
      const listener = listenOn({ kind: "tcp", host: "127.0.0.1", port: 0 });
      port = boundPort(listener);
      await engine.listenAs("tcp", listener);
      closeSocket(listener);
    });
    afterAll(killEngines);

    runProtocolSuite("Unix", () => ({ address: { unix }, kind: "unix", sha256 }));
    runProtocolSuite("TCP", () => ({
      address: { hostname: "127.0.0.1", port },
      kind: "tcp",
      sha256,
    }));
  });
}

describe("the engine", () => {
  afterEach(killEngines);

  test("says what it opened, and counts what it does", async () => {
    const { engine, ready } = await EngineUnderTest.open({
      model,
      obsStats: OBS_STATS,
      backend: "mlp",
      generation: 3,
      warmup: 16,
    });
    const number = expect.any(Number);
    const { sha256 } = ready;
    expect(ready).toEqual({
      event: "ready",
      observationSize: 45,
      actionSize: 12,
      backend: "mlp",
      evidence: "cpu",
      normalizer: "obs-stats",
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      recurrent: false,
      warmup: { count: 16, p50Us: number, maxUs: number },
      hello: {
        program: "lite3rl",
        version: expect.any(String),
        protocols: [1],
        model: { file: model, sha256 },
        generation: 3,
        backend: "mlp",
        evidence: "cpu",
        normalizer: "obs-stats",
        contract: null,
      },
      ms: number,
    });
    expect(engine.snapshot.state).toBe("ready");
    const unix = socketPath();
    await engine.listen(unix);
    const client = await Client.connect({ unix });
    const [observation, action] = [exchange.observations[0]!, exchange.actions[0]!];
    client.send(bytesOf(observation), bytesOf(observation));
    expect(await client.take(2)).toEqual([bytesOf(action), bytesOf(action)]);
    const { beat } = engine.snapshot;
    const { counters, ...shown } = await engine.until((now) => now.beat > beat + 2);
    expect(Object.entries(counters).filter(([, count]) => count > 0)).toEqual([
      ["connections", 1],
      ["requests", 2],
      ["answered", 2],
      ["bytesIn", 2 * 45 * 4],
      ["bytesOut", 2 * 12 * 4],
    ]);
    expect(shown).toMatchObject({
      state: "serving",
      busySinceUs: 0,
      openConnections: 1,
      generation: 3,
      observation,
      action,
    });
    expect([shown.service.count, shown.inference.count, shown.set]).toEqual([2, 2, undefined]);
    // Both waited for the second action, and for both to be sent.
    expect(shown.service.sumUs).toBeGreaterThan(shown.inference.sumUs);
    expect(await engine.stop()).toEqual({ status: 0, stderr: "" });
    expect(engine.snapshot.state).toBe("draining");
  });

  test("sends what it has answered before it stops, and nothing partial", async () => {
    const { engine } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, backend: "mlp" });
    const unix = socketPath();
    await engine.listen(unix);
    const client = await Client.connect({ unix });
    const request = bytesOf(exchange.observations[0]!);
    client.send(...Array.from({ length: 100_000 }, () => request));
    const answers = await client.take(64);
    const [ended, rest] = await Promise.all([engine.stop(2000), client.takeRest()]);
    expect(ended).toEqual({ status: 0, stderr: "" });
    const expected = bytesOf(exchange.actions[0]!);
    expect(rest.every((action) => Buffer.from(action).equals(expected))).toBe(true);
    expect(answers.length + rest.length).toBe(engine.snapshot.counters.answered);
  });

  test("waits no longer for a client that does not read than it is told", async () => {
    const { engine } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, backend: "mlp" });
    const unix = socketPath();
    await engine.listen(unix);
    const client = await Client.connect({ unix });
    client.pause();
    const request = bytesOf(exchange.observations[0]!);
    client.send(...Array.from({ length: 50_000 }, () => request));
    await engine.until(({ counters }) => counters.slowReaders > 0);
    expect(await engine.stop(50)).toEqual({ status: 0, stderr: "" });
    client.close();
  });

  test("ends when its supervisor hangs up, and ignores signals, which are for that", async () => {
    const { engine } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, backend: "mlp" });
    const unix = socketPath();
    await engine.listen(unix);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) engine.process.kill(signal);
    const client = await Client.connect({ unix });
    client.send(bytesOf(exchange.observations[0]!));
    expect(await client.take(1)).toEqual([bytesOf(exchange.actions[0]!)]);
    engine.hangUp();
    expect(await engine.end()).toEqual({ status: 0, stderr: "" });
  });

  test("says why it cannot open a model, and ends with that status", async () => {
    const engine = new EngineUnderTest();
    engine.open({ model: join(directory, "none.onnx") });
    const { code, message } = await engine.event("failed");
    expect({ code, message }).toEqual({
      code: "NOT_FOUND",
      message: `Cannot read "${join(directory, "none.onnx")}": there is no such file, need a file`,
    });
    expect(await engine.end()).toEqual({ status: 3, stderr: "" });
  });

  test("tells of the contract in the model, and opens none that is no JSON", async () => {
    const { joints } = LITE3_CONTRACT;
    const terms = ["base_ang_vel", "gravity", "command", "joint_pos", "joint_vel", "last_action"];
    const contract = {
      rateHz: 50,
      observation: terms.map((name) => ({ name, scale: 0.25 })),
      action: [{ name: "joint_pos", joints }],
    };
    const withContract = (name: string, value: string): string => {
      const onnx = decodeOnnx(readFileSync(model));
      const path = join(directory, name);
      const metadataProps = [...(onnx.metadataProps ?? []), { key: "lite3rl.contract", value }];
      writeFileSync(path, encodeOnnx({ ...onnx, metadataProps }));
      return path;
    };
    const good = withContract("good.onnx", JSON.stringify(contract));
    const { ready } = await EngineUnderTest.open({ model: good, obsStats: OBS_STATS });
    expect(ready.hello).toMatchObject({ contract, controlPeriodMs: 20, actionNames: joints });
    const observationNames = ready.hello.observationNames as string[];
    expect([observationNames.length, observationNames[0], observationNames.at(-1)]).toEqual([
      45,
      "base_ang_vel[0]",
      "last_action[HR_Knee]",
    ]);
    const bad = withContract("bad.onnx", "rate: 50");
    const engine = new EngineUnderTest();
    engine.open({ model: bad, obsStats: OBS_STATS });
    const { code, message } = await engine.event("failed");
    expect({ code, message }).toEqual({
      code: "MALFORMED",
      message:
        `Cannot serve "${bad}": the contract in its metadata is no JSON object, ` +
        "export the checkpoint again",
    });
    await engine.end();
  });

  test("refuses real-time options that are not permitted, instead of doing without", async () => {
    const isolated = ["unshare", "--user", "--map-root-user", "prlimit", "--rtprio=0"];
    const engine = new EngineUnderTest({ wrapper: isolated });
    engine.open({ model, obsStats: OBS_STATS, fifo: 20 });
    const { code, message } = await engine.event("failed");
    expect(code).toBe("NATIVE");
    expect(message).toStartWith("Cannot run with --fifo 20: not permitted (EPERM), need ");
    expect((await engine.end()).status).toBe(6);
  });

  test("is not for people", async () => {
    expect(await run(["engine"])).toEqual(
      failed(2, "Cannot run engine by itself: it has nobody to serve for, use serve"),
    );
  });
});
