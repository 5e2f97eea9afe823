import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithShared, SHARED_DATA } from "../../scripts/dev/test_tools.ts";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import {
  DATA_TYPE,
  type OnnxModel,
  type OnnxTensor,
  decodeOnnx,
  encodeOnnx,
  makeNode,
  makeTensor,
  makeValueInfo,
  metadata,
  tensorFloats,
  tensorValues,
} from "./onnx.ts";

/**
 * onnx 1.23.2, `SerializeToString()` of a model with what the schema names and what it does not:
 * subgraphs, a local function, a sparse initializer, a sequence type, and a tensor of each kind.
 */
const OFFICIAL = new Uint8Array(
  Buffer.from(
    "CAgSAXAoADrIBAqIAQoBYxIBehoCaWYiAklmKjsKC2Vsc2VfYnJhbmNoMikKEAoBeBIBeSIISWRlbnRpdHkSBHRoZW5iDwoBeRIKCggIARIECgIIAaABBSo7Cgt0aGVuX2JyYW5jaDIpChAKAXgSAXkiCElkZW50aXR5EgR0aGVuYg8KAXkSCgoICAESBAoCCAGgAQUKHwoBehIBdyIDRWx1Kg8KBWFscGhhFQAAwD+gAQEyAWQKPQoBdxIDb3V0IgNQYWQqDwoEbW9kZSIEZWRnZaABAyodCgRwYWRzQABA////////////AUCAgICAgCCgAQcKPgoDb3V0EgJvMiIDRm9vKhUKBmZsb2F0cz0AAIA/PQAAIECgAQYqEAoFbmFtZXNKAWFKAWKgAQg6BWxvY2FsEgFnKhEIAhABIggAAIA/AAAAQEIBZioOCAIQCioFgHyAgANCAWgqFQgCEAMqC////////////wECQgJpOCoeCAIQBzoTgICAgICAgICAAYCAgICAgICAQEIDaTY0KhUIARANQgN1NjRaCv///////////wEqEQgBEAtCAWRSCJqZmZmZmbk/KgoIARAIMgH/QgFzKhMIAhABQgNyYXdKCAAAQEAAAIBAKgwIARAQKgLAf0ICYmYqCwgCEAkqAgEAQgFiUgVncmFwaFoUCgF4Eg8KDQgBEgkKAxIBbgoCCANaDwoDc2VxEggiBgoECgIIAWIKCgJvMhIECgIIAXoeCg0IARABIgQAAIA/QgF2EgsIARAHOgECQgJpeBgFQgQKABASQgkKBWxvY2FsEAFyBwoBaxICw6nKASYKA0ZvbyIBYSoBYjoMCgFhEgFiIgRSZWx1SgQKABASUgVsb2NhbA==",
    "base64",
  ),
);

const POLICY: OnnxModel = {
  irVersion: 8,
  producerName: "lite3rl",
  graph: {
    node: [
      makeNode("Gemm", ["obs", "w"], ["a"], { name: "layer", attributes: { transB: 1, beta: 1 } }),
      makeNode("Elu", ["a"], ["actions"], { attributes: { alpha: 1 } }),
    ],
    name: "policy",
    initializer: [makeTensor("w", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6))],
    input: [makeValueInfo("obs", ["batch", 3])],
    output: [makeValueInfo("actions", [1, 2])],
  },
  opsetImport: [{ domain: "", version: 18 }],
  metadataProps: [{ key: "a", value: "b" }],
};

function refuseTensor(parts: OnnxTensor) {
  return failureOf(() => tensorFloats({ name: "w", dims: [2], dataType: 1, ...parts }));
}

/** Decodes, and holds the value against another round. */
function roundTrip(bytes: Uint8Array): void {
  const model = decodeOnnx(bytes);
  expect(decodeOnnx(encodeOnnx(model))).toEqual(model);
}

test("encodeOnnx() gives the official encoder's bytes back", () => {
  const model = decodeOnnx(OFFICIAL);
  expect(encodeOnnx(model)).toEqual(OFFICIAL);
  expect(model.graph.node?.map(({ opType, attribute = [] }) => [opType, attribute.length])).toEqual(
    [
      ["If", 2],
      ["Elu", 1],
      ["Pad", 2],
      ["Foo", 2],
    ],
  );
  expect(model.graph.node?.[2]?.attribute?.[1]).toEqual({
    name: "pads",
    ints: [0, -1, 2 ** 40],
    type: 7,
  });
  expect(model.graph.unknown?.map(({ number }) => number)).toEqual([15]);
  expect(model.unknown?.map(({ number }) => number)).toEqual([25]);
});

test("tensorValues() reads every field that a producer may use", () => {
  const tensors = decodeOnnx(OFFICIAL).graph.initializer ?? [];
  const numbers = tensors.filter(({ name }) => name !== "u64" && name !== "s");
  expect(numbers.map(tensorValues)).toEqual([
    { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) },
    { dtype: "float16", shape: [2], data: Float16Array.of(1.5, -2) },
    { dtype: "int8", shape: [2], data: Int8Array.of(-1, 2) },
    { dtype: "int64", shape: [2], data: BigInt64Array.of(-(2n ** 63n), 2n ** 62n) },
    { dtype: "float64", shape: [1], data: Float64Array.of(0.1) },
    { dtype: "float32", shape: [2], data: Float32Array.of(3, 4) },
    { dtype: "bfloat16", shape: [1], data: Float32Array.of(1.5) },
    { dtype: "bool", shape: [2], data: Uint8Array.of(1, 0) },
  ]);
  expect(numbers.map((tensor) => tensorFloats(tensor)[0])).toEqual([
    1,
    1.5,
    -1,
    -(2 ** 63),
    Math.fround(0.1),
    3,
    1.5,
    1,
  ]);
});

test("decodeOnnx() gives back what encodeOnnx() was given", () => {
  const bytes = encodeOnnx(POLICY);
  expect(decodeOnnx(bytes)).toEqual(POLICY);
  expect(encodeOnnx(POLICY)).toEqual(bytes);
});

test("makeNode() types attributes as the standard does", () => {
  const attributes = {
    alpha: 1,
    axis: 1,
    mode: "edge",
    perm: [1, 0],
    value: { t: makeTensor("", [], Float32Array.of(2)), type: 4 },
  };
  expect(makeNode("Any", ["x"], ["y"], { attributes })).toEqual({
    input: ["x"],
    output: ["y"],
    opType: "Any",
    attribute: [
      { name: "alpha", f: 1, type: 1 },
      { name: "axis", i: 1, type: 2 },
      { name: "mode", s: Uint8Array.from(Buffer.from("edge")), type: 3 },
      { name: "perm", ints: [1, 0], type: 7 },
      {
        name: "value",
        t: { dims: [], dataType: 1, name: "", rawData: Uint8Array.of(0, 0, 0, 64) },
        type: 4,
      },
    ],
  });
  expect(() => makeNode("Any", [], [], { attributes: { axis: 0.5 } })).toThrow(
    "attribute axis is an int",
  );
});

test("makeTensor() copies its values", () => {
  const values = Float32Array.of(1, 2);
  const tensor = makeTensor("w", [2], values);
  values[0] = 9;
  expect(tensorFloats(tensor)).toEqual(Float32Array.of(1, 2));
});

test("makeValueInfo() names dynamic dimensions", () => {
  expect(makeValueInfo("obs", ["batch", 45], DATA_TYPE.float16)).toEqual({
    name: "obs",
    type: {
      tensorType: { elemType: 10, shape: { dim: [{ dimParam: "batch" }, { dimValue: 45 }] } },
    },
  });
});

test("metadata() reads pairs, and refuses a key that is there twice", async () => {
  expect(metadata(decodeOnnx(OFFICIAL))).toEqual(new Map([["k", "é"]]));
  expect(metadata({ graph: {} })).toEqual(new Map());
  const twice = [
    { key: "normalizer", value: "folded" },
    { key: "normalizer", value: "none" },
  ];
  expect(await failureOf(() => metadata({ graph: {}, metadataProps: twice }))).toEqual({
    code: "MALFORMED",
    message: 'its metadata has "normalizer" twice',
  });
});

test("decodeOnnx() refuses what is no model", async () => {
  const failures = await Promise.all([
    failureOf(() => decodeOnnx(new Uint8Array(0))),
    failureOf(() => decodeOnnx(Uint8Array.of(0x08, 8))),
    failureOf(() => decodeOnnx(Buffer.from("obs_dim: 45"))),
    failureOf(() => decodeOnnx(Buffer.from("PK\x03\x04rest of an archive"))),
    failureOf(() => decodeOnnx(OFFICIAL.subarray(0, -1))),
  ]);
  expect(failures).toEqual([
    { code: "MALFORMED", message: "it is empty, need an ONNX model" },
    { code: "MALFORMED", message: "not an ONNX model: it has no graph" },
    {
      code: "MALFORMED",
      message: "protobuf Model at byte 0: illegal tag: field no 13 wire type 7",
    },
    { code: "MALFORMED", message: "protobuf Model at byte 2: illegal tag: field no 0 wire type 3" },
    { code: "MALFORMED", message: "protobuf Model at byte 620: the bytes end within it" },
  ]);
});

test("decodeOnnx() refuses subgraphs nested too deep", async () => {
  let model: OnnxModel = POLICY;
  for (let depth = 0; depth < 40; depth++) {
    model = { graph: { node: [{ attribute: [{ name: "body", g: model.graph, type: 5 }] }] } };
  }
  expect(await failureOf(() => decodeOnnx(encodeOnnx(model)))).toMatchObject({ code: "TOO_LARGE" });
});

test("tensorFloats() refuses values in another file", async () => {
  const failures = await Promise.all([
    refuseTensor({ dataLocation: 1 }),
    refuseTensor({ externalData: [{ key: "location", value: "../../etc/passwd" }] }),
  ]);
  const message = 'tensor "w" is in another file, need it in the model';
  expect(failures).toEqual([
    { code: "UNSUPPORTED", message },
    { code: "UNSUPPORTED", message },
  ]);
});

test("tensorFloats() refuses tensors whose claims differ", async () => {
  const failures = await Promise.all([
    refuseTensor({ rawData: new Uint8Array(4) }),
    refuseTensor({ rawData: new Uint8Array(7) }),
    refuseTensor({ rawData: new Uint8Array(8), floatData: [1, 2] }),
    refuseTensor({ int64Data: [1, 2] }),
    refuseTensor({ dims: [2 ** 40, 2 ** 40] }),
    refuseTensor({ dims: [-1] }),
    refuseTensor({ dataType: 3, int32Data: [1, 300] }),
    refuseTensor({ dataType: 8 }),
  ]);
  expect(failures.map(({ message }) => message)).toEqual([
    'tensor "w" has 1 values, but its shape [2] needs 2',
    "7 bytes are not whole float32 elements",
    'tensor "w" has its values in several fields',
    'tensor "w" has 0 values, but its shape [2] needs 2',
    "shape [1099511627776, 1099511627776] has too many elements",
    "shape [-1] is not made of sizes",
    'tensor "w" has 300 as a int8',
    'tensor "w" has element type 8, need one of float32, uint8, int8, int16, int32, int64, bool, float16, float64, bfloat16',
  ]);
});

test("decodeOnnx() gives a model or FormatError for any damaged file", async () => {
  await fuzzDecoder(OFFICIAL, roundTrip, { cases: 1500 });
  await fuzzDecoder(encodeOnnx(POLICY), roundTrip, { cases: 1500, seed: 2 });
});

describeWithShared("lite3_policy.onnx")("decodeOnnx() on files of real producers", () => {
  for (const name of ["lite3_policy.onnx", "rknn/multiple_input_demo.onnx"]) {
    test(`${name} comes back byte for byte`, () => {
      const bytes = readFileSync(join(SHARED_DATA, name));
      expect(Buffer.compare(encodeOnnx(decodeOnnx(bytes)), bytes)).toBe(0);
    });
  }

  test("the target policy is what the facts say", () => {
    const model = decodeOnnx(readFileSync(join(SHARED_DATA, "lite3_policy.onnx")));
    const { graph, irVersion, opsetImport, producerName } = model;
    expect({
      irVersion,
      opsetImport,
      producerName,
      nodes: graph.node?.map(({ opType }) => opType),
      shapes: graph.initializer?.map(({ name, dims }) => [name, dims]),
      values: graph.initializer?.map((tensor) => tensorFloats(tensor).length),
    }).toEqual({
      irVersion: 8,
      opsetImport: [{ version: 18 }],
      producerName: "pytorch",
      nodes: ["Gemm", "Elu", "Gemm", "Elu", "Gemm", "Elu", "Gemm"],
      shapes: [
        ["mlp.0.weight", [512, 45]],
        ["mlp.0.bias", [512]],
        ["mlp.2.weight", [256, 512]],
        ["mlp.2.bias", [256]],
        ["mlp.4.weight", [128, 256]],
        ["mlp.4.bias", [128]],
        ["mlp.6.weight", [12, 128]],
        ["mlp.6.bias", [12]],
      ],
      values: [23040, 512, 131072, 256, 32768, 128, 1536, 12],
    });
  });
});
