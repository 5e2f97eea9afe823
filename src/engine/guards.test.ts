/** What the engine does about actions and observations that are not as they should be. */

import { afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, run } from "../cli/program_fixture.ts";
import { DATA_TYPE, encodeOnnx, makeNode, makeValueInfo } from "../formats/onnx.ts";
import { demoNetwork } from "../policy/policy_fixture.ts";
import { GRU_CHECKPOINT, readSequence } from "../policy/recurrent_fixture.ts";
import { doubleLibrary, doubleOf, doubleOptions } from "../runtime/rknn_double_fixture.ts";
import { Client } from "../serve/service_fixture.ts";
import type { OpenCommand } from "../service/control.ts";
import { FLAG, STATUS } from "../wire/protocol.ts";
import { EngineUnderTest, killEngines } from "./engine_fixture.ts";
import { bytesOf, computeByKernel, type Exchange, frame, FramedPeer } from "./peer_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const rknn = join(directory, "policy.rknn");
let model: string;
let exchange: Exchange;
let paths = 0;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeByKernel(model);
  writeFileSync(rknn, doubleOf(await demoNetwork()));
});
afterEach(killEngines);

async function start(more: Partial<OpenCommand>, env: Record<string, string> = {}) {
  const { engine } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, ...more }, { env });
  const unix = join(directory, `s${paths++}`);
  await engine.listen(unix);
  return { engine, unix, peer: await FramedPeer.connect({ unix }) };
}

const observe = (i: number): Float32Array => exchange.observations[i]!;

/** The demo policy in the double, with these faults; `warmup` counts as runs. */
const startDouble = (faults: Record<string, string | number>, more: Partial<OpenCommand> = {}) =>
  start(
    { model: rknn, backend: "rknn", librknnrt: doubleLibrary(), io: "float", warmup: 0, ...more },
    doubleOptions(faults).env as Record<string, string>,
  );

describe("guards on actions", () => {
  test("the limit cuts an action, marks it, and counts it; raw gets it cut too", async () => {
    const { engine, unix, peer } = await start({ actionLimit: 0.05 });
    peer.client.send(frame({ id: 1 }, observe(0)));
    const answer = await peer.answer();
    const cut = exchange.actions[0]!.map((a) => Math.max(-0.05, Math.min(0.05, a)));
    expect(cut).not.toEqual(exchange.actions[0]!);
    expect([answer?.header.status, answer?.action]).toEqual([STATUS.degraded, cut]);
    const raw = await Client.connect({ unix });
    raw.send(bytesOf(observe(0)));
    expect(await raw.take(1)).toEqual([bytesOf(cut)]);
    expect(engine.snapshot.counters).toMatchObject({ limited: 2, degraded: 2, fastActions: 0 });
  });

  test("an action within the limit is left alone, and its change is watched", async () => {
    const largest = Math.max(...exchange.actions.flatMap((action) => Array.from(action, Math.abs)));
    const [a, b] = [exchange.actions[0]!, exchange.actions[1]!];
    const change = Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
    const { engine, peer } = await start({ actionLimit: largest });
    for (let id = 0; id < 4; id++) peer.client.send(frame({ id }, observe(id % 2)));
    for (let id = 0; id < 4; id++) {
      const answer = await peer.answer();
      expect([answer?.header.status, answer?.action]).toEqual([
        STATUS.ok,
        exchange.actions[id % 2]!,
      ]);
    }
    expect(change).toBeGreaterThan(largest);
    expect(engine.snapshot.counters).toMatchObject({ limited: 0, fastActions: 3, answered: 4 });
  });
});

describe("guards on observations", () => {
  test("count per term what is out of the calibrated range, and mark what is far", async () => {
    const observation = observe(0);
    const ranges = {
      min: [...observation].map((value) => value - 1),
      max: [...observation].map((value) => value + 1),
    };
    const { engine, peer } = await start({ ranges });
    const moved = (by: number): Float32Array => {
      const copy = observation.slice();
      copy[7] = copy[7]! + by;
      return copy;
    };
    const batch = new Float32Array(90);
    batch.set(observation);
    batch.set(moved(-1.5), 45);
    for (const [id, request] of [observation, moved(1.5), moved(4), batch].entries()) {
      peer.client.send(frame({ id }, request));
    }
    const statuses: (number | undefined)[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await peer.answer())?.header.status);
    expect(statuses).toEqual([STATUS.ok, STATUS.ok, STATUS.degraded, STATUS.ok]);
    const { outside, counters } = engine.snapshot;
    expect([...outside.entries()].filter(([, count]) => count > 0)).toEqual([[7, 3]]);
    expect(counters.degraded).toBe(1);
  });
});

describeWith("cc")("an NPU that fails", () => {
  test("costs a request, framed with the reason and raw by a closed connection", async () => {
    const { engine, unix, peer } = await startDouble({ FAIL: "run:2:-1,run:4:-1" });
    for (let id = 1; id <= 3; id++) peer.client.send(frame({ id }, observe(0)));
    const answers = [await peer.answer(), await peer.answer(), await peer.answer()];
    expect(answers.map((answer) => answer?.header.status)).toEqual([
      STATUS.ok,
      STATUS.failed,
      STATUS.ok,
    ]);
    expect(answers[1]?.reason).toStartWith("The NPU library's rknn_run gave -1");
    const raw = await Client.connect({ unix });
    raw.send(bytesOf(observe(0)), bytesOf(observe(0)));
    expect(await raw.takeRest()).toEqual([]);
    const { counters, set, run: runs, get } = engine.snapshot;
    expect(counters).toMatchObject({ failed: 2, answered: 2, nonFinite: 0 });
    expect([set?.count, runs?.count, get?.count]).toEqual([2, 2, 2]);
  });

  test("is answered for by the fallback, marked", async () => {
    const fallback = { model, obsStats: OBS_STATS };
    const { engine, unix, peer } = await startDouble({ FAIL: "run:%2:-1" }, { fallback });
    peer.client.send(frame({ id: 1 }, observe(0)), frame({ id: 2 }, observe(1)));
    const [one, two] = [await peer.answer(), await peer.answer()];
    expect([one?.header.status, two?.header.status]).toEqual([STATUS.ok, STATUS.fallback]);
    expect(two?.action).toEqual(exchange.actions[1]!);
    const raw = await Client.connect({ unix });
    raw.send(bytesOf(observe(2)), bytesOf(observe(3)));
    expect((await raw.take(2))[1]).toEqual(bytesOf(exchange.actions[3]!));
    expect(engine.snapshot.counters).toMatchObject({ answered: 4, fallback: 2, failed: 0 });
  });

  test("is left out where only the fallback may answer", async () => {
    const fallback = { model, obsStats: OBS_STATS };
    const { peer } = await startDouble({ FAIL: "init:1:-1" }, { fallback, fallbackOnly: true });
    peer.client.send(frame({ id: 1 }, observe(0)));
    const answer = await peer.answer();
    expect([answer?.header.status, answer?.action]).toEqual([
      STATUS.fallback,
      exchange.actions[0]!,
    ]);
  });

  test("ends the engine after so many actions in a row that are not finite", async () => {
    const { engine, peer } = await startDouble({ NAN_AT: "%3" }, { failuresMax: 2 });
    // One in three, and each of those runs again: never two in a row.
    for (let id = 0; id < 7; id++) peer.client.send(frame({ id }, observe(0)));
    const statuses: (number | undefined)[] = [];
    for (let i = 0; i < 7; i++) statuses.push((await peer.answer())?.header.status);
    expect(statuses).toEqual([0, 0, 19, 0, 19, 0, 19]);
    expect(engine.snapshot.counters).toMatchObject({ nonFinite: 3, failed: 3, answered: 4 });

    const { engine: other, peer: asking } = await startDouble({ NAN_AT: "%1" }, { failuresMax: 2 });
    for (let id = 0; id < 2; id++) asking.client.send(frame({ id }, observe(0)));
    const failed = await other.event("failed");
    expect([failed.code, failed.cause]).toEqual(["NATIVE", "nonFinite"]);
    expect(failed.message).toStartWith(
      "Cannot go on: too many actions in a row were not finite, the last: Cannot act: the NPU gave NaN",
    );
    expect((await other.end()).status).toBe(6);
  });

  test("ends the engine after so many runs in a row that failed", async () => {
    const faults = { FAIL: "run:2:-1,run:3:-1", NAN_AT: 4 };
    const { engine, peer } = await startDouble(faults, { failuresMax: 3 });
    for (let id = 0; id < 4; id++) peer.client.send(frame({ id }, observe(0)));
    const { cause, message } = await engine.event("failed");
    // The last of them was not finite: they are named together.
    expect(cause).toBe("failed");
    expect(message).toStartWith("Cannot go on: too many inferences in a row failed, the last: ");
    expect((await engine.end()).status).toBe(6);
    expect(engine.snapshot.counters).toMatchObject({ answered: 1, failed: 3, nonFinite: 1 });
  });
});

/** One number of the observation says which other one the action is: beyond them ORT refuses. */
function pickingModel(): string {
  const path = join(directory, "picking.onnx");
  const nodes = [
    makeNode("Slice", ["obs", "zero", "one", "one"], ["choice"]),
    makeNode("Cast", ["choice"], ["whole"], { attributes: { to: DATA_TYPE.int64 } }),
    makeNode("Reshape", ["whole", "one"], ["index"]),
    makeNode("Gather", ["obs", "index"], ["action"], { attributes: { axis: 1 } }),
  ];
  const integers = (name: string, value: bigint) => ({
    name,
    dims: [1],
    dataType: DATA_TYPE.int64,
    rawData: new Uint8Array(BigInt64Array.of(value).buffer),
  });
  const graph = {
    name: "picking",
    node: nodes,
    initializer: [integers("zero", 0n), integers("one", 1n)],
    input: [makeValueInfo("obs", [1, 45])],
    output: [makeValueInfo("action", [1, 1])],
  };
  writeFileSync(
    path,
    encodeOnnx({ irVersion: 8, opsetImport: [{ domain: "", version: 18 }], graph }),
  );
  return path;
}

describe("ONNX Runtime that fails", () => {
  test("costs the request that it fails for, and not the engine", async () => {
    const { engine, peer } = await start({
      model: pickingModel(),
      obsStats: undefined,
      backend: "onnx",
      failuresMax: 2,
    });
    const ask = async (index: number) => {
      const observation = new Float32Array(45).map((_, i) => i);
      observation[0] = index;
      peer.client.send(frame({}, observation));
      return peer.answer();
    };
    expect((await ask(7))?.action).toEqual(Float32Array.of(7));
    const { header, reason = "" } = (await ask(99)) ?? {};
    expect(header?.status).toBe(STATUS.failed);
    expect(reason).toStartWith("Cannot run the model: ONNX Runtime says ");
    expect(reason).toEndWith("; the model answers others, these numbers are beyond it");
    expect((await ask(8))?.action).toEqual(Float32Array.of(8));
    expect(engine.snapshot.counters).toMatchObject({ failed: 1, nonFinite: 0, answered: 2 });
    // The numbers are its client's: others are answered.
    for (let i = 0; i < 4; i++) await ask(99);
    expect((await ask(9))?.action).toEqual(Float32Array.of(9));
  });
});

describe("a recurrent policy", () => {
  test("has a state per connection, consecutive rows, and a reset", async () => {
    const gru = join(directory, "gru.onnx");
    const { path, activation } = GRU_CHECKPOINT;
    const ran = await run(["export", path, "--activation", activation, "--output", gru]);
    expect(ran.status).toBe(0);
    const golden = await readSequence("rsl_rl_4_0_gru");
    const { engine, ready } = await EngineUnderTest.open({ model: gru, backend: "auto" });
    expect([ready.recurrent, ready.backend]).toEqual([true, "onnx"]);
    const unix = join(directory, "gru.sock");
    await engine.listen(unix);
    const ask = async (peer: FramedPeer, flags: number, from: number, rows: number) => {
      const observations = golden.observations.slice(from * 12, (from + rows) * 12);
      peer.client.send(frame({ flags, rows }, observations));
      return [...((await peer.answer())?.action ?? [])];
    };
    const expected = (from: number, rows: number): number[] =>
      Array.from(golden.actions.slice(from * 4, (from + rows) * 4), (a) => expect.closeTo(a, 4));
    const [one, two] = [await FramedPeer.connect({ unix }), await FramedPeer.connect({ unix })];
    expect(await ask(one, 0, 0, 3)).toEqual(expected(0, 3));
    expect(await ask(two, 0, 0, 2)).toEqual(expected(0, 2));
    expect(await ask(one, 0, 3, 1)).toEqual(expected(3, 1));
    expect(await ask(two, FLAG.reset, 0, 2)).toEqual(expected(0, 2));
    expect(await ask(one, 0, 4, 2)).toEqual(expected(4, 2));
  });
});
