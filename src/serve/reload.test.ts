/**
 * Another model in place of the one that serves, with the clients connected.
 */

import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, run } from "../cli/program_fixture.ts";
import { DEMO_POLICY } from "../policy/policy_fixture.ts";
import { GRU_CHECKPOINT } from "../policy/recurrent_fixture.ts";
import { FramedClient } from "../wire/framed_client.ts";
import { askAll, note, startLoad } from "./load_fixture.ts";
import {
  Client,
  computeExchange,
  enginePids,
  type Exchange,
  expectAnswers,
  killServices,
  type Service,
  startService,
  untilEngines,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let exchange: Exchange;
let other: Exchange;
let store: string;
let stores = 0;

/** v2 is v1 with another activation, gru a policy of other sizes. */
beforeAll(async () => {
  await exportDemoPolicy(directory, "v1.onnx");
  const config = join(directory, "tanh.yaml");
  writeFileSync(config, (await Bun.file(DEMO_POLICY.config).text()).replace("elu", "tanh"));
  const external = ["--obs-stats", OBS_STATS, "--normalizer", "external", "--no-check"];
  const v2 = ["--config", config, "--output", join(directory, "v2.onnx"), ...external];
  expect((await run(["export", DEMO_POLICY.checkpoint, ...v2])).status).toBe(0);
  const gru = ["--activation", GRU_CHECKPOINT.activation, "--output", join(directory, "gru.onnx")];
  expect((await run(["export", GRU_CHECKPOINT.path, ...gru])).status).toBe(0);
  exchange = await computeExchange(join(directory, "v1.onnx"));
});
afterAll(killServices);

beforeEach(() => {
  store = join(directory, `store${stores++}`);
  for (const version of ["v1", "v2", "gru"]) {
    mkdirSync(join(store, version), { recursive: true });
    copyFileSync(join(directory, `${version}.onnx`), join(store, version, "policy.onnx"));
  }
  mkdirSync(join(store, "broken"));
  writeFileSync(join(store, "broken", "policy.onnx"), "no model");
  mkdirSync(join(store, "empty"));
  pointTo("v1");
});

function pointTo(version: string): void {
  symlinkSync(version, join(store, "next"));
  renameSync(join(store, "next"), join(store, "current"));
}

const start = (...more: string[]): Promise<Service> =>
  startService([
    `--model=${join(store, "current", "policy.onnx")}`,
    `--obs-stats=${OBS_STATS}`,
    `--socket=${join(store, "s")}`,
    ...more,
  ]);

describe("serve: a reload", () => {
  test("by --watch takes the version that the link leads to, and keeps every client", async () => {
    const service = await start("--watch");
    const unix = join(store, "s");
    const [half, pipelined] = [await Client.connect({ unix }), await Client.connect({ unix })];
    half.send(exchange.requests[0]!.subarray(0, 77));
    pipelined.send(exchange.requests[1]!);
    await expectAnswers(pipelined, [exchange.answers[1]!]);
    const load = startLoad(unix, exchange);
    await load.answers(100);
    pointTo("v1b");
    await service.stderr.until(/the model was not replaced/);
    await load.answers(100);
    mkdirSync(join(store, "v1b"));
    copyFileSync(join(directory, "v1.onnx"), join(store, "v1b", "policy.onnx"));
    await service.stderr.until(/generation 2 of .* serves, 3 connections moved in \d+ ms\n/);
    await load.answers(100);
    half.send(exchange.requests[0]!.subarray(77));
    await expectAnswers(half, [exchange.answers[0]!]);
    pipelined.send(exchange.requests[2]!);
    await expectAnswers(pipelined, [exchange.answers[2]!]);
    const { wrong, closed, gapMs } = load.stop();
    note(`longest time without an answer: ${gapMs} ms`);
    expect({ wrong, closed }).toEqual({ wrong: 0, closed: 0 });
    for (const client of [half, pipelined]) client.close();
    expect((await service.stop()).status).toBe(0);
  });

  test("by SIGUSR1 gives another policy's answers from then on, also after a death", async () => {
    const service = await start("--spare");
    const unix = join(store, "s");
    other = await computeExchange(join(directory, "v2.onnx"));
    const before = await untilEngines(service.program.pid, 2);
    pointTo("v2");
    process.kill(service.program.pid, "SIGUSR1");
    await service.stderr.until(/generation 2 of .* serves, 0 connections moved/);
    expect(await askAll(unix, exchange.requests)).toEqual(other);
    // What is there by now was never accepted.
    pointTo("broken");
    const [serving] = await untilEngines(service.program.pid, 2, before);
    process.kill(serving!, "SIGKILL");
    await service.stderr.until(/was ended by SIGKILL\n/);
    const load = startLoad(unix, other);
    await load.answers(200);
    expect(load.stop().wrong).toBe(0);
    expect((await service.stop()).status).toBe(0);
  });

  for (const [version, why] of [
    ["broken", /the model was not replaced: the new engine said: Cannot read model ".*": /],
    ["empty", /the model was not replaced: Cannot read ".*": there is no such/],
    ["gru", /the model was not replaced: the new engine (?:has ".*", which is 12 → 4|said: )/],
  ] as const) {
    test(`of what cannot serve (${version}) is refused, and the old model stays`, async () => {
      const service = await start();
      const load = startLoad(join(store, "s"), exchange);
      await load.answers(100);
      pointTo(version);
      process.kill(service.program.pid, "SIGUSR1");
      await service.stderr.until(why);
      await load.answers(100);
      expect(load.stop()).toMatchObject({ wrong: 0, closed: 0 });
      expect((await service.stop()).status).toBe(0);
    });
  }

  test("that was refused costs nothing at the next death", async () => {
    const service = await start("--watch");
    pointTo("gru");
    await service.stderr.until(/the model was not replaced/);
    process.kill(enginePids(service.program.pid)[0]!, "SIGKILL");
    await service.stderr.until(/answers since \d+ ms later/);
    expect(await askAll(join(store, "s"), exchange.requests)).toEqual(exchange);
    expect((await service.stop()).status).toBe(0);
  });

  test("does not keep the service from its end", async () => {
    const service = await start();
    process.kill(service.program.pid, "SIGUSR1");
    const { status, stdout } = await service.stop();
    expect({ status, stdout }).toEqual({ status: 0, stdout: service.ready });
  });
});

describe("serve: without a reload, the next engine opens what was accepted", () => {
  const policy = (): string => join(store, "current", "policy.onnx");
  const replaceBy = (version: string): void => {
    copyFileSync(join(directory, `${version}.onnx`), `${policy()}.new`);
    renameSync(`${policy()}.new`, policy());
  };
  for (const [what, change] of [
    ["another policy", () => replaceBy("v2")],
    ["one of other sizes", () => replaceBy("gru")],
    ["one overwritten in place", () => copyFileSync(join(directory, "v2.onnx"), policy())],
    ["no file at all", () => rmSync(policy())],
  ] as const) {
    for (const spare of [[], ["--spare"]]) {
      test(`when there is ${what} by now ${spare.join()}`, async () => {
        const service = await start(...spare, "--json");
        change();
        const dead: number[] = [];
        while (dead.length < 2) {
          const pids = await untilEngines(service.program.pid, 1 + spare.length, dead);
          process.kill(pids[0]!, "SIGKILL");
          dead.push(pids[0]!);
          await service.stderr.until(new RegExp(`(?:.*answers since[^]*){${dead.length}}\n`));
        }
        expect(await askAll(join(store, "s"), exchange.requests)).toEqual(exchange);
        using client = new FramedClient({ kind: "unix", path: join(store, "s") }, 20_000);
        const { generation, model } = client.hello.about;
        expect([generation, model.file]).toEqual([1, policy()]);
        expect((await service.stop()).status).toBe(0);
      });
    }
  }
});
