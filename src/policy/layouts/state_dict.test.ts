import { describe, expect, test } from "bun:test";
import { refusalOf } from "../../base/refusal_fixture.ts";
import {
  bool,
  call,
  type Code,
  dict,
  global,
  int,
  NONE,
  persistent,
  text,
  tuple,
} from "../../formats/pickle_fixture.ts";
import { tensorCode, writeTorch } from "../../formats/torch_fixture.ts";
import { linear } from "../policy_fixture.ts";
import { readPlanned, unsupported } from "./layout_fixture.ts";

describe("readTensor() refuses", () => {
  test("weights that are whole numbers, naming key and type", async () => {
    const types = ["LongStorage", "IntStorage", "CharStorage", "BoolStorage"];
    const bytes = new Uint8Array(16);
    const refusals = types.map((storage) => {
      const weight = { key: "0", shape: [1, 2], storage };
      const tree = dict({
        "actor.0.weight": tensorCode(weight),
        "actor.0.bias": tensorCode({ key: "1", shape: [1] }),
      });
      const size = { LongStorage: 16, IntStorage: 8, CharStorage: 2, BoolStorage: 2 }[storage];
      return refusalOf(() =>
        readPlanned(writeTorch(tree, { "0": bytes.slice(0, size), "1": bytes.slice(0, 4) })),
      );
    });
    expect(await Promise.all(refusals)).toEqual(
      ["int64", "int32", "int8", "bool"].map((dtype) =>
        unsupported(
          `"actor.0.weight" holds ${dtype}, need a tensor of float16, bfloat16, float32, float64`,
        ),
      ),
    );
  });

  const pid = (type: string) =>
    persistent(text("storage"), global("torch", type), text("0"), text("cpu"), int(2));
  const sizes = [int(0), tuple(int(1), int(2)), tuple(int(2), int(1)), bool(false), NONE];
  const unreadable: readonly [what: string, tensor: Code, dtype: string][] = [
    [
      "complex numbers",
      call(global("torch._utils", "_rebuild_tensor_v2"), pid("ComplexFloatStorage"), ...sizes),
      "torch.ComplexFloatStorage",
    ],
    [
      "float8",
      call(
        global("torch._utils", "_rebuild_tensor_v3"),
        persistent(
          text("storage"),
          global("torch.storage", "UntypedStorage"),
          text("0"),
          text("cpu"),
          int(2),
        ),
        ...sizes,
        global("torch", "float8_e4m3fn"),
      ),
      "torch.float8_e4m3fn",
    ],
    [
      "a sparse layout",
      call(
        global("torch._utils", "_rebuild_sparse_tensor"),
        call(global("torch.serialization", "_get_layout"), text("torch.sparse_coo")),
        tuple(tensorCode({ key: "1", shape: [1] })),
      ),
      "torch._utils._rebuild_sparse_tensor",
    ],
    [
      "quantized numbers in a Parameter",
      call(
        global("torch._utils", "_rebuild_parameter"),
        call(global("torch._utils", "_rebuild_qtensor"), pid("QInt8Storage"), ...sizes),
        bool(true),
        NONE,
      ),
      "torch._utils._rebuild_qtensor",
    ],
  ];
  for (const [what, tensor, dtype] of unreadable) {
    test(`a weight of ${what}, naming key and type`, async () => {
      const bias = tensorCode({ key: "1", shape: [1] });
      const tree = dict({ "actor.0.weight": tensor, "actor.0.bias": bias });
      const bytes = writeTorch(tree, { "1": new Uint8Array(4) });
      expect(await refusalOf(() => readPlanned(bytes))).toEqual(
        unsupported(
          `"actor.0.weight" holds ${dtype}, need a tensor of float16, bfloat16, float32, float64`,
        ),
      );
    });

    test(`nothing where ${what} are the critic's`, async () => {
      const tree = dict({
        "actor.0.weight": tensorCode({ key: "0", shape: [1, 2] }),
        "critic.0.weight": tensor,
      });
      const bytes = writeTorch(tree, { "0": new Uint8Array(8), "1": new Uint8Array(4) });
      expect((await readPlanned(bytes)).layers).toEqual([linear("actor.0", [[0, 0]], [0])]);
    });
  }
});
