import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import { decodeOnnx, encodeOnnx } from "../formats/onnx.ts";
import type { Network } from "../policy/network.ts";
import { demoNetwork, linear, modelOf, networkOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { checkExport, TOLERANCE } from "./check.ts";

/** The bytes of a network's file, after `spoil` has had its way with one weight's four bytes. */
function spoiled(
  network: Network,
  name: string,
  spoil: (weight: DataView) => void,
  options: { dynamicBatch?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const bytes = encodeOnnx(modelOf(network, options));
  const initializers = decodeOnnx(bytes).graph.initializer ?? [];
  const raw = initializers.find((tensor) => tensor.name === name)?.rawData;
  if (raw === undefined) throw new Error(`no ${name}`);
  spoil(new DataView(raw.buffer, raw.byteOffset, 4)); // A view of `bytes` themselves.
  return bytes;
}

const check = (bytes: Uint8Array, network: Network) =>
  checkExport(bytes, decodeOnnx(bytes), network);

describe("checkExport()", () => {
  for (const dynamicBatch of [false, true]) {
    test(`takes the demo policy with a ${dynamicBatch ? "dynamic" : "static"} batch`, async () => {
      const network = await demoNetwork();
      const bytes = encodeOnnx(modelOf(network, { dynamicBatch }));
      const { max, samples } = await check(bytes, network);
      expect([samples, max > 0, max <= TOLERANCE]).toEqual([64, true, true]);
    });
  }

  test("tries a folded normalizer on observations of its own scale", async () => {
    // A standard normal observation would be ten standard deviations away, where tanh is flat and
    // the first weight does not show.
    const network = networkOf(
      { kind: "normalize", mean: Float32Array.of(100), divisor: Float32Array.of(10) },
      linear("actor.0", [[1], [-2]], [0, 0]),
      { kind: "activation", activation: "tanh" },
      linear("actor.2", [[1, 1]], [0]),
    );
    const { max } = await check(encodeOnnx(modelOf(network)), network);
    const bytes = spoiled(network, "actor.0.weight", (it) => it.setFloat32(0, 1.5, true));
    expect([max <= TOLERANCE, (await refusalOf(() => check(bytes, network))).code]).toEqual([
      true,
      "CHECK_FAILED",
    ]);
  });

  const flips: readonly [what: string, name: string, spoil: (weight: DataView) => void][] = [
    ["the sign of a weight", "actor.0.weight", (it) => it.setUint8(3, it.getUint8(3) ^ 0x80)],
    [
      "an exponent bit of a weight",
      "actor.2.weight",
      (it) => it.setUint8(2, it.getUint8(2) ^ 0x80),
    ],
    ["a bias", "actor.6.bias", (it) => it.setFloat32(0, it.getFloat32(0, true) + 1e-3, true)],
  ];
  for (const [what, name, spoil] of flips) {
    test(`catches a file with ${what} changed`, async () => {
      const network = await demoNetwork();
      const { code, message } = await refusalOf(() =>
        check(spoiled(network, name, spoil), network),
      );
      expect([code, message.replace(/is [\d.e-]+,/, "is …,")]).toEqual([
        "CHECK_FAILED",
        "The exported file acts otherwise than the checkpoint: the largest difference is …, " +
          "at most 0.00001 is allowed; nothing was written, please report this checkpoint",
      ]);
    });
  }

  test("catches a file that gives NaN", async () => {
    const bytes = spoiled(TINY_NETWORK, "actor.2.bias", (it) => it.setFloat32(0, Number.NaN, true));
    const { code, message } = await refusalOf(() => check(bytes, TINY_NETWORK));
    expect([code, message]).toEqual([
      "CHECK_FAILED",
      expect.stringContaining("the largest difference is Infinity, at most 0.00001 is allowed"),
    ]);
  });

  test("allows more where actions are large, as float32 is coarser there", async () => {
    const scaled = TINY_NETWORK.layers.map((layer) =>
      layer.kind === "linear" ? { ...layer, weight: layer.weight.map((x) => x * 1000) } : layer,
    );
    const network: Network = { ...TINY_NETWORK, layers: scaled };
    expect((await check(encodeOnnx(modelOf(network)), network)).max).toBeLessThanOrEqual(TOLERANCE);
  });
});
