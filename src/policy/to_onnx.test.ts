import { describe, expect, test } from "bun:test";
import { decodeOnnx, encodeOnnx, makeTensor, type OnnxModel } from "../formats/onnx.ts";
import type { Activation } from "./activation.ts";
import { decodeMetadata } from "./metadata.ts";
import {
  demoNetwork,
  linear,
  METADATA,
  modelOf,
  networkOf,
  TINY_NETWORK,
} from "./policy_fixture.ts";
import { networkToOnnx } from "./to_onnx.ts";

const ACTIVATIONS: readonly Activation[] = [
  "elu",
  "relu",
  "tanh",
  "sigmoid",
  "selu",
  "celu",
  "leaky_relu",
  "softplus",
  "gelu",
  "silu",
  "mish",
  "identity",
];

/** Inputs → operators → outputs, one line per node. */
const nodesOf = (...args: Parameters<typeof modelOf>): string[] =>
  (modelOf(...args).graph.node ?? []).map(
    ({ opType, input = [], output = [] }) => `${input.join(" ")} → ${opType} → ${output.join(" ")}`,
  );

describe("networkToOnnx()", () => {
  test("writes Gemm and activation nodes of opset 18, IR version 8", () => {
    const tensorType = (size: number) => ({
      tensorType: { elemType: 1, shape: { dim: [{ dimValue: 1 }, { dimValue: size }] } },
    });
    const gemm = { name: "transB", i: 1, type: 2 };
    expect(modelOf(TINY_NETWORK)).toEqual({
      irVersion: 8,
      producerName: "lite3rl",
      producerVersion: "0.0.0",
      opsetImport: [{ domain: "", version: 18 }],
      graph: {
        name: "policy",
        node: [
          {
            input: ["obs", "actor.0.weight", "actor.0.bias"],
            output: ["actor.0/Gemm"],
            name: "actor.0/Gemm",
            opType: "Gemm",
            attribute: [gemm],
          },
          {
            input: ["actor.0/Gemm"],
            output: ["elu.1/Elu"],
            name: "elu.1/Elu",
            opType: "Elu",
            attribute: [{ name: "alpha", f: 1, type: 1 }],
          },
          {
            input: ["elu.1/Elu", "actor.2.weight", "actor.2.bias"],
            output: ["action"],
            name: "actor.2/Gemm",
            opType: "Gemm",
            attribute: [gemm],
          },
        ],
        initializer: [
          makeTensor("actor.0.weight", [3, 2], Float32Array.of(1, 2, -1, 0.5, 0, 0)),
          makeTensor("actor.0.bias", [3], Float32Array.of(0.5, -2, 1)),
          makeTensor("actor.2.weight", [1, 3], Float32Array.of(2, 1, -0.25)),
          makeTensor("actor.2.bias", [1], Float32Array.of(0.125)),
        ],
        input: [{ name: "obs", type: tensorType(2) }],
        output: [{ name: "action", type: tensorType(1) }],
      },
      metadataProps: [
        { key: "lite3rl.source_sha256", value: "5eed" },
        { key: "lite3rl.layout", value: "actor_critic" },
        { key: "lite3rl.activation", value: "elu" },
        { key: "lite3rl.normalizer", value: "none" },
        { key: "lite3rl.version", value: "0.0.0" },
      ],
    });
  });

  test("names the batch where it is dynamic, and nothing else differs", () => {
    const dynamic = modelOf(TINY_NETWORK, { dynamicBatch: true });
    const shapes = [...(dynamic.graph.input ?? []), ...(dynamic.graph.output ?? [])].map(
      ({ type }) => type?.tensorType?.shape?.dim,
    );
    expect(shapes).toEqual([
      [{ dimParam: "batch" }, { dimValue: 2 }],
      [{ dimParam: "batch" }, { dimValue: 1 }],
    ]);
    const { input = [], output = [] } = modelOf(TINY_NETWORK).graph;
    const restored: OnnxModel = { ...dynamic, graph: { ...dynamic.graph, input, output } };
    expect(restored).toEqual(modelOf(TINY_NETWORK));
  });

  test("gives the output the name that was asked for", () => {
    const { graph } = networkToOnnx(TINY_NETWORK, {
      outputName: "joint targets",
      dynamicBatch: false,
      metadata: METADATA,
    });
    expect([graph.output?.map(({ name }) => name), graph.node?.at(-1)?.output]).toEqual([
      ["joint targets"],
      ["joint targets"],
    ]);
  });

  test("puts a folded normalizer before the first layer", () => {
    const normalize = {
      kind: "normalize",
      mean: Float32Array.of(1, 2),
      divisor: Float32Array.of(3, 4),
    } as const;
    const network = networkOf(normalize, linear("actor.0", [[1, 1]], [0]));
    expect(nodesOf(network)).toEqual([
      "obs obs_normalizer.mean → Sub → obs_normalizer/Sub",
      "obs_normalizer/Sub obs_normalizer.std → Div → obs_normalizer/Div",
      "obs_normalizer/Div actor.0.weight actor.0.bias → Gemm → action",
    ]);
    expect(modelOf(network).graph.initializer?.slice(0, 2)).toEqual([
      makeTensor("obs_normalizer.mean", [1, 2], normalize.mean),
      makeTensor("obs_normalizer.std", [1, 2], normalize.divisor),
    ]);
  });

  test("writes an activation of several operators as a chain with its own constants", () => {
    const network = networkOf(
      linear("a", [[1]], [0]),
      { kind: "activation", activation: "gelu" },
      linear("b", [[1]], [0]),
    );
    expect(nodesOf(network)).toEqual([
      "obs a.weight a.bias → Gemm → a/Gemm",
      "a/Gemm gelu.1.0 → Div → gelu.1.0/Div",
      "gelu.1.0/Div → Erf → gelu.1.1/Erf",
      "gelu.1.1/Erf gelu.1.2 → Add → gelu.1.2/Add",
      "gelu.1.2/Add a/Gemm → Mul → gelu.1.3/Mul",
      "gelu.1.3/Mul gelu.1.4 → Mul → gelu.1.4/Mul",
      "gelu.1.4/Mul b.weight b.bias → Gemm → action",
    ]);
  });

  for (const activation of ACTIVATIONS) {
    test(`gives every node and value of two ${activation} layers a name of its own`, () => {
      const { graph } = modelOf(
        networkOf(
          linear("a", [[1]], [0]),
          { kind: "activation", activation },
          linear("b", [[1]], [0]),
          { kind: "activation", activation },
          linear("c", [[1]], [0]),
        ),
      );
      const nodes = graph.node ?? [];
      const values = [graph.input, graph.initializer].flatMap((list) => list ?? []);
      const names = [...values.map(({ name }) => name), ...nodes.flatMap(({ output }) => output)];
      expect([
        new Set(names).size,
        new Set(nodes.map(({ name }) => name)).size,
        nodes.flatMap(({ input = [] }) => input).filter((name) => !names.includes(name)),
      ]).toEqual([names.length, nodes.length, []]);
    });
  }

  test("keeps its metadata through the bytes of a file", () => {
    const metadata = {
      ...METADATA,
      activation: "tanh",
      normalizer: "external",
      normalizerDigest: "d1",
    } as const;
    const bytes = encodeOnnx(modelOf(TINY_NETWORK, { metadata }));
    expect(decodeMetadata(decodeOnnx(bytes))).toStrictEqual(metadata);
  });

  test("gives the same bytes for the same network, and they are the model", async () => {
    const network = await demoNetwork();
    const bytes = encodeOnnx(modelOf(network));
    expect(Buffer.compare(bytes, encodeOnnx(modelOf(await demoNetwork())))).toBe(0);
    expect(decodeOnnx(bytes)).toEqual(modelOf(network));
  });
});
