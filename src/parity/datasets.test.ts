/**
 * Parity on what a robot saw: the log of a run, and the traffic that a service recorded.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { readObservations, readSamples } from "../dataset/observations.ts";
import { writeNpy } from "../formats/npy.ts";
import { killServices, startService } from "../serve/service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const place = (name: string): string => join(directory, name);
const stats = ["--obs-stats", OBS_STATS];
let model: string;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
});
afterAll(killServices);

test("parity, collect and convert read the observations out of an agent's log", async () => {
  const log = place("run.mcap");
  const walk = ["--duration", "2s", "--fast", "--log", log];
  expect((await run(["agent", "--model", model, ...stats, ...walk])).status).toBe(0);
  const words = ["parity", model, "emulated", ...stats, "--dataset", log];
  const { status, json } = await runJson(words);
  expect({ status, json }).toMatchObject({
    status: 0,
    json: { pass: true, samples: 100, dataset: "run.mcap", space: "raw" },
  });
  expect(Number(json["mae"])).toBeWithin(1e-5, 1e-3);
  const set = place("calib.npy");
  expect((await run(["collect", log, "--samples", "50", "--output", set])).status).toBe(0);
  expect((await readObservations(set, 45)).rows).toBe(50);
  const emulate = ["--dataset", log, "--emulate", "--output", place("policy.rknn")];
  expect(await runJson(["convert", model, ...stats, ...emulate])).toMatchObject({ status: 0 });
});

test("parity reads the traffic that a service recorded", async () => {
  const [socket, recording, inputs] = ["s", "traffic.npy", "inputs.npz"].map(place) as [
    string,
    string,
    string,
  ];
  const kept = ["--socket", socket, "--record", recording];
  const service = await startService(["--model", model, ...stats, "--backend", "onnx", ...kept]);
  const asked = ["parity", model, `unix:${socket}`, ...stats, "--samples", "40"];
  expect((await runJson([...asked, "--save-inputs", inputs])).status).toBe(0);
  await service.stop();
  const sent = await readSamples(inputs, 45);
  const recorded = await readObservations(recording, 45);
  expect(recorded.data.subarray(-sent.data.length)).toEqual(sent.data);
  const again = await runJson(["parity", model, "emulated", ...stats, "--dataset", recording]);
  expect(again).toMatchObject({
    status: 0,
    json: { pass: true, samples: recorded.rows, dataset: "traffic.npy", space: "raw" },
  });
});

test("parity warns of a set with few distinct observations", async () => {
  const set = place("few.npy");
  const data = new Float32Array(200 * 45).map((_, i) => Math.floor(i / (20 * 45)) / 10);
  writeFileSync(set, writeNpy({ dtype: "float32", shape: [200, 45], data }));
  const { status, stderr } = await runJson([
    "parity",
    model,
    "emulated",
    ...stats,
    "--dataset",
    set,
  ]);
  expect({ status, stderr }).toEqual({
    status: 0,
    stderr:
      `warning: ${set}: 10 distinct observations, fewer than 100 tell little; ` +
      "lite3rl collect makes a set\n",
  });
});
