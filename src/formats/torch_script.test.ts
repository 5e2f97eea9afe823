import { expect, test } from "bun:test";
import { memorySource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { dict, int, list, text } from "./pickle_fixture.ts";
import { isTorchScriptArchive, readTorchScript, type TorchScriptFile } from "./torch_script.ts";
import { findDefinitions, parseMethod } from "./torch_script_code.ts";
import { tensorList, writeTorchScript } from "./torch_script_fixture.ts";
import { type TorchTensor, readTorch } from "./torch.ts";
import { writeTorch } from "./torch_fixture.ts";
import { writeStateDict } from "./torch_writer.ts";
import { openZip } from "./zip.ts";

const WEIGHT = { shape: [1, 2], values: Float32Array.of(1, 2) };
const LINEAR = `class Linear(Module):
  __parameters__ = ["weight", ]
  weight : Tensor
  def forward(self: __torch__.torch.nn.modules.linear.Linear,
    input: Tensor) -> Tensor:
    weight = self.weight
    return torch.linear(input, weight, None)
  def extra_repr(self: __torch__.torch.nn.modules.linear.Linear) -> str:
    for i in range(3):
      pass
    return "x"
def relu(input: Tensor, inplace: bool=False) -> Tensor:
  return torch.relu(input)
`;
const ARCHIVE = {
  module: {
    className: "Policy",
    attributes: {
      linear: { className: "torch.nn.modules.linear.Linear", attributes: { weight: WEIGHT } },
      sizes: tensorList(list(int(1), int(2))),
      name: text("policy"),
    },
  },
  code: {
    "": "class Policy(Module):\n  def forward(self: X,\n    x: Tensor) -> Tensor:\n    return x\n",
    "torch/nn/modules/linear.py": LINEAR,
  },
  constants: [{ shape: [], values: Float32Array.of(0.5) }],
};

async function open(bytes: Uint8Array): Promise<TorchScriptFile> {
  return readTorchScript(await openZip(memorySource(bytes)));
}

test("readTorchScript() gives modules, constants and methods, and runs nothing", async () => {
  const file = await open(writeTorchScript(ARCHIVE));
  const { module, constants } = file;
  const keys = ["training", "linear", "sizes", "name"];
  expect([module.className, ...module.attributes.keys()]).toEqual(["__torch__.Policy", ...keys]);
  expect(module.attributes.get("sizes")).toEqual([1, 2]);
  expect(constants.map((tensor) => file.load(tensor as TorchTensor).data)).toEqual([
    Float32Array.of(0.5),
  ]);
  expect(file.method("__torch__.Policy.forward")).toEqual({
    file: "code/__torch__.py",
    parameters: [{ name: "self" }, { name: "x" }],
    body: [{ kind: "return", value: { kind: "name", name: "x" } }],
  });
  const name = "__torch__.torch.nn.modules.linear";
  expect(file.method(`${name}.Linear.forward`)?.body).toHaveLength(2);
  expect(file.method(`${name}.relu`)?.parameters).toEqual([
    { name: "input" },
    { name: "inplace", value: { kind: "literal", value: false } },
  ]);
  expect(file.method(`${name}.gelu`)).toBeUndefined();
  expect(file.method(`${name}.Linear`)).toBeUndefined();
});

test("readTorchScript() reads constants and data of the same key apart", async () => {
  const file = await open(writeTorchScript(ARCHIVE));
  const linear = file.module.attributes.get("linear") as unknown as {
    state: ReadonlyMap<string, TorchTensor>;
  };
  expect(file.load(linear.state.get("weight") as TorchTensor).data).toEqual(WEIGHT.values);
  expect(file.load(file.constants[0] as TorchTensor).data).toEqual(Float32Array.of(0.5));
});

test("isTorchScriptArchive() tells it from a checkpoint and from any other zip", async () => {
  const archives = [
    writeTorchScript(ARCHIVE),
    writeStateDict({ weight: WEIGHT }),
    writeTorch(list(), {}, { "archive/code/m.py": Buffer.from("") }),
  ];
  const found = await Promise.all(
    archives.map(async (bytes) => isTorchScriptArchive(await openZip(memorySource(bytes)))),
  );
  expect(found).toEqual([true, false, true]);
});

test("method() refuses code that is not understood, by line, when it is asked for", async () => {
  const file = await open(writeTorchScript(ARCHIVE));
  const linear = "__torch__.torch.nn.modules.linear.Linear";
  expect(await failureOf(() => file.method(`${linear}.extra_repr`))).toEqual({
    code: "UNSUPPORTED",
    message:
      'code/__torch__/torch/nn/modules/linear.py, line 9: "for" is not understood here, need a ' +
      "method without it",
  });
});

test("readTorchScript() refuses a tree that is no module, and code there twice", async () => {
  const tree = writeTorch(dict({ a: int(1) }), {}, { "archive/code/m.py": Buffer.from("") });
  expect((await failureOf(() => open(tree))).message).toBe(
    'entry "archive/data.pkl" is no module of TorchScript',
  );
  const code = { "": `${ARCHIVE.code[""]}${ARCHIVE.code[""]}` };
  const file = await open(writeTorchScript({ ...ARCHIVE, code }));
  expect((await failureOf(() => file.method("__torch__.Policy.forward"))).message).toBe(
    'entry "policy_1/code/__torch__.py", line 6: "Policy.forward" is there twice',
  );
});

test("method() refuses more code than a policy has", async () => {
  const code = { "": `${ARCHIVE.code[""]}# ${"x".repeat(LIMITS.codeBytes)}` };
  const file = await open(writeTorchScript({ ...ARCHIVE, code }));
  expect((await failureOf(() => file.method("__torch__.Policy.forward"))).code).toBe("TOO_LARGE");
});

test("readTorch() refers a TorchScript archive to its own reader", async () => {
  const source = memorySource(writeTorchScript(ARCHIVE));
  expect((await failureOf(() => readTorch(source))).code).toBe("UNSUPPORTED");
});

function parse(body: string) {
  const source = `def f(x: Tensor) -> Tensor:\n  ${body.replaceAll("\n", "\n  ")}\n`;
  const [definition] = findDefinitions(source);
  return parseMethod("m.py", definition as NonNullable<typeof definition>).body;
}

const name = (word: string) => ({ kind: "name", name: word }) as const;
const literal = (value: number | string | boolean | null) => ({ kind: "literal", value }) as const;

test("parseMethod() reads the forms that torch prints", () => {
  const call = { kind: "call", callee: name("f"), keywords: new Map(), line: 2 } as const;
  const assign = { kind: "assign", targets: ["a"], unpack: false, line: 2 } as const;
  const cases: readonly (readonly [string, unknown])[] = [
    ["a = f(x, )", { ...assign, value: { ...call, args: [name("x")] } }],
    ["a : Optional[Tensor] = x", { ...assign, value: name("x") }],
    ["a, b, = x", { ...assign, targets: ["a", "b"], unpack: true, value: name("x") }],
    [
      "a, b = x, None",
      {
        ...assign,
        targets: ["a", "b"],
        unpack: true,
        value: { kind: "sequence", items: [name("x"), literal(null)] },
      },
    ],
    [
      'return getattr(self, "0")',
      {
        kind: "return",
        value: { ...call, callee: name("getattr"), args: [name("self"), literal("0")] },
      },
    ],
    [
      "return f(-1., 1e-05, alpha=1)",
      {
        kind: "return",
        value: {
          ...call,
          args: [literal(-1), literal(1e-5)],
          keywords: new Map([["alpha", literal(1)]]),
        },
      },
    ],
    [
      "return ((x)[0]).a",
      {
        kind: "return",
        value: {
          kind: "attribute",
          object: { kind: "item", object: name("x"), index: literal(0) },
          name: "a",
        },
      },
    ],
    [
      "if x:\n  pass\nelse:\n  f([])",
      {
        kind: "if",
        test: name("x"),
        body: [{ kind: "pass" }],
        otherwise: [
          {
            kind: "expression",
            value: { ...call, args: [{ kind: "sequence", items: [] }], line: 5 },
          },
        ],
        line: 2,
      },
    ],
  ];
  for (const [source, expected] of cases) expect<unknown>(parse(source)).toEqual([expected]);
});

test("parseMethod() refuses what no policy needs", async () => {
  const refused = [
    "self.x = y",
    "a = x + 1",
    "while x:\n  pass",
    "a = {1: 2}",
    "return `x`",
    "a =",
  ];
  const failures = await Promise.all(refused.map((source) => failureOf(() => parse(source))));
  expect(failures.map(({ message }) => message)).toEqual([
    'm.py, line 2: "self" is not understood here, need an assignment to a name',
    'm.py, line 2: "+ 1" is not understood',
    'm.py, line 2: "while" is not understood here, need a method without it',
    'm.py, line 2: "{1: 2}" is not understood',
    'm.py, line 2: "`x`" is not understood',
    'm.py, line 2: newline is not understood here, need "("',
  ]);
});

test("parseMethod() refuses brackets and blocks that are nested too deep", async () => {
  const brackets = "(".repeat(100_000);
  expect((await failureOf(() => parse(`return ${brackets}`))).code).toBe("TOO_LARGE");
  const blocks = Array.from({ length: 200 }, (_, i) => `${"  ".repeat(i)}if x:`).join("\n");
  expect((await failureOf(() => parse(blocks))).code).toBe("TOO_LARGE");
});

test("readTorchScript() gives modules or FormatError for any damaged archive", async () => {
  const readAll = async (bytes: Uint8Array): Promise<void> => {
    const file = await open(bytes);
    file.method(`${file.module.className}.forward`);
    for (const tensor of file.constants) {
      if ((tensor as { kind?: string } | null)?.kind === "tensor") file.load(tensor as TorchTensor);
    }
  };
  await fuzzDecoder(writeTorchScript(ARCHIVE), readAll, { cases: 1000 });
  // Behind a checksum that is right, so that the damage reaches the code.
  const withCode = (code: Uint8Array) =>
    readAll(writeTorchScript({ ...ARCHIVE, code: { "": Buffer.from(code).toString("latin1") } }));
  const forward = `${ARCHIVE.code[""]}    if torch.dim(x):\n      a, b = f([1., "x"], k=-1)\n`;
  await fuzzDecoder(Buffer.from(forward), withCode, { cases: 2000, seed: 2 });
});

test("parseMethod() reads a text as long as the code may be", () => {
  const long = "x".repeat(LIMITS.codeBytes);
  expect<unknown>(parse(`return "${long}"`)).toEqual([{ kind: "return", value: literal(long) }]);
});
