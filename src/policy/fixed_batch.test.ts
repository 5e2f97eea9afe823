import { describe, expect, test } from "bun:test";
import { decodeOnnx, encodeOnnx } from "../formats/onnx.ts";
import { fixBatch } from "./fixed_batch.ts";
import { modelOf, TINY_NETWORK } from "./policy_fixture.ts";
import { seededNetwork } from "./recurrent_fixture.ts";

describe("fixBatch()", () => {
  test("makes of a dynamic policy the one that a static export writes", () => {
    for (const network of [TINY_NETWORK, seededNetwork("lstm", 2)]) {
      const dynamic = modelOf(network, { dynamicBatch: true });
      expect(encodeOnnx(fixBatch(decodeOnnx(encodeOnnx(dynamic))))).toEqual(
        encodeOnnx(modelOf(network)),
      );
    }
  });

  test("gives a static policy back as it is", () => {
    const model = modelOf(TINY_NETWORK);
    expect(fixBatch(model)).toBe(model);
  });
});
