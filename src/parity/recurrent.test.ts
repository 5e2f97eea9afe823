/**
 * Parity of recurrent policies: the rows of a data set are one sequence, on both sides.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { createRandom } from "../base/random.ts";
import { writeNpy } from "../formats/npy.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import type { Layer, Network } from "../policy/network.ts";
import { modelOf } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { killServices, startService } from "../serve/service_fixture.ts";
import { compareSides, type ParityOptions } from "./compare_sides.ts";

setDefaultTimeout(60_000);

const ROWS = 40;
const directory = temporaryDirectory();
const write = (name: string, bytes: Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
};
const writeModel = (name: string, network: Network): string =>
  write(name, encodeOnnx(modelOf(network, { metadata: { normalizer: "folded" } })));

const network = seededNetwork("lstm", 2);
const model = writeModel("lstm.onnx", network);
const copy = writeModel("copy.onnx", network);
/** The same network, whose cells do not see the state before. */
function withoutMemory(layer: Layer): Layer {
  if (layer.kind !== "recurrent") return layer;
  const stack = layer.stack.map((cell) => {
    const { inputs, weightIh, biasIh, biasHh } = cell;
    return { inputs, weightIh, biasIh, biasHh, weightHh: cell.weightHh.map(() => 0) };
  });
  return { ...layer, stack };
}
const forgetful = writeModel("forgetful.onnx", {
  ...network,
  layers: network.layers.map(withoutMemory),
});
const random = createRandom(3);
const rows = Array.from({ length: ROWS }, () => [0, 1, 2].map(() => random.between(-1, 1)));
const writeRows = (name: string, values: readonly (readonly number[])[]): string =>
  write(
    name,
    writeNpy({
      dtype: "float32",
      shape: [values.length, 3],
      data: Float32Array.from(values.flat()),
    }),
  );
const dataset = writeRows("obs.npy", rows);
const socket = join(directory, "s");

beforeAll(() => startService(["--model", model, "--socket", socket]));
afterAll(killServices);

async function compare(options: Partial<ParityOptions>) {
  const defaults = { a: model, b: copy, dataset, seed: 0, timeoutMs: 20_000 };
  const { comparison } = await compareSides({ ...defaults, ...options });
  return { samples: comparison.samples, mae: comparison.mae };
}

test("compareSides() finds no difference of a recurrent model and its copy", async () => {
  expect(await compare({})).toEqual({ samples: ROWS, mae: 0 });
});

test("compareSides() gives a service the rows in order, on one connection", async () => {
  expect([
    await compare({ b: `unix:${socket}` }),
    await compare({ a: `unix:${socket}`, b: model }),
  ]).toEqual([
    { samples: ROWS, mae: 0 },
    { samples: ROWS, mae: 0 },
  ]);
});

test("compareSides() sees what only a sequence shows", async () => {
  const first = writeRows("first.npy", rows.slice(0, 1));
  const [one, all] = [
    await compare({ b: forgetful, dataset: first }),
    await compare({ b: forgetful }),
  ];
  // From a zero state the first step of the second cell has its input gates alone.
  expect([one, all.samples, all.mae > 1e-3]).toEqual([{ samples: 1, mae: 0 }, ROWS, true]);
});

test("compareSides() runs the fp16 emulation of a recurrent model over the sequence", async () => {
  const { samples, mae } = await compare({ b: "emulated", model });
  expect([samples, mae > 0, mae < 1e-2]).toEqual([ROWS, true, true]);
});
