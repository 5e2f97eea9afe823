import { describe, expect, test } from "bun:test";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { present } from "../base/assert.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import type { Layer, Network } from "../policy/network.ts";
import {
  demoNetwork,
  demoNormalizer,
  METADATA,
  modelOf,
  readGoldenActions,
} from "../policy/policy_fixture.ts";
import { foldedNormalizer, type ModelFile } from "../runtime/open.ts";
import { checkSpace, chooseSpace, spaceEvidence, toNetworkSpace } from "./observation_space.ts";

const statistics = await demoNormalizer();
const golden = await readGoldenActions();
const raw = { label: "raw.npy", rows: golden.rows, data: golden.observations };
const normalised = { label: "normalised.npy", rows: golden.rows, data: golden.normalised };

function fileOf(network: Network, normalizer: "folded" | "external" | "none"): ModelFile {
  const model = modelOf(network, { metadata: { normalizer } });
  const metadata = { ...METADATA, normalizer };
  return { path: "p.onnx", bytes: encodeOnnx(model), model, metadata };
}

async function foldedFile(): Promise<ModelFile> {
  const network = await demoNetwork();
  const { mean, divisor } = statistics;
  const layer: Layer = { kind: "normalize", mean, divisor };
  return fileOf({ ...network, layers: [layer, ...network.layers] }, "folded");
}

test("spaceEvidence() tells a raw set from a normalised one by the policy's statistics", () => {
  const [asRaw, asNormalised] = [raw, normalised].map((set) => spaceEvidence(set, statistics));
  expect(asRaw!.columns).toBeGreaterThan(10);
  expect(asRaw!.normalisedColumns).toBeLessThan(asRaw!.columns / 5);
  expect(asNormalised).toMatchObject({
    columns: asRaw!.columns,
    normalisedColumns: asRaw!.columns,
  });
  expect(asNormalised!.fromNormalised).toBeLessThan(0.7);
});

describe("checkSpace()", () => {
  test("takes a raw set without a word", async () => {
    expect(await linesDuring(() => checkSpace(raw, statistics))).toEqual([]);
  });

  test("refuses a set that was normalised before, with the numbers", async () => {
    const { code, message } = await refusalOf(() => checkSpace(normalised, statistics));
    expect(code).toBe("CONFIG");
    expect(message).toMatch(
      /^Cannot calibrate with "normalised\.npy": \d+ of \d+ columns look normalised \(median distance 0\.\d+ from mean 0 and deviation 1, \d+\.\d+ from the policy's statistics\), and it would be normalised twice; need observations as the robot has them, which lite3rl collect records$/,
    );
  });

  test("warns of a set that fits neither", async () => {
    const data = raw.data.map((value) => 40 + 30 * value);
    const lines = await linesDuring(() => checkSpace({ ...raw, data }, statistics));
    expect(lines).toEqual([expect.stringMatching(/^warning: raw\.npy: its columns are far from/)]);
  });
});

describe("chooseSpace()", () => {
  test("applies an external normalizer once", async () => {
    const { obsStats } = (await import("../policy/policy_fixture.ts")).DEMO_POLICY;
    const space = await chooseSpace(fileOf(await demoNetwork(), "external"), 45, obsStats);
    expect(space.normalizer?.digest).toBe(statistics.digest);
    expect(toNetworkSpace(raw, space).data).toEqual(golden.normalised);
    expect(raw.data).toBe(golden.observations);
  });

  test("leaves rows to a network that normalises by itself, and knows its statistics", async () => {
    const space = await chooseSpace(await foldedFile(), 45, undefined);
    expect(space.normalizer).toBeUndefined();
    expect(present(space.statistics).digest).toBe(statistics.digest);
    expect(toNetworkSpace(raw, space)).toBe(raw);
  });

  test("knows no statistics where there are none", async () => {
    expect(foldedNormalizer(fileOf(await demoNetwork(), "none"))).toBeUndefined();
  });
});
