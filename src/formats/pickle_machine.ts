/**
 * The pickle stack machine: its bytes, stack, marks and memo, and what its opcodes mean for data.
 * `pickle_opcodes.ts` maps each opcode to these operations.
 */

import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import {
  type AnyValue,
  type Opaque,
  type PickleGlobal,
  type PickleLeaf,
  describeValue,
  isGlobal,
  isOpaque,
  kindOf,
} from "./pickle_value.ts";

type Pair = readonly [AnyValue, AnyValue];
type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** `PickleHooks` whatever the leaves are. */
interface AnyHooks {
  persistentLoad(id: AnyValue): AnyValue;
  reduce(global: string, args: readonly AnyValue[]): AnyValue | undefined;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class PickleMachine {
  /** Of the next byte to read. */
  offset = 0;
  /** Name of the opcode being run, for messages. */
  opcode = "PROTO";
  stopped = false;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #hooks: AnyHooks;
  readonly #stack: AnyValue[] = [];
  /** Stack heights at which a MARK was set. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, AnyValue>();
  #opcodeOffset = 0;
  #work = 0;

  constructor(bytes: Uint8Array, hooks: AnyHooks) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#hooks = hooks;
  }

  fail(problem: string, code: "MALFORMED" | "TOO_LARGE" | "UNSUPPORTED" = "MALFORMED"): never {
    throw new FormatError(`pickle ${this.opcode} at byte ${this.#opcodeOffset}: ${problem}`, code);
  }

  // ── bytes ──────────────────────────────────────────────────────────────────────────────────

  /** A pickle of protocol 2 or later says so first; older ones are another language. */
  readProtocol(): void {
    if (this.#bytes.length > LIMITS.pickleBytes) {
      const { length } = this.#bytes;
      this.fail(`${length} bytes, at most ${LIMITS.pickleBytes} are taken`, "TOO_LARGE");
    }
    if (this.#bytes.length === 0) this.fail("the pickle is empty");
    const magic = this.readU8();
    if (magic !== 0x80) this.fail(`it begins with 0x${magic.toString(16)}, need 0x80`);
    this.checkProtocol(this.readU8());
  }

  checkProtocol(version: number): void {
    if (version < 2 || version > 5) this.fail(`protocol ${version}, need 2 to 5`, "UNSUPPORTED");
  }

  readOpcode(): number {
    this.#opcodeOffset = this.offset;
    this.opcode = "opcode";
    this.spend(1);
    return this.readU8();
  }

  /** Counts work, so that a few opcodes cannot loop over much. */
  spend(steps: number): void {
    this.#work += steps;
    if (this.#work > LIMITS.pickleOpcodes) {
      this.fail(`more than ${LIMITS.pickleOpcodes} steps`, "TOO_LARGE");
    }
  }

  /** The next `length` bytes, borrowed. */
  readBytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, this.offset);
  }

  readU8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  readU16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  readI32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  readU32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  /** An 8-byte length; an unsafe one is more than any file has, which the next read says. */
  readLength8(): number {
    return Number(this.#view.getBigUint64(this.#advance(8), true));
  }

  readF64(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  readText(length: number): string {
    return this.#decode(this.readBytes(length));
  }

  readLine(): string {
    const end = this.#bytes.indexOf(10, this.offset);
    if (end < 0) this.fail("the line has no end");
    const text = this.#decode(this.readBytes(end - this.offset));
    this.offset++;
    return text;
  }

  /** A frame's bytes must be there; its borders mean nothing more. */
  readFrame(): void {
    const length = this.readLength8();
    this.#advance(length);
    this.offset -= length;
  }

  /** Two's complement, little endian, of any length. */
  readInt(length: number): number | bigint {
    if (length > LIMITS.pickleIntBytes) {
      this.fail(`an int of ${length} bytes, at most ${LIMITS.pickleIntBytes}`, "TOO_LARGE");
    }
    const hex = Buffer.from(this.readBytes(length)).reverse().toString("hex");
    const value = BigInt.asIntN(length * 8, BigInt(`0x0${hex}`));
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #advance(length: number): number {
    const start = this.offset;
    const left = this.#bytes.length - start;
    if (length > left) this.fail(`it needs ${length} bytes, but ${left} are left`);
    this.offset += length;
    return start;
  }

  #decode(bytes: Uint8Array): string {
    try {
      return UTF8.decode(bytes);
    } catch {
      return this.fail("the text is not UTF-8");
    }
  }

  // ── stack and memo ─────────────────────────────────────────────────────────────────────────

  push(value: AnyValue): void {
    this.#stack.push(value);
  }

  pop(): AnyValue {
    const value = this.top();
    this.#stack.pop();
    return value;
  }

  top(): AnyValue {
    const floor = this.#marks.at(-1) ?? 0;
    if (this.#stack.length <= floor) this.fail("the stack is empty");
    return this.#stack.at(-1) as AnyValue;
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** Everything above the last mark, taken off. */
  popMark(): AnyValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) this.fail("there is no mark");
    return this.#stack.splice(mark);
  }

  /** POP takes a value, or else the mark. */
  discard(): void {
    if (this.#stack.length === this.#marks.at(-1)) this.#marks.pop();
    else this.pop();
  }

  remember(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.fail(`memo ${index} was never set`);
    this.push(value);
  }

  result(): AnyValue {
    const value = this.pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) {
      this.fail(`${this.#stack.length} values are left on the stack`);
    }
    return value;
  }

  // ── meaning ────────────────────────────────────────────────────────────────────────────────

  /** Frozen, which also tells a tuple from a list: APPENDS must not reach it. */
  tuple(items: AnyValue[]): void {
    this.push(Object.freeze(items));
  }

  tupleOf(count: number): void {
    const items: AnyValue[] = [];
    while (items.length < count) items.unshift(this.pop());
    this.tuple(items);
  }

  global(module: AnyValue, name: AnyValue): void {
    if (typeof module !== "string" || typeof name !== "string") {
      return this.fail(`${describeValue(module)} and ${describeValue(name)}, need two strings`);
    }
    if (module.length + name.length > LIMITS.pickleNameLength) {
      this.fail(`the name has more than ${LIMITS.pickleNameLength} characters`, "TOO_LARGE");
    }
    this.push({ kind: "global", name: `${module}.${name}` });
  }

  persistentId(): void {
    this.push(this.#hooks.persistentLoad(this.pop()));
  }

  /** REDUCE and NEWOBJ: the call is looked up, never made. */
  reduce(): void {
    const args = this.#popArray();
    const callable = this.#popCallable();
    const made =
      callable.kind === "opaque"
        ? undefined
        : (this.#builtin(callable.name, args) ?? this.#hooks.reduce(callable.name, args));
    this.push(made ?? { kind: "opaque", global: globalOf(callable), args });
  }

  newObjectWithKeywords(): void {
    const keywords = this.pop();
    if (!(keywords instanceof Map)) {
      return this.fail(`keywords are ${describeValue(keywords)}, need a dict`);
    }
    if (keywords.size === 0) return this.reduce();
    const args = this.#popArray();
    this.push({ kind: "opaque", global: globalOf(this.#popCallable()), args, keywords });
  }

  /** BUILD: the state of an opaque object is kept; attributes of data and of leaves are dropped. */
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (isOpaque(target)) (target as Writable<Opaque<PickleLeaf>>).state = state;
    else if (!(target instanceof Map) && (kindOf(target) === undefined || isGlobal(target))) {
      this.fail(`a state for ${describeValue(target)}, need an object`);
    }
  }

  append(items: readonly AnyValue[]): void {
    const target = this.top();
    if (isOpaque(target)) extend(target, "elements", items);
    else if (Array.isArray(target) && !Object.isFrozen(target)) {
      for (const item of items) target.push(item);
    } else this.fail(`items for ${describeValue(target)}, need a list`);
  }

  addItems(items: readonly AnyValue[]): void {
    const target = this.top();
    if (isOpaque(target)) extend(target, "elements", items);
    else if (target instanceof Set) for (const item of items) target.add(item);
    else this.fail(`items for ${describeValue(target)}, need a set`);
  }

  setItems(flat: readonly AnyValue[]): void {
    if (flat.length % 2 !== 0) this.fail("a key has no value");
    const target = this.top();
    const pairs: Pair[] = [];
    for (let i = 0; i < flat.length; i += 2)
      pairs.push([flat[i] as AnyValue, flat[i + 1] as AnyValue]);
    if (isOpaque(target)) extend(target, "items", pairs);
    else if (target instanceof Map) for (const [key, value] of pairs) target.set(key, value);
    else this.fail(`pairs for ${describeValue(target)}, need a dict`);
  }

  /** The allow-list of its own: `OrderedDict()` and `OrderedDict([(key, value), …])`. */
  #builtin(global: string, args: readonly AnyValue[]): AnyValue | undefined {
    if (global !== "collections.OrderedDict" || args.length > 1) return undefined;
    const pairs = args[0] ?? [];
    if (!Array.isArray(pairs)) return undefined;
    this.spend(pairs.length);
    if (!pairs.every(isPair)) this.fail("an OrderedDict of something else than pairs");
    return new Map(pairs as Pair[]);
  }

  #popArray(): readonly AnyValue[] {
    const args = this.pop();
    if (!Array.isArray(args))
      return this.fail(`arguments are ${describeValue(args)}, need a tuple`);
    return args as readonly AnyValue[];
  }

  #popCallable(): PickleGlobal | Opaque<PickleLeaf> {
    const callable = this.pop();
    if (isGlobal(callable) || isOpaque(callable)) return callable;
    return this.fail(`a call of ${describeValue(callable)}, need a global`);
  }
}

function isPair(value: AnyValue): value is Pair {
  return Array.isArray(value) && value.length === 2;
}

/** The name of what is called; of the result of an opaque call, `name()`, however often. */
function globalOf(callable: PickleGlobal | Opaque<PickleLeaf>): string {
  if (callable.kind === "global") return callable.name;
  return callable.global.endsWith("()") ? callable.global : `${callable.global}()`;
}

function extend<K extends "items" | "elements">(
  target: Opaque<PickleLeaf>,
  key: K,
  more: NonNullable<Opaque<PickleLeaf>[K]>,
): void {
  const list = (target[key] ?? []) as unknown[];
  for (const item of more) list.push(item);
  (target as Writable<Opaque<PickleLeaf>>)[key] = list as unknown as typeof more;
}
