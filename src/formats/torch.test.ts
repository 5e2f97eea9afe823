import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { memorySource, openFile } from "../base/files.ts";
import { countingSource, failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { readNpz } from "./npz.ts";
import {
  type Code,
  call,
  dict,
  global,
  int,
  list,
  persistent,
  pickle,
  text,
  tuple,
} from "./pickle_fixture.ts";
import { toFloat32 } from "./tensor.ts";
import { type TorchFile, type TorchTensor, type TorchValue, readTorch } from "./torch.ts";
import { type TensorParts, bytesOf, tensorCode, writeTorch } from "./torch_fixture.ts";
import { writeStateDict } from "./torch_writer.ts";
import { writeZip } from "./zip.ts";

const FLOATS = Float32Array.of(0, 1, 2, 3, 4, 5);
const open = (bytes: Uint8Array): Promise<TorchFile> => readTorch(memorySource(bytes));
const refusal = (bytes: Uint8Array) => failureOf(() => open(bytes));

async function loadRoot(parts: TensorParts, storage: ArrayBufferView, more = {}) {
  const file = await open(writeTorch(tensorCode(parts), { [parts.key]: bytesOf(storage) }, more));
  return file.load(file.root as TorchTensor);
}

const order = (word: string) => ({ "archive/byteorder": Buffer.from(word) });

async function loadAll(bytes: Uint8Array): Promise<void> {
  const { root, load } = await open(bytes);
  for (const value of Array.isArray(root) ? (root as TorchValue[]) : []) {
    if ((value as { kind?: string } | null)?.kind === "tensor") load(value as TorchTensor);
  }
}

function refuseTensor(parts: Partial<TensorParts>) {
  const code = tensorCode({ key: "0", shape: [6], ...parts });
  return refusal(writeTorch(code, { "0": bytesOf(FLOATS) }));
}

test("readTorch() reads a state dict under any directory name", async () => {
  const bytes = writeStateDict({
    "actor.0.weight": { shape: [2, 3], values: FLOATS },
    "actor.0.bias": { shape: [2], values: Float32Array.of(6, 7) },
  });
  const { root, load } = await open(bytes);
  const weight: TorchTensor = {
    kind: "tensor",
    dtype: "float32",
    shape: [2, 3],
    strides: [3, 1],
    offset: 0,
    storageKey: "0",
    storageElements: 6,
  };
  const bias: TorchTensor = {
    ...weight,
    shape: [2],
    strides: [1],
    storageKey: "1",
    storageElements: 2,
  };
  expect<unknown>(root).toEqual(
    new Map([
      ["actor.0.weight", weight],
      ["actor.0.bias", bias],
    ]),
  );
  expect(load(weight)).toEqual({ dtype: "float32", shape: [2, 3], data: FLOATS });
  expect(load(bias)).toEqual({ dtype: "float32", shape: [2], data: Float32Array.of(6, 7) });
});

test("readTorch() takes a directory named after any file", async () => {
  const code = tensorCode({ key: "0", shape: [6] });
  const { root } = await open(writeTorch(code, { "0": bytesOf(FLOATS) }, {}, "model_1500 (best)"));
  expect(root).toMatchObject({ kind: "tensor", shape: [6] });
});

test("load() honours offset, stride and broadcasting", async () => {
  const view = { key: "0", elements: 6 };
  const transposed = await loadRoot({ ...view, shape: [3, 2], strides: [1, 3] }, FLOATS);
  expect(transposed).toEqual({
    dtype: "float32",
    shape: [3, 2],
    data: Float32Array.of(0, 3, 1, 4, 2, 5),
  });
  const row = await loadRoot({ ...view, shape: [3], offset: 3 }, FLOATS);
  expect(row.data).toEqual(Float32Array.of(3, 4, 5));
  const repeated = await loadRoot({ ...view, shape: [3], strides: [0], offset: 5 }, FLOATS);
  expect(repeated.data).toEqual(Float32Array.of(5, 5, 5));
  const scalar = await loadRoot({ ...view, shape: [], offset: 4 }, FLOATS);
  expect(scalar).toEqual({ dtype: "float32", shape: [], data: Float32Array.of(4) });
  const nothing = await loadRoot({ ...view, shape: [0, 3] }, FLOATS);
  expect(nothing).toEqual({ dtype: "float32", shape: [0, 3], data: new Float32Array(0) });
});

test("load() reads every type of storage", async () => {
  const storages = {
    HalfStorage: Float16Array.of(1.5),
    BFloat16Storage: Uint16Array.of(0x3fc0),
    FloatStorage: Float32Array.of(1.5),
    DoubleStorage: Float64Array.of(1.5),
    CharStorage: Int8Array.of(-1),
    ByteStorage: Uint8Array.of(255),
    ShortStorage: Int16Array.of(-1),
    IntStorage: Int32Array.of(-1),
    LongStorage: BigInt64Array.of(-1n),
    BoolStorage: Uint8Array.of(1),
  };
  const values = await Promise.all(
    Object.entries(storages).map(async ([storage, data]) => {
      const tensor = await loadRoot({ key: "0", shape: [1], storage }, data);
      return [tensor.dtype, toFloat32(tensor)[0]];
    }),
  );
  expect(values).toEqual([
    ["float16", 1.5],
    ["bfloat16", 1.5],
    ["float32", 1.5],
    ["float64", 1.5],
    ["int8", -1],
    ["uint8", 255],
    ["int16", -1],
    ["int32", -1],
    ["int64", -1],
    ["bool", 1],
  ]);
});

test("load() swaps the bytes of a big-endian file", async () => {
  const big = Buffer.from(bytesOf(FLOATS)).swap32();
  const parts = { key: "0", shape: [6] };
  expect((await loadRoot(parts, big, order("big"))).data).toEqual(FLOATS);
  expect((await loadRoot(parts, FLOATS, order("little"))).data).toEqual(FLOATS);
  expect(await failureOf(() => loadRoot(parts, FLOATS, order("middle")))).toEqual({
    code: "MALFORMED",
    message: 'entry "archive/byteorder" says "middle", need little or big',
  });
});

test("load() reads just the storage it needs, and a shared one once", async () => {
  const half = { key: "0", shape: [3], elements: 6 };
  const root = list(
    tensorCode(half),
    tensorCode({ ...half, offset: 3 }),
    tensorCode({ key: "1", shape: [6] }),
  );
  const source = countingSource(writeTorch(root, { "0": bytesOf(FLOATS), "1": bytesOf(FLOATS) }));
  const file = await readTorch(source);
  const [first, second] = file.root as readonly TorchTensor[];
  source.reads.length = 0;
  expect(file.load(first as TorchTensor).data).toEqual(Float32Array.of(0, 1, 2));
  expect(file.load(second as TorchTensor).data).toEqual(Float32Array.of(3, 4, 5));
  expect(source.reads.map(({ length }) => length)).toEqual([24]);
});

test("readTorch() reads parameters, and keeps everything unknown opaque", async () => {
  const parameter = call(
    global("torch._utils", "_rebuild_parameter"),
    tensorCode({ key: "0", shape: [6] }),
    list(),
    call(global("collections", "OrderedDict")),
  );
  const complex = tensorCode({ key: "9", shape: [1], storage: "ComplexFloatStorage" });
  const reward = call(global("numpy.core.multiarray", "scalar"), text("f8"), int(1));
  const root = dict({ parameter, complex, reward });
  const file = await open(writeTorch(root, { "0": bytesOf(FLOATS) }));
  const found = file.root as ReadonlyMap<string, TorchValue>;
  expect([...found].map(([key, value]) => [key, (value as { kind: string }).kind])).toEqual([
    ["parameter", "tensor"],
    ["complex", "opaque"],
    ["reward", "opaque"],
  ]);
  expect<unknown>(found.get("reward")).toEqual({
    kind: "opaque",
    global: "numpy.core.multiarray.scalar",
    args: ["f8", 1],
  });
});

test("readTorch() refuses a storage that is shorter than its tensors", async () => {
  const code = tensorCode({ key: "3", shape: [256] });
  expect(await refusal(writeTorch(code, { "3": new Uint8Array(512) }))).toEqual({
    code: "MALFORMED",
    message: expect.stringMatching(
      /^entry "data\/3" is 512 bytes at offset \d+, but storage 3 needs 1024$/,
    ) as unknown as string,
  });
});

test("readTorch() refuses a storage that is not in the file", async () => {
  expect(await refusal(writeTorch(tensorCode({ key: "7", shape: [2] }), {}))).toEqual({
    code: "MALFORMED",
    message: 'entry "data/7" is missing, but storage 7 needs 8 bytes',
  });
});

test("readTorch() refuses a billion rows of stride 0", async () => {
  expect(await refuseTensor({ shape: [1e9, 6], strides: [0, 1], elements: 6 })).toEqual({
    code: "MALFORMED",
    message:
      'entry "archive/data.pkl": tensor of storage "0": shape [1000000000, 6] with strides ' +
      "[0, 1] from 0 has 6000000000 elements up to 5, but the storage has 6",
  });
});

test("load() repeats what expand() repeats, up to a million elements", async () => {
  const view = { key: "0", elements: 6, strides: [0], offset: 5 };
  const expanded = await loadRoot({ ...view, shape: [100] }, FLOATS);
  expect(expanded.data).toEqual(new Float32Array(100).fill(5));
  expect((await refuseTensor({ ...view, shape: [2 ** 20 + 1] })).message).toEndWith(
    "has 1048577 elements up to 5, but the storage has 6",
  );
  expect((await refuseTensor({ ...view, shape: [9], strides: [1], offset: 0 })).message).toEndWith(
    "has 9 elements up to 8, but the storage has 6",
  );
});

test("readTorch() refuses views that leave their storage", async () => {
  const failures = await Promise.all([
    refuseTensor({ shape: [6], offset: 1, elements: 6 }),
    refuseTensor({ shape: [2], strides: [2 ** 52], elements: 6 }),
    refuseTensor({ shape: [2], strides: [-1], offset: 1, elements: 6 }),
    refuseTensor({ shape: [2, 2], strides: [1], elements: 6 }),
    refuseTensor({ shape: Array.from({ length: 65 }, () => 1) }),
    refuseTensor({ shape: [1], offset: 2 ** 60, elements: 6 }),
  ]);
  const at = 'entry "archive/data.pkl": tensor of storage "0": ';
  const sizes = `${at}offset, shape and strides are not sizes of one rank`;
  expect(failures.map(({ message }) => message)).toEqual([
    `${at}shape [6] with strides [1] from 1 has 6 elements up to 6, but the storage has 6`,
    `${at}shape [2] with strides [4503599627370496] from 0 has 2 elements up to 4503599627370496, but the storage has 6`,
    sizes,
    sizes,
    sizes,
    sizes,
  ]);
});

test("readTorch() refuses a persistent id that is no storage", async () => {
  const ids: Code[] = [persistent(text("module"), text("x")), persistent(), [...text("x"), 0x51]];
  const failures = await Promise.all(ids.map((id) => refusal(writeTorch(id, {}))));
  const message = 'entry "archive/data.pkl": a persistent id is not that of a storage';
  expect(failures).toEqual(ids.map(() => ({ code: "MALFORMED", message })));
});

test("readTorch() refuses a flipped bit in a storage when that is read", async () => {
  const bytes = writeTorch(tensorCode({ key: "0", shape: [6] }), { "0": bytesOf(FLOATS) });
  const at = Buffer.from(bytes).indexOf(Buffer.from(bytesOf(FLOATS)));
  bytes[at] = 1;
  const file = await open(bytes);
  expect(await failureOf(() => file.load(file.root as TorchTensor))).toEqual({
    code: "MALFORMED",
    message: expect.stringContaining("has checksum") as unknown as string,
  });
});

describe("readTorch() names the containers it does not read", () => {
  const tree = writeTorch(list(), {});
  const legacy = Buffer.from("80028a0a6cfc9c46f9206aa850192e", "hex");
  const tar = Buffer.alloc(1024);
  tar.write("ustar", 257);
  const need = "need what torch.save writes";
  const CASES: readonly (readonly [string, Uint8Array, string])[] = [
    ["tar", tar, `it is a tar archive, ${need}`],
    [
      "SB3",
      writeZip({ data: legacy, "policy.pth": tree }),
      `it is a Stable-Baselines3 archive, ${need}`,
    ],
    [
      "TorchScript",
      writeTorch(list(), {}, { "archive/constants.pkl": tree }),
      `it is a TorchScript archive, ${need}`,
    ],
    [
      "TorchScript code",
      writeTorch(list(), {}, { "archive/code/m.py": tree }),
      `it is a TorchScript archive, ${need}`,
    ],
  ];
  for (const [name, bytes, message] of CASES) {
    test(name, async () => expect(await refusal(bytes)).toEqual({ code: "UNSUPPORTED", message }));
  }
});

test("readTorch() says what a file that is no checkpoint is", async () => {
  const failures = await Promise.all([
    refusal(Buffer.alloc(0)),
    refusal(Buffer.from("obs_dim: 45\n")),
    refusal(pickle(list(), 4)),
    refusal(writeZip({ "a.npy": Buffer.alloc(1) })),
    refusal(writeTorch(list(), {}, { "other/data.pkl": Buffer.alloc(1) })),
  ]);
  expect(failures).toEqual([
    { code: "MALFORMED", message: "it is empty, need a torch checkpoint (a zip archive)" },
    {
      code: "MALFORMED",
      message: 'it begins with "obs_dim: 45\\n", need a torch checkpoint (a zip archive)',
    },
    {
      code: "UNSUPPORTED",
      message:
        "it is a plain pickle, need what torch.save writes; lite3rl inspect lists what is in it",
    },
    {
      code: "MALFORMED",
      message: 'there is "a.npy", need one <name>/data.pkl of a torch checkpoint',
    },
    {
      code: "MALFORMED",
      message:
        'there are "archive/data.pkl", "other/data.pkl", need one <name>/data.pkl of a torch checkpoint',
    },
  ]);
});

test("readTorch() gives a tree or FormatError for any damaged checkpoint", async () => {
  const root = list(tensorCode({ key: "0", shape: [3, 2], strides: [1, 3] }), tuple(int(1)));
  const storage = { "archive/data/0": bytesOf(FLOATS) };
  await fuzzDecoder(writeTorch(root, { "0": bytesOf(FLOATS) }), loadAll, { cases: 1000 });
  // Behind a checksum that is right, so that the damage reaches the tree.
  const loadTree = (tree: Uint8Array) =>
    loadAll(writeZip({ "archive/data.pkl": tree, ...storage }));
  await fuzzDecoder(pickle(root), loadTree, { cases: 2000, seed: 2 });
});

const DEMO = join(import.meta.dir, "../../fixtures/demo_policy");

describe("readTorch() on files that torch wrote", () => {
  test("the two layouts of the demo policy hold the same actor", async () => {
    using plain = openFile(join(DEMO, "policy.pt"));
    using runner = openFile(join(DEMO, "policy_rsl_rl.pt"));
    const files = [await readTorch(plain), await readTorch(runner)];
    const dicts = files.map(
      ({ root }) => root as ReadonlyMap<string, ReadonlyMap<string, TorchTensor>>,
    );
    const actor = dicts[0]?.get("state_dict");
    const mlp = dicts[1]?.get("actor_state_dict");
    for (const name of ["0.weight", "0.bias", "2.weight", "4.bias", "6.weight", "6.bias"]) {
      const [a, b] = [actor?.get(`actor.${name}`), mlp?.get(`mlp.${name}`)];
      expect(files[0]?.load(a as TorchTensor)).toEqual(files[1]?.load(b as TorchTensor) as never);
    }
  });

  test("the observation mean of the checkpoint is that of obs_stats.npz", async () => {
    using checkpoint = openFile(join(DEMO, "policy_rsl_rl.pt"));
    using stats = openFile(join(DEMO, "obs_stats.npz"));
    const file = await readTorch(checkpoint);
    const root = file.root as ReadonlyMap<string, ReadonlyMap<string, TorchTensor>>;
    const mean = root.get("actor_state_dict")?.get("obs_normalizer._mean");
    const expected = (await readNpz(stats)).get("mean");
    expect(file.load(mean as TorchTensor).data).toEqual(
      expected?.data as Float32Array<ArrayBuffer>,
    );
  });
});
