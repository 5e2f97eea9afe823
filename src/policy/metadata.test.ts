import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import { decodeMetadata, encodeMetadata, type PolicyMetadata } from "./metadata.ts";
import { METADATA } from "./policy_fixture.ts";

const modelWith = (pairs: Record<string, string>): OnnxModel => ({
  graph: {},
  metadataProps: Object.entries(pairs).map(([key, value]) => ({ key, value })),
});

describe("encodeMetadata()", () => {
  test("writes keys of its own in a fixed order", () => {
    const metadata: PolicyMetadata = {
      toolVersion: "1.2.3",
      normalizerDigest: "d1",
      normalizer: "external",
      activation: "tanh",
      layout: "actor_critic",
      sourceDigest: "5eed",
    };
    expect(encodeMetadata(metadata)).toEqual([
      { key: "lite3rl.source_sha256", value: "5eed" },
      { key: "lite3rl.layout", value: "actor_critic" },
      { key: "lite3rl.activation", value: "tanh" },
      { key: "lite3rl.normalizer", value: "external" },
      { key: "lite3rl.normalizer_sha256", value: "d1" },
      { key: "lite3rl.version", value: "1.2.3" },
    ]);
  });
});

describe("decodeMetadata()", () => {
  for (const metadata of [
    METADATA,
    { ...METADATA, normalizer: "folded" },
    { ...METADATA, normalizer: "external", normalizerDigest: "d1" },
  ] as const) {
    test(`reads back what was written with a normalizer ${metadata.normalizer}`, () => {
      const metadataProps = encodeMetadata(metadata);
      expect(decodeMetadata({ graph: {}, metadataProps })).toStrictEqual(metadata);
    });
  }

  test("takes a model without ours for somebody else's", () => {
    expect([decodeMetadata({ graph: {} }), decodeMetadata(modelWith({ author: "x" }))]).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("refuses a normalizer it does not know, and two of them", async () => {
    const pair = { key: "lite3rl.normalizer", value: "none" };
    expect([
      await refusalOf(() => decodeMetadata(modelWith({ "lite3rl.normalizer": "running" }))),
      await refusalOf(() => decodeMetadata({ graph: {}, metadataProps: [pair, pair] })),
    ]).toEqual([
      {
        code: "MALFORMED",
        message: 'its lite3rl.normalizer is "running", need none, folded or external',
      },
      { code: "MALFORMED", message: 'its metadata has "lite3rl.normalizer" twice' },
    ]);
  });
});
