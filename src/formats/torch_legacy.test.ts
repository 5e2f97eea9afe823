import { expect, test } from "bun:test";
import { memorySource } from "../base/files.ts";
import { countingSource, failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import {
  type Code,
  NONE,
  call,
  dict,
  global,
  int,
  list,
  persistent,
  text,
  tuple,
} from "./pickle_fixture.ts";
import { type TorchFile, type TorchTensor, readTorch } from "./torch.ts";
import { bytesOf, tensorCode } from "./torch_fixture.ts";
import { type LegacyParts, writeTorchLegacy } from "./torch_legacy_fixture.ts";

const FLOATS = Float32Array.of(0, 1, 2, 3, 4, 5);
const STORED = { "94": { bytes: bytesOf(FLOATS) } };
const open = (parts: LegacyParts): Promise<TorchFile> =>
  readTorch(memorySource(writeTorchLegacy(parts)));
const refusal = (parts: Partial<LegacyParts>) =>
  failureOf(() =>
    open({ root: tensorCode({ key: "94", shape: [6] }), storages: STORED, ...parts }),
  );

function loadItems({ root, load }: TorchFile) {
  return (root as readonly TorchTensor[]).map((tensor) => load(tensor));
}

test("readTorch() reads a legacy file of any protocol, with views of shared storages", async () => {
  const view = { key: "94", elements: 6, view: NONE };
  const root = list(
    tensorCode({ ...view, shape: [2, 3] }),
    tensorCode({ ...view, shape: [3, 2], strides: [1, 3] }),
    tensorCode({ ...view, shape: [2], offset: 4 }),
    tensorCode({ key: "7", shape: [1], storage: "LongStorage", view: NONE }),
  );
  const storages = { "7": { bytes: bytesOf(BigInt64Array.of(9n)), elements: 1 }, ...STORED };
  for (const protocol of [2, 3, 4, 5]) {
    expect(loadItems(await open({ root, storages, protocol }))).toEqual([
      { dtype: "float32", shape: [2, 3], data: FLOATS },
      { dtype: "float32", shape: [3, 2], data: Float32Array.of(0, 3, 1, 4, 2, 5) },
      { dtype: "float32", shape: [2], data: Float32Array.of(4, 5) },
      { dtype: "int64", shape: [1], data: BigInt64Array.of(9n) },
    ]);
  }
});

test("readTorch() reads the storage views and tensors of 2017", async () => {
  const part = tuple(text("95"), int(2), int(3));
  const storage = persistent(
    text("storage"),
    global("torch", "FloatStorage"),
    text("94"),
    text("cuda:0"),
    int(6),
    part,
  );
  const old = call(
    global("torch._utils", "_rebuild_tensor"),
    storage,
    int(1),
    tuple(int(2)),
    tuple(int(1)),
  );
  const file = await open({ root: list(old), storages: STORED });
  expect(loadItems(file)).toEqual([{ dtype: "float32", shape: [2], data: Float32Array.of(3, 4) }]);
  const outside = tensorCode({ key: "94", shape: [4], elements: 6, view: part });
  expect((await refusal({ root: outside })).message).toEndWith(
    "has 4 elements up to 3, but the storage has 3",
  );
});

test("readTorch() finds a tree that is larger than one look", async () => {
  const notes = Object.fromEntries(
    Array.from({ length: 3000 }, (_, i) => [`note ${i}`, text("x".repeat(50))]),
  );
  const root = dict({ ...notes, weight: tensorCode({ key: "94", shape: [6] }) });
  const { root: tree, load } = await open({ root, storages: STORED });
  const weight = (tree as ReadonlyMap<string, TorchTensor>).get("weight");
  expect(load(weight as TorchTensor).data).toEqual(FLOATS);
});

test("load() reads just the storage it needs of a legacy file", async () => {
  const root = list(tensorCode({ key: "1", shape: [6] }), tensorCode({ key: "2", shape: [6] }));
  const storages = { "1": { bytes: new Uint8Array(24) }, "2": { bytes: bytesOf(FLOATS) } };
  const source = countingSource(writeTorchLegacy({ root, storages }));
  const file = await readTorch(source);
  const [, second] = file.root as readonly TorchTensor[];
  source.reads.length = 0;
  expect(file.load(second as TorchTensor).data).toEqual(FLOATS);
  expect(source.reads).toEqual([{ offset: source.size - 24, length: 24 }]);
});

test("readTorch() steps over storages it cannot read, and keeps a module opaque", async () => {
  const complex = { key: "1", shape: [2], storage: "ComplexFloatStorage" };
  const module = persistent(
    text("module"),
    global("torch.nn", "Linear"),
    text("linear.py"),
    text("class Linear: ..."),
  );
  const root = list(tensorCode(complex), call(module), tensorCode({ key: "94", shape: [6] }));
  const storages = { "1": { bytes: new Uint8Array(16), elements: 2 }, ...STORED };
  const file = await open({ root, storages });
  const [first, second, third] = file.root as readonly unknown[];
  expect(first).toMatchObject({ kind: "opaque" });
  expect(second).toEqual({ kind: "opaque", global: "torch.nn.Linear", args: [] });
  expect(file.load(third as TorchTensor).data).toEqual(FLOATS);
});

test("readTorch() refuses what the stream does not hold", async () => {
  const shape = [6];
  const failures = await Promise.all([
    refusal({ version: 1002 }),
    refusal({ littleEndian: false }),
    refusal({ storages: { "94": { bytes: new Uint8Array(20), elements: 6 } } }),
    refusal({ storages: { "94": { bytes: bytesOf(FLOATS), elements: 2 ** 40 } } }),
    refusal({ storages: {} }),
    refusal({ keys: ["94", "94"] }),
    refusal({ keys: ["95"] }),
    refusal({ root: tensorCode({ key: "94", shape, storage: "QUInt4x2Storage" }) }),
    refusal({
      root: list(tensorCode({ key: "94", shape }), tensorCode({ key: "94", shape: [5] })),
    }),
    refusal({ root: [0x71] }),
  ]);
  expect(failures.map(({ code, message }) => `${code} ${message}`)).toEqual([
    "UNSUPPORTED the protocol version is 1002, need 1001",
    "UNSUPPORTED it was written on a big-endian machine, need little-endian",
    'MALFORMED storage "94" at byte 229 needs 8 and 24 bytes, but 28 are left',
    'MALFORMED storage "94" at byte 229 has 1099511627776 elements, but the tree says 6',
    'MALFORMED storage "94" of the tree is not in the list of storages',
    "MALFORMED the list of storages is not one of different keys that the tree has",
    "MALFORMED the list of storages is not one of different keys that the tree has",
    'UNSUPPORTED storage "94" at byte 232 is a torch.QUInt4x2Storage, whose size is not known',
    'MALFORMED tree, from byte 74: storage "94" is 5 of torch.FloatStorage here, 6 of ' +
      "torch.FloatStorage before",
    "MALFORMED tree, from byte 74: pickle BINPUT at byte 2: the stack is empty",
  ]);
});

test("readTorch() refuses a storage that is larger than the file, unread", async () => {
  const elements = 2 ** 50;
  const root: Code = tensorCode({ key: "94", shape: [1], elements });
  expect((await refusal({ root })).message).toBe(
    `storage "94" at byte 234 needs 8 and ${elements * 4} bytes, but 32 are left`,
  );
});

test("readTorch() gives a tree or FormatError for any damaged legacy file", async () => {
  const root = list(tensorCode({ key: "94", shape: [3, 2], strides: [1, 3], view: NONE }));
  const bytes = writeTorchLegacy({ root, storages: STORED });
  await fuzzDecoder(
    bytes,
    async (damaged) => {
      const file = await readTorch(memorySource(damaged));
      for (const value of Array.isArray(file.root) ? (file.root as unknown[]) : []) {
        const tensor = value as TorchTensor | null;
        if (tensor?.kind === "tensor") file.load(tensor);
      }
    },
    { cases: 2000 },
  );
});
