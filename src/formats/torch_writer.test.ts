import { expect, test } from "bun:test";
import { memorySource } from "../base/files.ts";
import { type TorchTensor, readTorch } from "./torch.ts";
import { writeStateDict } from "./torch_writer.ts";
import { openZip } from "./zip.ts";

const TENSORS = {
  "actor.0.weight": { shape: [2, 3], values: Float32Array.of(1, -2, 3.5, 1e-40, -0, Infinity) },
  "actor.0.bias": { shape: [2], values: Float32Array.of(0.1, 65504) },
  scalar: { shape: [], values: Float32Array.of(7) },
  "größe/empty": { shape: [0, 4], values: new Float32Array(0) },
};

test("writeStateDict() writes what readTorch() reads back, bit for bit", async () => {
  using source = memorySource(writeStateDict(TENSORS));
  const { root, load } = await readTorch(source);
  const tensors = [...(root as Map<string, TorchTensor>)];
  const read = tensors.map(([name, tensor]) => {
    const { dtype, shape, data } = load(tensor);
    return [name, { dtype, shape, values: data }];
  });
  const written = Object.entries(TENSORS).map(([name, tensor]) => [
    name,
    { dtype: "float32" as const, ...tensor },
  ]);
  expect(read).toEqual(written);
});

test("writeStateDict() takes part of a larger buffer, and writes equal bytes again", async () => {
  const values = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
  const bytes = writeStateDict({ b: { shape: [2], values } });
  expect(writeStateDict({ b: { shape: [2], values: Float32Array.of(1, 2) } })).toEqual(bytes);
  using source = memorySource(bytes);
  const { entries } = await openZip(source);
  expect([...entries.values()].map(({ name, stored }) => [name, stored])).toEqual([
    ["archive/data.pkl", true],
    ["archive/byteorder", true],
    ["archive/data/0", true],
    ["archive/version", true],
  ]);
});

test("writeStateDict() refuses a shape that is not that of its values", () => {
  const tensor = { shape: [3], values: Float32Array.of(1, 2) };
  expect(() => writeStateDict({ "a.b": tensor })).toThrow("the shape of a.b is not");
});
