/** Finite numbers that a model has no action for are their client's, not the engine's. */

import { afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import { DATA_TYPE, encodeOnnx, makeNode, makeValueInfo } from "../formats/onnx.ts";
import { demoNetwork } from "../policy/policy_fixture.ts";
import { doubleLibrary, doubleOf, doubleOptions } from "../runtime/rknn_double_fixture.ts";
import type { OpenCommand } from "../service/control.ts";
import { STATUS } from "../wire/protocol.ts";
import { EngineUnderTest, killEngines } from "./engine_fixture.ts";
import { computeByKernel, type Exchange, frame, FramedPeer } from "./peer_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let folded: string;
let exchange: Exchange;
let paths = 0;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  folded = await exportDemoPolicy(directory, "folded.onnx", ["--obs-stats", OBS_STATS]);
  exchange = await computeByKernel(model);
});
afterEach(killEngines);

async function start(more: Partial<OpenCommand>, env: Record<string, string> = {}) {
  const opening = { model, obsStats: OBS_STATS, failuresMax: 3, ...more };
  const { engine } = await EngineUnderTest.open(opening, { env });
  const unix = join(directory, `s${paths++}`);
  await engine.listen(unix);
  return { engine, hostile: await FramedPeer.connect({ unix }), unix };
}

const HUGE = 3e38;
const BEYOND = "; the model answers others, these numbers are beyond it";

/** A recurrent policy whose action is the sum of all its observations. */
function summingModel(): string {
  const path = join(directory, "summing.onnx");
  const row = [1, 45];
  const state = [1, ...row];
  const shape = {
    name: "shape",
    dims: [2],
    dataType: DATA_TYPE.int64,
    rawData: new Uint8Array(BigInt64Array.of(1n, 45n).buffer),
  };
  const graph = {
    name: "summing",
    node: [
      makeNode("Add", ["obs", "h_in"], ["h_out"]),
      makeNode("Reshape", ["h_out", "shape"], ["action"]),
    ],
    initializer: [shape],
    input: [makeValueInfo("obs", row), makeValueInfo("h_in", state)],
    output: [makeValueInfo("action", row), makeValueInfo("h_out", state)],
  };
  const opsetImport = [{ domain: "", version: 18 }];
  writeFileSync(path, encodeOnnx({ irVersion: 8, opsetImport, graph }));
  return path;
}

describe("numbers that are too large", () => {
  for (const backend of ["mlp", "onnx"] as const) {
    test(`fail for their client alone, by ${backend}`, async () => {
      const { engine, hostile, unix } = await start({
        model: folded,
        obsStats: undefined,
        backend,
      });
      const other = await FramedPeer.connect({ unix });
      const expected = Array.from(exchange.actions[0]!, (a) => expect.closeTo(a, 4) as number);
      for (let id = 0; id < 10; id++) {
        hostile.client.send(frame({ id }, new Float32Array(45).fill(HUGE)));
        const refused = await hostile.answer();
        expect(refused).toMatchObject({ header: { id, status: STATUS.failed, rows: 0 } });
        expect(refused?.reason).toEndWith(BEYOND);
        other.client.send(frame({ id }, exchange.observations[0]!));
        expect([...((await other.answer())?.action ?? [])]).toEqual(expected);
      }
      const { failed, nonFinite, answered } = engine.snapshot.counters;
      expect({ failed, nonFinite, answered }).toEqual({ failed: 10, nonFinite: 10, answered: 10 });
    });
  }

  test("fail for a recurrent policy's client, whose state they spoil", async () => {
    const { hostile, unix } = await start({
      model: summingModel(),
      obsStats: undefined,
      backend: "onnx",
    });
    const other = await FramedPeer.connect({ unix });
    const ask = async (peer: FramedPeer, value: number) => {
      peer.client.send(frame({}, new Float32Array(45).fill(value)));
      return (await peer.answer())?.header.status;
    };
    expect(await ask(hostile, 3e38)).toBe(STATUS.ok);
    for (let round = 0; round < 10; round++) {
      expect(await ask(hostile, 3e38)).toBe(STATUS.failed);
      expect(await ask(other, 0.1)).toBe(STATUS.ok);
    }
  });

  test("are seen in any row once normalised, before one is run", async () => {
    const { engine, hostile } = await start({});
    const batch = new Float32Array(90);
    batch.set(exchange.observations[0]!);
    batch.fill(3.4e38, 45);
    hostile.client.send(frame({ id: 1 }, batch));
    const refused = await hostile.answer();
    expect(refused?.header).toMatchObject({ status: STATUS.badInput, inferenceUs: 0 });
    expect(refused?.reason).toStartWith("Cannot act: normalised observation[");
    expect(engine.snapshot.counters).toMatchObject({ badInput: 1, failed: 0 });
  });
});

describeWith("cc")("an NPU whose action is not finite", () => {
  const startDouble = (nanAt: string) => {
    const rknn = join(directory, `policy${paths}.rknn`);
    return demoNetwork().then((network) => {
      writeFileSync(rknn, doubleOf(network));
      const opening = { model: rknn, backend: "rknn", io: "float", warmup: 0 } as const;
      return start(
        { ...opening, librknnrt: doubleLibrary() },
        doubleOptions({ NAN_AT: nanAt }).env as Record<string, string>,
      );
    });
  };

  test("once is the NPU's fault, since it answers the same numbers again", async () => {
    const { engine, hostile } = await startDouble("%2");
    for (let id = 0; id < 4; id++) hostile.client.send(frame({ id }, exchange.observations[0]!));
    expect((await hostile.answer())?.header.status).toBe(STATUS.ok);
    const { message } = await engine.event("failed");
    expect(message).toStartWith("Cannot go on: too many actions in a row were not finite");
    expect(message).not.toContain("beyond it");
  });
});
