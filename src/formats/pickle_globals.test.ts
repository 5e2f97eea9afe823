import { expect, test } from "bun:test";
import { fuzzDecoder } from "./decoder_fixture.ts";
import { call, dict, global, list, pickle, text, tuple } from "./pickle_fixture.ts";
import { listGlobals } from "./pickle_globals.ts";

const latin1 = (code: string): Uint8Array => Buffer.from(code, "latin1");
const short = (value: string): string => `\x8c${String.fromCharCode(value.length)}${value}`;

test("listGlobals() lists what a pickle names, once, and whether it would be called", () => {
  const ordered = global("collections", "OrderedDict");
  const code = dict({ a: call(ordered), b: list(ordered, global("torch", "FloatStorage")) });
  expect(listGlobals(pickle(code))).toEqual({
    protocol: 2,
    globals: [
      { name: "collections.OrderedDict", offset: 10, opcode: "GLOBAL", isCalled: true },
      { name: "torch.FloatStorage", offset: 71, opcode: "GLOBAL", isCalled: false },
    ],
    opcodes: 16,
    consumed: 94,
  });
});

/** Each would run `os.system("id")`, `posix.system` or an `eval` in Python. */
const HOSTILE: readonly (readonly [string, string, readonly string[]])[] = [
  ["GLOBAL and REDUCE of protocol 0", "cos\nsystem\n(S'id'\ntR.", ["os.system"]],
  ["INST", "(S'id'\nios\nsystem\n.", ["os.system"]],
  ["OBJ", "(cos\nsystem\nU\x02ido.", ["os.system"]],
  ["NEWOBJ", "\x80\x02cos\nsystem\nU\x02id\x85\x81.", ["os.system"]],
  ["NEWOBJ_EX", "\x80\x04cos\nsystem\n)}\x92.", ["os.system"]],
  [
    "STACK_GLOBAL",
    `\x80\x04${short("os")}${short("system")}\x93${short("id")}\x85R.`,
    ["os.system"],
  ],
  [
    "STACK_GLOBAL with names from the memo",
    `\x80\x04${short("os")}\x940${short("system")}\x940h\x00h\x01\x93)R.`,
    ["os.system"],
  ],
  ["STACK_GLOBAL of old strings", "V\x6fs\np1\n0S'system'\np2\n0g1\ng2\n\x93)R.", ["os.system"]],
  ["a global that is duplicated before the call", "cos\nsystem\n2)R0)R.", ["os.system"]],
  ["a break right after the call", "\x80\x02cos\nsystem\n(U\x02idtR\xff", ["os.system"]],
  ["no STOP", "\x80\x02cos\nsystem\n(U\x02idtR", ["os.system"]],
  ["an extension registry code", "\x80\x02\x82\x07)R.", ["copyreg extension 7"]],
];

test.each(HOSTILE)("listGlobals() sees through %s", (_name, code, names) => {
  const { globals } = listGlobals(latin1(code));
  expect(globals.map(({ name, isCalled }) => [name, isCalled])).toEqual(
    names.map((name) => [name, true]),
  );
});

test("listGlobals() names what the pickle computes a question mark", () => {
  const bytes = latin1(`\x80\x04cos\ngetenv\n${short("A")}\x85R${short("system")}\x93.`);
  expect(listGlobals(bytes).globals.map(({ name }) => name)).toEqual(["os.getenv", "?"]);
});

test("listGlobals() says where a pickle breaks", () => {
  const problemOf = (code: string): string | undefined => listGlobals(latin1(code)).problem;
  expect(problemOf("")).toBe("pickle opcode at byte 0: it needs 1 bytes, but 0 are left");
  expect(problemOf("\x80\x02\xff")).toBe("pickle opcode at byte 2: 0xff is not an opcode");
  expect(problemOf("R")).toBe("pickle REDUCE at byte 0: the stack is empty");
  expect(problemOf("t")).toBe("pickle TUPLE at byte 0: there is no mark");
  expect(problemOf("h\x00")).toBe("pickle BINGET at byte 0: memo 0 was never set");
  expect(problemOf("cos")).toBe("pickle GLOBAL at byte 0: the line has no end");
  expect(problemOf("B\xff\xff\xff\xff")).toBe(
    "pickle BINBYTES at byte 0: it needs 4294967295 bytes, but 0 are left",
  );
});

test("listGlobals() is bounded in opcodes and names", () => {
  const opcodes = listGlobals(new Uint8Array(2_000_000).fill(0x28));
  expect(opcodes.problem).toBe("pickle opcode at byte 1000000: more than 1000000 opcodes");
  const names = Array.from({ length: 10_001 }, (_, i) => `ca\n${i}\n`).join("");
  const many = listGlobals(latin1(names));
  expect(many.globals.length).toBe(10_000);
  expect(many.problem).toContain("more than 10000 classes and functions");
});

test("listGlobals() never throws, whatever the bytes", () =>
  fuzzDecoder(
    pickle(dict({ a: call(global("os", "system"), text("id")), b: tuple(text("x")) })),
    listGlobals,
    { cases: 2_000 },
  ));
