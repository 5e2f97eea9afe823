import { describe, expect, test } from "bun:test";
import { decodeOnnx, encodeOnnx, makeTensor, type OnnxModel } from "../formats/onnx.ts";
import { openOnnx } from "../runtime/onnx.ts";
import type { Activation } from "./activation.ts";
import { decodeMetadata } from "./metadata.ts";
import { evaluate, type Layer } from "./network.ts";
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

describe("networkToOnnx() of layers that are not Linear", () => {
  const first = linear(
    "actor",
    [
      [1, -2],
      [0.5, 3],
      [-1, 0.25],
      [2, 1],
    ],
    [0.1, -0.2, 0.3, 0],
  );
  const floats = (...values: number[]) => Float32Array.from(values);
  const CASES: readonly [what: string, layers: readonly Layer[], nodes: readonly string[]][] = [
    [
      "a normalizer with a limit",
      [{ kind: "normalize", mean: floats(1, -1), divisor: floats(0.5, 2), limit: 1.5 }, first],
      [
        "obs obs_normalizer.mean → Sub → obs_normalizer/Sub",
        "obs_normalizer/Sub obs_normalizer.std → Div → obs_normalizer/Div",
        "obs_normalizer/Div obs_normalizer.min obs_normalizer.max → Clip → obs_normalizer/Clip",
        "obs_normalizer/Clip actor.weight actor.bias → Gemm → action",
      ],
    ],
    [
      "a LayerNorm",
      [
        first,
        {
          kind: "layer_norm",
          name: "norm",
          weight: floats(1, 2, -1, 0.5),
          bias: floats(0, 0.5, 0, -1),
          epsilon: 0.25,
        },
      ],
      [
        "obs actor.weight actor.bias → Gemm → actor/Gemm",
        "actor/Gemm norm.weight norm.bias → LayerNormalization → action",
      ],
    ],
    [
      "a Gaussian's mean",
      [first, { kind: "distribution", distribution: "gaussian", size: 2 }],
      [
        "obs actor.weight actor.bias → Gemm → actor/Gemm",
        "actor/Gemm distribution.gaussian.sizes → Split → action distribution.gaussian.second",
      ],
    ],
    [
      "a Beta's mean",
      [first, { kind: "distribution", distribution: "beta", size: 2 }],
      [
        "obs actor.weight actor.bias → Gemm → actor/Gemm",
        "actor/Gemm distribution.beta.sizes → Split → " +
          "distribution.beta.first distribution.beta.second",
        "distribution.beta.first → Softplus → distribution.beta.first/Softplus",
        "distribution.beta.first/Softplus distribution.beta.one → Add → " +
          "distribution.beta.first.shifted/Add",
        "distribution.beta.second → Softplus → distribution.beta.second/Softplus",
        "distribution.beta.second/Softplus distribution.beta.one → Add → " +
          "distribution.beta.second.shifted/Add",
        "distribution.beta.first.shifted/Add distribution.beta.second.shifted/Add → Add → " +
          "distribution.beta.sum/Add",
        "distribution.beta.first.shifted/Add distribution.beta.sum/Add → Div → " +
          "distribution.beta.share/Div",
        "distribution.beta.share/Div distribution.beta.share/Div → Add → " +
          "distribution.beta.double/Add",
        "distribution.beta.double/Add distribution.beta.one → Sub → action",
      ],
    ],
    [
      "the bounds of an action space",
      [
        first,
        { kind: "activation", activation: "tanh" },
        { kind: "affine", scale: floats(1, 2, 0.5, 3), offset: floats(0, -1, 0.5, 2) },
      ],
      [
        "obs actor.weight actor.bias → Gemm → actor/Gemm",
        "actor/Gemm → Tanh → tanh.1/Tanh",
        "tanh.1/Tanh action_space.scale → Mul → action_space/Mul",
        "action_space/Mul action_space.offset → Add → action",
      ],
    ],
  ];
  for (const [what, layers, nodes] of CASES) {
    const isHalved = layers.some(({ kind }) => kind === "distribution");
    const network = { ...networkOf(...layers), actionSize: isHalved ? 2 : 4 };

    test(`writes ${what}`, () => {
      expect(nodesOf(network)).toEqual([...nodes]);
    });

    for (const dynamicBatch of [false, true]) {
      test(`acts as ${what}, ${dynamicBatch ? "dynamic" : "static"} batch`, async () => {
        const bytes = encodeOnnx(modelOf(network, { dynamicBatch }));
        using backend = await openOnnx(bytes, decodeOnnx(bytes));
        const observations = floats(0, 0, 1, -1, 40, 30, -7, 0.125, 1e-3, -200);
        const rows = observations.length / 2;
        const actions = new Float32Array(rows * network.actionSize);
        await backend.infer(observations, actions, backend.createState(), rows);
        const expected = Array.from({ length: rows }, (_, row) => [
          ...evaluate(network, observations.subarray(2 * row, 2 * row + 2)),
        ]).flat();
        const relative = expected.map(
          (value, i) => Math.abs(value - (actions[i] ?? NaN)) / Math.max(1, Math.abs(value)),
        );
        expect([actions.length, Math.max(...relative) <= 1e-6]).toEqual([expected.length, true]);
      });
    }
  }
});
