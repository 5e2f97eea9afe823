import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { readNpy, writeNpy } from "./npy.ts";
import { type Tensor, decodeElements, elementBytes } from "./tensor.ts";
import { bytesOf } from "./torch_fixture.ts";

/** An .npy file with this header text, as numpy lays it out. */
function npy(header: string, data: Uint8Array = new Uint8Array(0), version = 1): Uint8Array {
  const bytes = Buffer.from(header, "latin1");
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  length.writeUIntLE(bytes.length, 0, length.length);
  const magic = Buffer.from("\x93NUMPY", "latin1");
  return Buffer.concat([magic, Buffer.of(version, 0), length, bytes, data]);
}

function header(descr: string, shape: string, order = "False"): string {
  return `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }\n`;
}

const refusal = (bytes: Uint8Array) => failureOf(() => readNpy(bytes));

/** numpy 2.4.6, `np.save` of the array named. */
const NUMPY = {
  "np.array([1.5, -2], '<f2')":
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGYyJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAPgDA",
  "np.asfortranarray(np.arange(6, dtype='<f4').reshape(2, 3))":
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMyksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAABAQAAAgD8AAIBAAAAAQAAAoEA=",
  "np.array([1, 2], '>i4')":
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPmk0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAABAAAAAg==",
  "np.array([True, False])":
    "k05VTVBZAQB2AHsnZGVzY3InOiAnfGIxJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAA==",
  "np.array(3.0)":
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKCksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAAAIQA==",
  "np.array([1.0], '<f4'), version 3":
    "k05VTVBZAwB0AAAAeydkZXNjcic6ICc8ZjQnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMSwpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAIA/",
} as const;

const numpy = (name: keyof typeof NUMPY): Uint8Array =>
  new Uint8Array(Buffer.from(NUMPY[name], "base64"));

test("readNpy() reads what numpy wrote", () => {
  const found = Object.keys(NUMPY).map((name) => readNpy(numpy(name as keyof typeof NUMPY)));
  expect(found).toEqual([
    { dtype: "float16", shape: [2], data: Float16Array.of(1.5, -2) },
    { dtype: "float32", shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) },
    { dtype: "int32", shape: [2], data: Int32Array.of(1, 2) },
    { dtype: "bool", shape: [2], data: Uint8Array.of(1, 0) },
    { dtype: "float64", shape: [], data: Float64Array.of(3) },
    { dtype: "float32", shape: [1], data: Float32Array.of(1) },
  ]);
});

test("writeNpy() gives numpy's own bytes", () => {
  for (const name of [
    "np.array([1.5, -2], '<f2')",
    "np.array([True, False])",
    "np.array(3.0)",
  ] as const) {
    expect(writeNpy(readNpy(numpy(name)))).toEqual(numpy(name) as Uint8Array<ArrayBuffer>);
  }
});

test("writeNpy() writes bfloat16 as float32, which holds it", () => {
  const tensor = { dtype: "bfloat16", shape: [1], data: Float32Array.of(1.5) } as const;
  expect(readNpy(writeNpy(tensor))).toEqual({ ...tensor, dtype: "float32" });
});

test("readNpy() gives back what writeNpy() was given", () => {
  const dtypes = [
    "float16",
    "float32",
    "float64",
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
    "bool",
  ] as const;
  const tensors = fc
    .tuple(fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 4 }))
    .chain(([dtype, shape]) => {
      const length = shape.reduce((a, b) => a * b, 1) * elementBytes(dtype);
      return fc
        .uint8Array({ minLength: length, maxLength: length })
        .map((bytes): Tensor => ({ dtype, shape, data: decodeElements(dtype, bytes) }));
    });
  const property = fc.property(tensors, (tensor) => {
    const { dtype, shape } = tensor;
    const bytes = writeNpy(tensor);
    expect((bytes.length - tensor.data.byteLength) % 64).toBe(0);
    // As bytes: one NaN does not equal another.
    const { data, ...rest } = readNpy(bytes);
    expect([rest, bytesOf(data)]).toEqual([{ dtype, shape }, bytesOf(tensor.data)]);
  });
  fc.assert(property, { seed: 1, numRuns: 200 });
});

test("readNpy() takes the fields in any order", () => {
  const bytes = npy("{'shape': (1,), 'descr': '|u1', 'fortran_order': False}", Uint8Array.of(7));
  expect(readNpy(bytes)).toEqual({ dtype: "uint8", shape: [1], data: Uint8Array.of(7) });
});

test("readNpy() refuses pickles and types that are no numbers", async () => {
  const failures = await Promise.all(
    ["|O", "<U3", "<c8", "=f4", "|f4", "<u2", "xf4"].map((descr) =>
      refusal(npy(header(descr, "(1,)"))),
    ),
  );
  const need = "need float, int or bool elements";
  expect(failures).toEqual([
    { code: "UNSUPPORTED", message: `it holds Python objects, which are pickles, ${need}` },
    { code: "UNSUPPORTED", message: `it holds elements of "<U3", ${need}` },
    { code: "UNSUPPORTED", message: `it holds elements of "<c8", ${need}` },
    { code: "UNSUPPORTED", message: `it holds elements of "=f4", ${need}` },
    { code: "UNSUPPORTED", message: `it holds elements of "|f4", ${need}` },
    { code: "UNSUPPORTED", message: `it holds elements of "<u2", ${need}` },
    { code: "UNSUPPORTED", message: `it holds elements of "xf4", ${need}` },
  ]);
});

test("readNpy() refuses data that is shorter or longer than the shape", async () => {
  const failures = await Promise.all([
    refusal(npy(header("<f4", "(2, 3)"), new Uint8Array(23))),
    refusal(npy(header("<f4", "(2,)"), new Uint8Array(12))),
    refusal(npy(header("<f4", "(1000000000, 1000)"))),
    refusal(npy(header("<f4", "(99999999999999999999,)"))),
  ]);
  expect(failures).toEqual([
    {
      code: "MALFORMED",
      message: "it has 23 bytes of data at offset 70, but <f4 of shape [2, 3] needs 24",
    },
    {
      code: "MALFORMED",
      message: "it has 12 bytes of data at offset 68, but <f4 of shape [2] needs 8",
    },
    {
      code: "MALFORMED",
      message:
        "it has 0 bytes of data at offset 82, but <f4 of shape [1000000000, 1000] needs 4000000000000",
    },
    { code: "MALFORMED", message: "shape [100000000000000000000] is not made of sizes" },
  ]);
});

test("readNpy() refuses headers that would need evaluating", async () => {
  const headers = [
    "{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': (1,), }\n",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n",
    "{'descr': '<f4', 'fortran_order': False, }\n",
    "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } or 1\n",
    "",
  ];
  const failures = await Promise.all(headers.map((text) => refusal(npy(text))));
  expect(failures).toEqual(
    headers.map((text) => ({
      code: "MALFORMED",
      message:
        `the .npy header is ${JSON.stringify(text.trim())}, ` +
        "need descr, fortran_order and shape of an array",
    })),
  );
  expect(await refusal(npy(header("<f4", "(1,,2)")))).toEqual({
    code: "MALFORMED",
    message: 'the .npy shape is "(1,,2)", need sizes',
  });
});

test("readNpy() refuses a header that is long, cut off, of another version, or none", async () => {
  const failures = await Promise.all([
    refusal(npy(" ".repeat(10_001))),
    refusal(npy(header("<f4", "(1,)")).subarray(0, 50)),
    refusal(npy(header("<f4", "(1,)"), new Uint8Array(4), 4)),
    refusal(Buffer.from("\x93NUMPY\x01", "latin1")),
    refusal(Buffer.from("hello, world")),
    refusal(new Uint8Array(0)),
  ]);
  expect(failures).toEqual([
    { code: "TOO_LARGE", message: "the .npy header has 10001 bytes, at most 10000 are taken" },
    { code: "MALFORMED", message: "the .npy header needs 58 bytes, but 40 are left" },
    { code: "UNSUPPORTED", message: ".npy version 4, need 1, 2 or 3" },
    { code: "MALFORMED", message: "the .npy header is cut off" },
    { code: "MALFORMED", message: 'it begins with "hello,", need an .npy file' },
    { code: "MALFORMED", message: 'it begins with "", need an .npy file' },
  ]);
});

test("readNpy() gives an array or FormatError for any damaged file", async () => {
  for (const name of Object.keys(NUMPY)) {
    await fuzzDecoder(numpy(name as keyof typeof NUMPY), readNpy);
  }
});
