/**
 * The opcodes of pickle protocols 2 to 5, named as in CPython's Lib/pickletools.py, and those that
 * are refused, each with the reason.
 */

import type { PickleMachine } from "./pickle_machine.ts";

type Opcode =
  | { readonly name: string; readonly run: (machine: PickleMachine) => void }
  | { readonly name: string; readonly run?: undefined; readonly refusal: string };

const OLD = "it belongs to protocols 0 and 1, need 2 to 5";
const REGISTRY = "the copyreg extension registry is not in the file";
const BUFFERS = "out-of-band buffers are not in the file";

export const OPCODES: ReadonlyMap<number, Opcode> = new Map([
  // Values
  run("N", "NONE", (m) => m.push(null)),
  run("\x88", "NEWTRUE", (m) => m.push(true)),
  run("\x89", "NEWFALSE", (m) => m.push(false)),
  run("J", "BININT", (m) => m.push(m.readI32())),
  run("K", "BININT1", (m) => m.push(m.readU8())),
  run("M", "BININT2", (m) => m.push(m.readU16())),
  run("\x8a", "LONG1", (m) => m.push(m.readInt(m.readU8()))),
  run("\x8b", "LONG4", (m) => m.push(m.readInt(m.readU32()))),
  run("G", "BINFLOAT", (m) => m.push(m.readF64())),
  run("U", "SHORT_BINSTRING", (m) => m.push(m.readText(m.readU8()))),
  run("T", "BINSTRING", (m) => m.push(m.readText(m.readU32()))),
  run("\x8c", "SHORT_BINUNICODE", (m) => m.push(m.readText(m.readU8()))),
  run("X", "BINUNICODE", (m) => m.push(m.readText(m.readU32()))),
  run("\x8d", "BINUNICODE8", (m) => m.push(m.readText(m.readLength8()))),
  run("C", "SHORT_BINBYTES", (m) => m.push(m.readBytes(m.readU8()).slice())),
  run("B", "BINBYTES", (m) => m.push(m.readBytes(m.readU32()).slice())),
  run("\x8e", "BINBYTES8", (m) => m.push(m.readBytes(m.readLength8()).slice())),
  run("\x96", "BYTEARRAY8", (m) => m.push(m.readBytes(m.readLength8()).slice())),
  // Containers
  run("(", "MARK", (m) => m.mark()),
  run(")", "EMPTY_TUPLE", (m) => m.tuple([])),
  run("\x85", "TUPLE1", (m) => m.tupleOf(1)),
  run("\x86", "TUPLE2", (m) => m.tupleOf(2)),
  run("\x87", "TUPLE3", (m) => m.tupleOf(3)),
  run("t", "TUPLE", (m) => m.tuple(m.popMark())),
  run("]", "EMPTY_LIST", (m) => m.push([])),
  run("a", "APPEND", (m) => m.append([m.pop()])),
  run("e", "APPENDS", (m) => m.append(m.popMark())),
  run("}", "EMPTY_DICT", (m) => m.push(new Map())),
  run("s", "SETITEM", (m) => m.setItems([m.pop(), m.pop()].reverse())),
  run("u", "SETITEMS", (m) => m.setItems(m.popMark())),
  run("\x8f", "EMPTY_SET", (m) => m.push(new Set())),
  run("\x90", "ADDITEMS", (m) => m.addItems(m.popMark())),
  run("\x91", "FROZENSET", (m) => m.push(new Set(m.popMark()))),
  // Objects
  run("c", "GLOBAL", (m) => m.global(m.readLine(), m.readLine())),
  run("\x93", "STACK_GLOBAL", (m) => {
    const name = m.pop();
    m.global(m.pop(), name);
  }),
  run("R", "REDUCE", (m) => m.reduce()),
  run("\x81", "NEWOBJ", (m) => m.reduce()),
  run("\x92", "NEWOBJ_EX", (m) => m.newObjectWithKeywords()),
  run("b", "BUILD", (m) => m.build()),
  run("Q", "BINPERSID", (m) => m.persistentId()),
  // Stack, memo and stream
  run("0", "POP", (m) => m.discard()),
  run("1", "POP_MARK", (m) => void m.popMark()),
  run("2", "DUP", (m) => m.push(m.top())),
  run("q", "BINPUT", (m) => m.remember(m.readU8())),
  run("r", "LONG_BINPUT", (m) => m.remember(m.readU32())),
  run("\x94", "MEMOIZE", (m) => m.remember()),
  run("h", "BINGET", (m) => m.recall(m.readU8())),
  run("j", "LONG_BINGET", (m) => m.recall(m.readU32())),
  run("\x80", "PROTO", (m) => m.checkProtocol(m.readU8())),
  run("\x95", "FRAME", (m) => m.readFrame()),
  run(".", "STOP", (m) => {
    m.stopped = true;
  }),
  // Refused
  refuse("\x82", "EXT1", REGISTRY),
  refuse("\x83", "EXT2", REGISTRY),
  refuse("\x84", "EXT4", REGISTRY),
  refuse("\x97", "NEXT_BUFFER", BUFFERS),
  refuse("\x98", "READONLY_BUFFER", BUFFERS),
  refuse("P", "PERSID", OLD),
  refuse("I", "INT", OLD),
  refuse("L", "LONG", OLD),
  refuse("F", "FLOAT", OLD),
  refuse("S", "STRING", OLD),
  refuse("V", "UNICODE", OLD),
  refuse("l", "LIST", OLD),
  refuse("d", "DICT", OLD),
  refuse("i", "INST", OLD),
  refuse("o", "OBJ", OLD),
  refuse("g", "GET", OLD),
  refuse("p", "PUT", OLD),
]);

function run(
  code: string,
  name: string,
  action: (machine: PickleMachine) => void,
): readonly [number, Opcode] {
  return [code.charCodeAt(0), { name, run: action }];
}

function refuse(code: string, name: string, refusal: string): readonly [number, Opcode] {
  return [code.charCodeAt(0), { name, refusal }];
}
