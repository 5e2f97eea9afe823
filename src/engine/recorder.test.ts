/** `--record` as an engine does it: a ring in a file that others read. */

import { afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { closeSocket } from "../../ffi/socket.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import { readObservations } from "../dataset/observations.ts";
import { writeNpy } from "../formats/npy.ts";
import { Client } from "../serve/service_fixture.ts";
import { COUNTER, createPage } from "../service/page.ts";
import { EngineUnderTest, killEngines } from "./engine_fixture.ts";
import { bytesOf, computeByKernel, type Exchange, frame, FramedPeer } from "./peer_fixture.ts";
import { checkRecording, Recorder } from "./recorder.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;
let paths = 0;
const newPath = (): string => join(directory, `r${paths++}`);

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeByKernel(model);
});
afterEach(killEngines);

function createRecorder(path: string, rows: number, size = 2) {
  const { page, fd } = createPage();
  closeSync(fd);
  const said: string[] = [];
  const recorder = new Recorder({ path, rows, size }, page, (message) => said.push(message));
  const counted = () => [page.counters[COUNTER.recorded], page.counters[COUNTER.recordErrors]];
  return { recorder, said, counted };
}

/** Rows `[i, -i]`. */
const rowsFrom = (from: number, count: number): Float32Array =>
  Float32Array.from({ length: count * 2 }, (_, i) => (from + (i >> 1)) * (i % 2 === 0 ? 1 : -1));

/** The first numbers of the rows of a recording. */
async function readRows(path: string): Promise<number[]> {
  const { data } = await readObservations(path, 2);
  return [...data].filter((_, i) => i % 2 === 0);
}

test("Recorder keeps the last rows, in a file that is whole after every write", async () => {
  const path = newPath();
  const { recorder, counted } = createRecorder(path, 5);
  recorder.add(rowsFrom(1, 2), 2);
  expect(existsSync(path)).toBe(false);
  recorder.flush();
  expect(await readRows(path)).toEqual([1, 2]);
  recorder.add(rowsFrom(3, 4), 2);
  recorder.flush();
  expect(await readRows(path)).toEqual([1, 2, 3, 4]);
  recorder.add(rowsFrom(5, 3), 3);
  recorder.close();
  expect(await readRows(path)).toEqual([6, 7, 3, 4, 5]);
  expect(counted()).toEqual([7, 0]);
});

test("Recorder goes on with a recording, and cuts off what no header tells of", async () => {
  const path = newPath();
  const { recorder: first } = createRecorder(path, 4);
  first.add(rowsFrom(1, 3), 3);
  first.close();
  writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(5)]));
  checkRecording({ path, rows: 4, size: 2 });
  const { recorder: second } = createRecorder(path, 4);
  second.add(rowsFrom(4, 2), 2);
  second.close();
  expect(await readRows(path)).toEqual([5, 2, 3, 4]);
});

test("Recorder waits while another one has the file", async () => {
  const path = newPath();
  const [{ recorder: old }, { recorder: next }] = [
    createRecorder(path, 9),
    createRecorder(path, 9),
  ];
  old.add(rowsFrom(1, 1), 1);
  old.flush();
  next.add(rowsFrom(3, 1), 1);
  next.flush();
  old.add(rowsFrom(2, 1), 1);
  old.close();
  next.flush();
  expect(await readRows(path)).toEqual([1, 2, 3]);
  next.close();
});

test("checkRecording() refuses what is there and is no such recording, and leaves it", async () => {
  const [text, narrow, missing] = [newPath(), newPath(), join(newPath(), "x")];
  writeFileSync(text, "mine");
  writeFileSync(narrow, writeNpy({ dtype: "float32", shape: [1, 3], data: new Float32Array(3) }));
  const refusal = (path: string, why: string) => ({
    code: "CONFIG" as const,
    message: `Cannot record to "${path}": ${why}; choose another --record`,
  });
  const none = "it is no recording of 2 observations, need such a one or a new name";
  const check = (path: string) => refusalOf(() => checkRecording({ path, rows: 4, size: 2 }));
  expect([await check(text), await check(narrow), await check("/dev/full")]).toEqual([
    refusal(text, none),
    refusal(narrow, none),
    refusal("/dev/full", none),
  ]);
  expect(await check(missing)).toEqual(
    refusal(missing, "it cannot be opened to write (ENOENT), need a file that can be"),
  );
  expect(readFileSync(text, "utf8")).toBe("mine");
});

test("Recorder leaves a file alone that has taken the recording's name", async () => {
  const path = newPath();
  const { recorder, said, counted } = createRecorder(path, 5);
  recorder.add(rowsFrom(1, 2), 2);
  writeFileSync(path, "mine");
  recorder.flush();
  recorder.add(rowsFrom(3, 2), 2);
  recorder.close();
  expect(readFileSync(path, "utf8")).toBe("mine");
  expect(counted()).toEqual([0, 4]);
  expect(said).toEqual([
    `recording to "${path}" ended after 0 rows: Cannot record to "${path}": it is no recording ` +
      "of 2 observations, need such a one or a new name; choose another --record",
  ]);
});

test("Recorder begins anew when its file was removed, replaced or emptied", async () => {
  const path = newPath();
  const { recorder, said, counted } = createRecorder(path, 9);
  const record = (first: number): void => {
    recorder.add(rowsFrom(first, 2), 2);
    recorder.flush();
  };
  record(1);
  rmSync(path);
  record(3);
  expect(await readRows(path)).toEqual([3, 4]);
  truncateSync(path);
  record(5);
  expect(await readRows(path)).toEqual([5, 6]);
  renameSync(path, `${path}.old`);
  record(7);
  expect([await readRows(path), await readRows(`${path}.old`)]).toEqual([
    [7, 8],
    [5, 6],
  ]);
  const words = `${JSON.stringify(path)} was removed or cut: recording begins anew`;
  expect(said).toEqual([words, words, words]);
  // What was cut elsewhere is nothing to go on with.
  truncateSync(path, 130);
  record(9);
  record(11);
  expect(said.length).toBe(5);
  expect(said[4]).toStartWith(`recording to ${JSON.stringify(path)} ended after`);
  expect(counted()).toEqual([8, 4]);
  recorder.close();
});

test("the engine records what it answered, raw and framed, and the next one goes on", async () => {
  const path = newPath();
  const record = { path, rows: 1000 };
  const unix = newPath();
  const { engine } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, record });
  const listener = await engine.listen(unix);
  const raw = await Client.connect({ unix });
  raw.send(...exchange.observations.slice(0, 3).map(bytesOf));
  await raw.take(3);
  const peer = await FramedPeer.connect({ unix });
  const [good, bad] = [exchange.observations[3]!, exchange.observations[4]!.slice()];
  bad[0] = Number.NaN;
  peer.client.send(frame({ id: 1 }, bad), frame({ id: 2 }, good));
  await peer.answer();
  await peer.answer();
  const { engine: next } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, record });
  await engine.handTo(next);
  raw.send(bytesOf(exchange.observations[4]!));
  await raw.take(1);
  await engine.stop();
  await next.until(({ counters }) => counters.recorded === 1);
  expect((await next.stop()).status).toBe(0);
  const { data } = await readObservations(path, 45);
  expect(data).toEqual(
    Float32Array.from(exchange.observations.slice(0, 5).flatMap((row) => [...row])),
  );
  closeSocket(listener);
});

test("a full disk ends the recording, not the service", async () => {
  const path = newPath();
  const unix = newPath();
  // Room for 5 rows behind the header; the file system says the same where it is full.
  const bytes = 128 + 5 * 180;
  const { engine } = await EngineUnderTest.open(
    { model, obsStats: OBS_STATS, record: { path, rows: 1000 } },
    { wrapper: ["prlimit", `--fsize=${bytes}`] },
  );
  await engine.listen(unix);
  const client = await Client.connect({ unix });
  client.send(...exchange.observations.slice(0, 3).map(bytesOf));
  await client.take(3);
  await engine.until(({ counters }) => counters.recorded === 3);
  for (let i = 3; i < 40; i++) {
    client.send(bytesOf(exchange.observations[i]!));
    expect(await client.take(1)).toEqual([bytesOf(exchange.actions[i]!)]);
  }
  await engine.until(({ counters }) => counters.recordErrors >= 1);
  client.send(bytesOf(exchange.observations[0]!));
  expect(await client.take(1)).toEqual([bytesOf(exchange.actions[0]!)]);
  expect((await engine.stop()).status).toBe(0);
  const said = engine.events.filter((event) => event.event === "warn");
  expect(said).toEqual([
    {
      event: "warn",
      name: "record",
      message: expect.stringMatching(/^recording to ".*" ended after \d rows: EFBIG$/),
    },
  ]);
  const { rows } = await readObservations(path, 45);
  expect(rows).toBeLessThanOrEqual(5);
  expect(rows).toBeGreaterThanOrEqual(3);
  closeSync(openSync(path, "r"));
});
