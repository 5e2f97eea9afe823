/**
 * A pickle stack that holds nothing: of every value only whether it is a string in the file, or
 * which global. `pickle_scan_opcodes.ts` maps each opcode to these operations.
 */

import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";

/** A class or function, named as Python would import it; listed once, where it comes first. */
export interface NamedGlobal {
  /** `module.name`; `?` where the pickle computes it. */
  readonly name: string;
  /** Of the opcode that names it. */
  readonly offset: number;
  readonly opcode: string;
  /** Would it be called, with arguments from the file? */
  isCalled: boolean;
}

interface Text {
  readonly start: number;
  readonly end: number;
}

/** What is known of a value: where a string's bytes are, or which global it is. */
type Cell = Text | NamedGlobal | undefined;

const isText = (cell: Cell): cell is Text => cell !== undefined && "start" in cell;

export class PickleScanner {
  /** Of the next byte to read. */
  offset = 0;
  /** Name of the opcode being followed. */
  opcode = "opcode";
  opcodes = 0;
  protocol = 0;
  stopped = false;
  readonly globals = new Map<string, NamedGlobal>();
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stack: Cell[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Cell>();
  #opcodeOffset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  readOpcode(): number {
    this.opcode = "opcode";
    this.#opcodeOffset = this.offset;
    if (++this.opcodes > LIMITS.pickleOpcodes) {
      this.fail(`more than ${LIMITS.pickleOpcodes} opcodes`);
    }
    return this.readUint(1);
  }

  fail(problem: string): never {
    throw new FormatError(`pickle ${this.opcode} at byte ${this.#opcodeOffset}: ${problem}`);
  }

  // ── bytes ──────────────────────────────────────────────────────────────────────────────────

  skip(length: number): Cell {
    const left = this.#bytes.length - this.offset;
    if (length > left) this.fail(`it needs ${length} bytes, but ${left} are left`);
    this.offset += length;
    return { start: this.offset - length, end: this.offset };
  }

  readUint(size: 1 | 2 | 4 | 8): number {
    const at = this.offset;
    this.skip(size);
    if (size === 1) return this.#view.getUint8(at);
    if (size === 2) return this.#view.getUint16(at, true);
    return size === 4 ? this.#view.getUint32(at, true) : Number(this.#view.getBigUint64(at, true));
  }

  readLine(): Text {
    const start = this.offset;
    const end = this.#bytes.indexOf(10, start);
    if (end < 0) this.fail("the line has no end");
    this.offset = end + 1;
    return { start, end };
  }

  /** A string written as Python would: quoted (`S`), or as it is (`V`). */
  readQuoted(): Cell {
    const { start, end } = this.readLine();
    const quotes = [0x22, 0x27];
    const isQuoted = end - start > 1 && quotes.includes(this.#bytes[start] ?? 0);
    return isQuoted ? { start: start + 1, end: end - 1 } : { start, end };
  }

  // ── stack and memo ─────────────────────────────────────────────────────────────────────────

  push(cell?: Cell): void {
    this.#stack.push(cell);
  }

  pop(): Cell {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) this.fail("the stack is empty");
    return this.#stack.pop();
  }

  top(): Cell {
    const cell = this.pop();
    this.push(cell);
    return cell;
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** Drops everything above the last mark; the lowest value of it. */
  popMark(): Cell {
    const mark = this.#marks.pop();
    if (mark === undefined) return this.fail("there is no mark");
    const first = this.#stack[mark];
    this.#stack.length = mark;
    return first;
  }

  discard(): void {
    if (this.#stack.length === this.#marks.at(-1)) this.#marks.pop();
    else this.pop();
  }

  remember(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    if (!this.#memo.has(index)) this.fail(`memo ${index} was never set`);
    this.push(this.#memo.get(index));
  }

  readIndex(): number {
    return Number(this.#text(this.readLine()));
  }

  // ── globals ────────────────────────────────────────────────────────────────────────────────

  /** Two names from the file; anything that is not a string there is computed. */
  global(module: Cell, name: Cell): NamedGlobal {
    const isKnown = isText(module) && isText(name);
    return this.named(isKnown ? `${this.#text(module)}.${this.#text(name)}` : "?");
  }

  named(name: string): NamedGlobal {
    const known = this.globals.get(name);
    if (known !== undefined) return known;
    if (this.globals.size >= LIMITS.pickleGlobals) {
      this.fail(`more than ${LIMITS.pickleGlobals} classes and functions`);
    }
    const offset = this.#opcodeOffset;
    const found: NamedGlobal = { name, offset, opcode: this.opcode, isCalled: false };
    this.globals.set(name, found);
    return found;
  }

  called(cell: Cell): void {
    if (cell !== undefined && !isText(cell)) cell.isCalled = true;
  }

  #text({ start, end }: Text): string {
    const length = Math.min(end - start, LIMITS.pickleNameLength);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, length).toString();
  }
}
