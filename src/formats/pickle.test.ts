import { expect, test } from "bun:test";
import { FormatError } from "../base/errors.ts";
import { type Failure, failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { NO_HOOKS, type PickleHooks, parsePickle, readPickle } from "./pickle.ts";
import {
  type Code,
  NONE,
  bool,
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

const base64 = (value: string): Uint8Array => new Uint8Array(Buffer.from(value, "base64"));
const parse = (code: Code) => parsePickle(pickle(code), NO_HOOKS);
const refusal = (code: Code) => failureOf(() => parse(code));
const bytesOf = (value: string): Code => [...Buffer.from(value, "latin1")];

/**
 * CPython 3.11, `pickle.dumps(value, protocol)` of
 * {'ints': [1,-2,300,70000,2**40,2**70,-2**63], 'tuple': (1.5,True,False,None), 'empty': (),
 *  'nested': ((1,),(1,2),(1,2,3),(1,2,3,4)), 'ordered': OrderedDict([('k','é'),('long','z'*20)])}
 */
const BODY_2 =
  "fXEAKFgEAAAAaW50c3EBXXECKEsBSv7///9NLAFKcBEBAIoGAAAAAAABigkAAAAAAAAAAECKCAAAAAAAAACAZVgFAAAAdHVwbGVxAyhHP/gAAAAAAACIiU50cQRYBQAAAGVtcHR5cQUpWAYAAABuZXN0ZWRxBihLAYVxB0sBSwKGcQhLAUsCSwOHcQkoSwFLAksDSwR0cQp0cQtYBwAAAG9yZGVyZWRxDGNjb2xsZWN0aW9ucwpPcmRlcmVkRGljdApxDSlScQ4oWAEAAABrcQ9YAgAAAMOpcRBYBAAAAGxvbmdxEVgUAAAAenp6enp6enp6enp6enp6enp6enpxEnV1Lg==";
const BODY_4 =
  "ldkAAAAAAAAAfZQojARpbnRzlF2UKEsBSv7///9NLAFKcBEBAIoGAAAAAAABigkAAAAAAAAAAECKCAAAAAAAAACAZYwFdHVwbGWUKEc/+AAAAAAAAIiJTnSUjAVlbXB0eZQpjAZuZXN0ZWSUKEsBhZRLAUsChpRLAUsCSwOHlChLAUsCSwNLBHSUdJSMB29yZGVyZWSUjAtjb2xsZWN0aW9uc5SMC09yZGVyZWREaWN0lJOUKVKUKIwBa5SMAsOplIwEbG9uZ5SMFHp6enp6enp6enp6enp6enp6enp6lHV1Lg==";
const VALUE = new Map<string, unknown>([
  ["ints", [1, -2, 300, 70000, 2 ** 40, 2n ** 70n, -(2n ** 63n)]],
  ["tuple", [1.5, true, false, null]],
  ["empty", []],
  ["nested", [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]],
  [
    "ordered",
    new Map([
      ["k", "é"],
      ["long", "z".repeat(20)],
    ]),
  ],
]);

for (const protocol of [2, 3, 4, 5]) {
  test(`parsePickle() reads CPython's protocol ${protocol}`, () => {
    const body = base64(protocol < 4 ? BODY_2 : BODY_4);
    const bytes = Uint8Array.from([0x80, protocol, ...body]);
    expect<unknown>(parsePickle(bytes, NO_HOOKS)).toEqual(VALUE);
  });
}

test("parsePickle() reads CPython's sets and bytes", () => {
  const bytes = base64(
    "gAWVQAAAAAAAAAB9lCiMA3NldJSPlChLB5CMBmZyb3plbpQoSwORlIwFYnl0ZXOUQwIA/5SMBWFycmF5lJYCAAAAAAAAAGhplHUu",
  );
  expect<unknown>(parsePickle(bytes, NO_HOOKS)).toEqual(
    new Map<string, unknown>([
      ["set", new Set([7])],
      ["frozen", new Set([3])],
      ["bytes", Uint8Array.of(0, 255)],
      ["array", Uint8Array.from(Buffer.from("hi"))],
    ]),
  );
});

test("parsePickle() keeps CPython's instances as descriptions of themselves", () => {
  // [Kw(), L([1, 2]), D(a=1)]: __getnewargs_ex__ ((1,), {'k': 2}) with state {'s': 3}, a list
  // subclass, a dict subclass with its __dict__.
  const bytes = base64(
    "gASVUwAAAAAAAABdlCiMCF9fbWFpbl9flIwCS3eUk5RLAYWUfZSMAWuUSwJzkpR9lIwBc5RLA3NiaAGMAUyUk5QpgZQoSwFLAmVoAYwBRJSTlCmBlIwBYZRLAXNlLg==",
  );
  expect<unknown>(parsePickle(bytes, NO_HOOKS)).toEqual([
    {
      kind: "opaque",
      global: "__main__.Kw",
      args: [1],
      keywords: new Map([["k", 2]]),
      state: new Map([["s", 3]]),
    },
    { kind: "opaque", global: "__main__.L", args: [], elements: [1, 2] },
    { kind: "opaque", global: "__main__.D", args: [], items: [["a", 1]] },
  ]);
});

test("parsePickle() shares what the memo shares", () => {
  // [] is put into the memo and then twice into a list.
  const value = parse([...bytesOf("](]q\x05h\x05"), 0x65]) as readonly unknown[];
  expect(value).toEqual([[], []]);
  expect(value[0]).toBe(value[1]);
});

test("parsePickle() calls the hooks for what they know, and for nothing else", () => {
  const seen: unknown[] = [];
  const hooks: PickleHooks<{ readonly kind: "made"; readonly of: unknown }> = {
    persistentLoad: (id) => ({ kind: "made", of: id }),
    reduce(name, args) {
      seen.push([name, args]);
      return name === "a.known" ? { kind: "made", of: args } : undefined;
    },
  };
  const code = list(
    call(global("a", "known"), int(1)),
    call(global("a", "unknown"), int(2)),
    persistent(text("storage"), global("torch", "FloatStorage")),
  );
  expect<unknown>(parsePickle(pickle(code), hooks)).toEqual([
    { kind: "made", of: [1] },
    { kind: "opaque", global: "a.unknown", args: [2] },
    { kind: "made", of: ["storage", { kind: "global", name: "torch.FloatStorage" }] },
  ]);
  expect(seen).toEqual([
    ["a.known", [1]],
    ["a.unknown", [2]],
  ]);
});

test("parsePickle() does nothing for os.system", () => {
  const value = parse(call(global("os", "system"), text("exit 1")));
  expect<unknown>(value).toEqual({ kind: "opaque", global: "os.system", args: ["exit 1"] });
});

test("parsePickle() builds OrderedDict from nothing or pairs, and drops its attributes", () => {
  const ordered = global("collections", "OrderedDict");
  const pairs = call(ordered, list(tuple(text("a"), int(1))));
  expect<unknown>(parse(pairs)).toEqual(new Map([["a", 1]]));
  const withState = [...call(ordered), ...dict({ _metadata: NONE }), 0x62];
  expect<unknown>(parse(withState)).toEqual(new Map());
});

test("parsePickle() describes a call of what a call would give", () => {
  expect<unknown>(parse(call(call(global("m", "factory")), int(1)))).toEqual({
    kind: "opaque",
    global: "m.factory()",
    args: [1],
  });
  expect<unknown>(parse(call(call(call(global("m", "factory")))))).toMatchObject({
    global: "m.factory()",
  });
});

test("parsePickle() reads POP, POP_MARK and DUP", () => {
  expect<unknown>(parse(bytesOf("(K\x01K\x020K\x032(K\x091t"))).toEqual([1, 3, 3]);
  expect<unknown>(parse(bytesOf("K\x01(0"))).toBe(1);
});

test("readPickle() says how much it consumed; parsePickle() refuses what follows", async () => {
  const two = Uint8Array.from([...pickle(int(1)), ...pickle(int(2))]);
  expect(readPickle(two, NO_HOOKS)).toEqual({ value: 1, consumed: 8 });
  expect(await failureOf(() => parsePickle(two, NO_HOOKS))).toEqual({
    code: "MALFORMED",
    message: "pickle: STOP at byte 7 leaves 8 bytes, need none",
  });
});

test("parsePickle() refuses what is no pickle of protocols 2 to 5", async () => {
  const starts = ["", "I1\n.", "\x80\x01.", "\x80\x06N."];
  const failures = starts.map((start) =>
    failureOf(() => parsePickle(Buffer.from(start, "latin1"), NO_HOOKS)),
  );
  expect(await Promise.all(failures)).toEqual([
    { code: "MALFORMED", message: "pickle PROTO at byte 0: the pickle is empty" },
    { code: "MALFORMED", message: "pickle PROTO at byte 0: it begins with 0x49, need 0x80" },
    { code: "UNSUPPORTED", message: "pickle PROTO at byte 0: protocol 1, need 2 to 5" },
    { code: "UNSUPPORTED", message: "pickle PROTO at byte 0: protocol 6, need 2 to 5" },
  ]);
});

test("parsePickle() refuses a pickle that is cut off, at every length", async () => {
  const whole = base64(`gAWV${BODY_4.slice(4)}`);
  for (let length = 0; length < whole.length; length++) {
    const { code } = await failureOf(() => parsePickle(whole.subarray(0, length), NO_HOOKS));
    expect(code).toBe("MALFORMED");
  }
});

const HOSTILE: readonly (readonly [attack: string, code: string, problem: string])[] = [
  ["a stack underflow", "0", "POP at byte 2: the stack is empty"],
  ["a pop below the mark", "K\x01(\x85", "TUPLE1 at byte 5: the stack is empty"],
  ["a tuple without a mark", "K\x01t", "TUPLE at byte 4: there is no mark"],
  ["values left behind", "NN", "STOP at byte 4: 1 values are left on the stack"],
  ["a memo slot never set", "h\x07", "BINGET at byte 2: memo 7 was never set"],
  ["a byte that is no opcode", "\xff", "opcode at byte 2: 0xff is not an opcode"],
  [
    "a string longer than the file",
    "X\xff\xff\xff\x7fa",
    "BINUNICODE at byte 2: it needs 2147483647 bytes, but 2 are left",
  ],
  [
    "a frame longer than the file",
    "\x95\xff\xff\xff\xff\xff\xff\xff\xff",
    "FRAME at byte 2: it needs 18446744073709552000 bytes, but 1 are left",
  ],
  [
    "text that is not UTF-8",
    "X\x01\x00\x00\x00\xff",
    "BINUNICODE at byte 2: the text is not UTF-8",
  ],
  ["a global without an end", "cos", "GLOBAL at byte 2: the line has no end"],
  [
    "a global named by an int",
    "K\x01K\x02\x93",
    "STACK_GLOBAL at byte 6: a number and a number, need two strings",
  ],
  ["a call of a number", "K\x01)R", "REDUCE at byte 5: a call of a number, need a global"],
  [
    "arguments that are no tuple",
    "ca\nb\nNR",
    "REDUCE at byte 8: arguments are None, need a tuple",
  ],
  [
    "a tuple that is appended to",
    ")Na",
    "APPEND at byte 4: items for a list or tuple, need a list",
  ],
  ["pairs for a list", "]NNs", "SETITEM at byte 5: pairs for a list or tuple, need a dict"],
  ["a key without a value", "}(Nu", "SETITEMS at byte 5: a key has no value"],
  ["items for a dict", "}(N\x90", "ADDITEMS at byte 5: items for a dict, need a set"],
  ["a state for a list", "]Nb", "BUILD at byte 4: a state for a list or tuple, need an object"],
  [
    "an OrderedDict of numbers",
    "ccollections\nOrderedDict\n](K\x01e\x85R",
    "REDUCE at byte 33: an OrderedDict of something else than pairs",
  ],
  ["a persistent id where there are none", "NQ", ""],
];

for (const [attack, code, problem] of HOSTILE) {
  test(`parsePickle() refuses ${attack}`, async () => {
    const message =
      problem === "" ? "a persistent id, need a pickle of plain data" : `pickle ${problem}`;
    expect(await refusal(bytesOf(code))).toEqual({ code: "MALFORMED", message });
  });
}

test("parsePickle() refuses opcodes of protocol 0, of registries and of buffers", async () => {
  const failures = await Promise.all(["I1\n", "\x82\x01", "\x97"].map((c) => refusal(bytesOf(c))));
  expect(failures).toEqual([
    {
      code: "UNSUPPORTED",
      message: "pickle INT at byte 2: it belongs to protocols 0 and 1, need 2 to 5",
    },
    {
      code: "UNSUPPORTED",
      message: "pickle EXT1 at byte 2: the copyreg extension registry is not in the file",
    },
    {
      code: "UNSUPPORTED",
      message: "pickle NEXT_BUFFER at byte 2: out-of-band buffers are not in the file",
    },
  ]);
});

test("parsePickle() refuses an int of a million digits", async () => {
  expect(await refusal([0x8b, 0, 0, 16, 0, ...Array.from({ length: 1 << 20 }, () => 1)])).toEqual({
    code: "TOO_LARGE",
    message: "pickle LONG4 at byte 2: an int of 1048576 bytes, at most 1024",
  });
});

test("parsePickle() refuses a list that contains itself", async () => {
  expect(await refusal(bytesOf("]q\x00h\x00a"))).toEqual({
    code: "MALFORMED",
    message: "pickle: a container contains itself",
  });
});

test("parsePickle() refuses an object whose state contains it", async () => {
  expect(await refusal(bytesOf("ca\nb\n)Rq\x00}K\x01h\x00sb"))).toEqual({
    code: "MALFORMED",
    message: "pickle: a container contains itself",
  });
});

test("parsePickle() refuses containers nested too deep, and only those", async () => {
  const tooDeep: Failure = {
    code: "TOO_LARGE",
    message: "pickle: containers are nested deeper than 200",
  };
  const nested = [...bytesOf("]".repeat(100_000)), ...bytesOf("a".repeat(99_999))];
  expect(await refusal(nested)).toEqual(tooDeep);
  expect(await refusal(bytesOf(`N${"\x85".repeat(201)}`))).toEqual(tooDeep);
  expect(parse(bytesOf(`N${"\x85".repeat(200)}`))).toBeArray();
});

test("parsePickle() refuses depth that was added behind a shared list", async () => {
  // The outer list takes the inner one while it is flat; its depth comes afterwards.
  const inner = `]q\x00${"]".repeat(198)}${"a".repeat(198)}`;
  expect(await refusal(bytesOf(`(]]${inner}aat`))).toEqual({
    code: "TOO_LARGE",
    message: "pickle: containers are nested deeper than 200",
  });
});

test("parsePickle() refuses a laughing tree: 150 lists, each twice in the next", async () => {
  const layers = Array.from({ length: 150 }, () => "q\x00h\x00\x86").join("");
  expect(await refusal(bytesOf(`]${layers}`))).toEqual({
    code: "TOO_LARGE",
    message: "pickle: shared containers unfold to more than 1000000 values",
  });
});

test("parsePickle() refuses to copy one list of pairs a million times", async () => {
  const pairs = `]q\x00(${"))\x86".repeat(10_000)}e`;
  const calls = "ccollections\nOrderedDict\nh\x00\x85R0".repeat(1_000);
  expect(await refusal(bytesOf(`${pairs}${calls}`))).toMatchObject({ code: "TOO_LARGE" });
});

test("parsePickle() refuses more steps than its limit", async () => {
  const bytes = Uint8Array.from({ length: 4_000_100 }, () => 0x4e);
  bytes.set([0x80, 2]);
  expect(await failureOf(() => parsePickle(bytes, NO_HOOKS))).toMatchObject({ code: "TOO_LARGE" });
});

test("parsePickle() refuses a name that the memo repeats at length", async () => {
  const name = text("n".repeat(2_000));
  expect(await refusal([...text("m"), ...name, 0x93])).toEqual({
    code: "TOO_LARGE",
    message: "pickle STACK_GLOBAL at byte 2013: the name has more than 1000 characters",
  });
});

test("parsePickle() gives plain data or FormatError for any damaged pickle", async () => {
  const hooks: PickleHooks = {
    persistentLoad: (id) => id,
    reduce(name) {
      if (name === "a.refused") throw new FormatError("refused");
      return undefined;
    },
  };
  const code = list(
    dict({ a: int(1), b: tuple(bool(true), NONE, int(2 ** 40)) }),
    call(global("a", "refused")),
    call(global("collections", "OrderedDict"), list(tuple(text("k"), text("v")))),
    persistent(text("id")),
  );
  await fuzzDecoder(pickle(code), (bytes) => parsePickle(bytes, hooks), { cases: 3000 });
  const python = Uint8Array.from([0x80, 4, ...base64(BODY_4)]);
  await fuzzDecoder(python, (bytes) => parsePickle(bytes, hooks), { cases: 3000, seed: 2 });
});
