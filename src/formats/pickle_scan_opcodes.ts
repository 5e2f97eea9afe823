/**
 * All opcodes of pickle protocols 0 to 5 by their effect on stack and memo, for `listGlobals`.
 * Names, arguments and effects: CPython's Lib/pickletools.py.
 */

import type { PickleScanner } from "./pickle_scanner.ts";

interface ScanOpcode {
  readonly name: string;
  readonly run: (scanner: PickleScanner) => void;
}

const opcodes = new Map<number, ScanOpcode>();
export const SCAN_OPCODES: ReadonlyMap<number, ScanOpcode> = opcodes;

function add(code: string, name: string, run: ScanOpcode["run"]): void {
  opcodes.set(code.charCodeAt(0), { name, run });
}

/** Takes `pops` values and gives one. */
function replace(code: string, name: string, pops: number, run?: ScanOpcode["run"]): void {
  add(code, name, (s) => {
    for (let i = 0; i < pops; i++) s.pop();
    run?.(s);
    s.push();
  });
}

// Values without an argument, of fixed length, of a length that is said, of one line.
for (const [code, name] of Object.entries({
  N: "NONE",
  "\x88": "NEWTRUE",
  "\x89": "NEWFALSE",
  ")": "EMPTY_TUPLE",
  "]": "EMPTY_LIST",
  "}": "EMPTY_DICT",
  "\x8f": "EMPTY_SET",
  "\x97": "NEXT_BUFFER",
})) {
  replace(code, name, 0);
}
for (const [code, [name, length]] of Object.entries({
  J: ["BININT", 4],
  K: ["BININT1", 1],
  M: ["BININT2", 2],
  G: ["BINFLOAT", 8],
} as const)) {
  replace(code, name, 0, (s) => s.skip(length));
}
for (const [code, [name, size]] of Object.entries({
  "\x8a": ["LONG1", 1],
  "\x8b": ["LONG4", 4],
  U: ["SHORT_BINSTRING", 1],
  T: ["BINSTRING", 4],
  "\x8c": ["SHORT_BINUNICODE", 1],
  X: ["BINUNICODE", 4],
  "\x8d": ["BINUNICODE8", 8],
  C: ["SHORT_BINBYTES", 1],
  B: ["BINBYTES", 4],
  "\x8e": ["BINBYTES8", 8],
  "\x96": ["BYTEARRAY8", 8],
} as const)) {
  add(code, name, (s) => s.push(s.skip(s.readUint(size))));
}
for (const [code, name] of Object.entries({ I: "INT", L: "LONG", F: "FLOAT", P: "PERSID" })) {
  replace(code, name, 0, (s) => s.readLine());
}
add("S", "STRING", (s) => s.push(s.readQuoted()));
add("V", "UNICODE", (s) => s.push(s.readLine()));

// Containers.
add("(", "MARK", (s) => s.mark());
for (const [code, name] of Object.entries({
  t: "TUPLE",
  l: "LIST",
  d: "DICT",
  "\x91": "FROZENSET",
})) {
  replace(code, name, 0, (s) => s.popMark());
}
replace("\x85", "TUPLE1", 1);
replace("\x86", "TUPLE2", 2);
replace("\x87", "TUPLE3", 3);
add("a", "APPEND", (s) => s.pop());
add("s", "SETITEM", (s) => {
  s.pop();
  s.pop();
});
for (const [code, name] of Object.entries({ e: "APPENDS", u: "SETITEMS", "\x90": "ADDITEMS" })) {
  add(code, name, (s) => s.popMark());
}

// Objects.
add("c", "GLOBAL", (s) => s.push(s.global(s.readLine(), s.readLine())));
add("\x93", "STACK_GLOBAL", (s) => {
  const name = s.pop();
  s.push(s.global(s.pop(), name));
});
add("i", "INST", (s) => {
  s.called(s.global(s.readLine(), s.readLine()));
  s.popMark();
  s.push();
});
replace("o", "OBJ", 0, (s) => s.called(s.popMark()));
replace("R", "REDUCE", 1, (s) => s.called(s.pop()));
replace("\x81", "NEWOBJ", 1, (s) => s.called(s.pop()));
replace("\x92", "NEWOBJ_EX", 2, (s) => s.called(s.pop()));
add("b", "BUILD", (s) => s.pop());
replace("Q", "BINPERSID", 1);
for (const [code, [name, size]] of Object.entries({
  "\x82": ["EXT1", 1],
  "\x83": ["EXT2", 2],
  "\x84": ["EXT4", 4],
} as const)) {
  add(code, name, (s) => s.push(s.named(`copyreg extension ${s.readUint(size)}`)));
}

// Stack, memo and stream.
add("0", "POP", (s) => s.discard());
add("1", "POP_MARK", (s) => s.popMark());
add("2", "DUP", (s) => s.push(s.top()));
add("p", "PUT", (s) => s.remember(s.readIndex()));
add("q", "BINPUT", (s) => s.remember(s.readUint(1)));
add("r", "LONG_BINPUT", (s) => s.remember(s.readUint(4)));
add("\x94", "MEMOIZE", (s) => s.remember());
add("g", "GET", (s) => s.recall(s.readIndex()));
add("h", "BINGET", (s) => s.recall(s.readUint(1)));
add("j", "LONG_BINGET", (s) => s.recall(s.readUint(4)));
add("\x98", "READONLY_BUFFER", () => {});
add("\x95", "FRAME", (s) => s.readUint(8));
add("\x80", "PROTO", (s) => {
  s.protocol = s.readUint(1);
});
add(".", "STOP", (s) => {
  s.pop();
  s.stopped = true;
});
