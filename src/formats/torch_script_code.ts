/**
 * The language in which `torch.jit.save` writes a module's methods: a small Python without
 * operators, as torch/csrc/jit/serialization/python_print.cpp prints it.
 *
 * A method becomes a tree of statements and expressions; nothing here gives them a meaning. What
 * the printer also writes and no policy needs (loops, dicts, assignments to attributes) is refused
 * by line, but only in a method that somebody asks for.
 */

import { FormatError, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type Token, tokenize } from "./torch_script_tokens.ts";

export type Expression =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "literal"; readonly value: number | string | boolean | null }
  | { readonly kind: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly kind: "item"; readonly object: Expression; readonly index: Expression }
  | { readonly kind: "sequence"; readonly items: readonly Expression[] }
  | {
      readonly kind: "call";
      readonly callee: Expression;
      readonly args: readonly Expression[];
      readonly keywords: ReadonlyMap<string, Expression>;
      readonly line: number;
    };

export type Statement =
  | { readonly kind: "pass" }
  | { readonly kind: "expression" | "return"; readonly value: Expression }
  /** One target takes the value, several take its items. */
  | {
      readonly kind: "assign";
      readonly targets: readonly string[];
      readonly unpack: boolean;
      readonly value: Expression;
      readonly line: number;
    }
  | {
      readonly kind: "if";
      readonly test: Expression;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
      readonly line: number;
    };

export interface Method {
  /** Name of the file, for messages. */
  readonly file: string;
  readonly parameters: readonly { readonly name: string; readonly value?: Expression }[];
  readonly body: readonly Statement[];
}

/** Where a method or function stands in a file; `name` of a method has its class before it. */
export interface Definition {
  readonly name: string;
  /** Of its first line, counted from 1. */
  readonly line: number;
  readonly text: string;
}

const HEADER = /^(?<indent> *)(?<word>class|def) (?<name>\w+)/;

/** Finds the methods (`ELU.forward`) and functions (`elu`) of a file without reading them. */
export function findDefinitions(text: string): Definition[] {
  const definitions: Definition[] = [];
  let className: string | undefined;
  let current: { name: string; line: number; indent: number; lines: string[] } | undefined;
  const finish = (): void => {
    if (current !== undefined) definitions.push({ ...current, text: current.lines.join("\n") });
    current = undefined;
  };
  for (const [index, line] of text.split("\n").entries()) {
    const indent = line.search(/\S/);
    if (indent >= 0 && indent <= (current?.indent ?? -1)) finish();
    const { word, name = "" } = HEADER.exec(line)?.groups ?? {};
    if (current === undefined && indent === 0) className = word === "class" ? name : undefined;
    if (current === undefined && word === "def") {
      const full = className === undefined ? name : `${className}.${name}`;
      current = { name: full, line: index + 1, indent, lines: [] };
    }
    current?.lines.push(line);
  }
  finish();
  return definitions;
}

/** Reads one definition. Throws FormatError with file and line for what is not understood. */
export function parseMethod(file: string, definition: Definition): Method {
  return new Parser(file, tokenize(file, definition.text, definition.line)).method();
}

const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ["True", true],
  ["False", false],
  ["None", null],
]);

/** Statements that the printer writes, and that no policy needs. */
const REFUSED = new Set(["for", "while", "with", "assert", "del", "break", "continue"]);

class Parser {
  readonly #file: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(file: string, tokens: readonly Token[]) {
    this.#file = file;
    this.#tokens = tokens;
  }

  method(): Method {
    this.#expect("def");
    this.#name();
    this.#expect("(");
    const parameters: { name: string; value?: Expression }[] = [];
    while (!this.#skip(")")) {
      const name = this.#name();
      if (this.#skip(":")) this.#expression();
      parameters.push(this.#skip("=") ? { name, value: this.#expression() } : { name });
      if (!this.#skip(",") && this.#peek().text !== ")") this.#fail("a comma");
    }
    if (this.#skip("->")) this.#expression();
    return { file: this.#file, parameters, body: this.#block() };
  }

  #block(): Statement[] {
    this.#expect(":");
    this.#take("newline");
    this.#take("indent");
    return this.#nested(() => {
      const statements: Statement[] = [];
      while (this.#peek().kind !== "dedent") statements.push(this.#statement());
      this.#take("dedent");
      return statements;
    });
  }

  #statement(): Statement {
    const { line, text } = this.#peek();
    if (text === "if") {
      this.#at++;
      const test = this.#expression();
      const body = this.#block();
      const otherwise = this.#skip("else") ? this.#block() : [];
      return { kind: "if", test, body, otherwise, line };
    }
    if (REFUSED.has(text)) this.#fail("a method without it");
    const statement = this.#simple(line);
    this.#take("newline");
    return statement;
  }

  #simple(line: number): Statement {
    if (this.#skip("pass")) return { kind: "pass" };
    if (this.#skip("return")) return { kind: "return", value: this.#list() };
    const start = this.#at;
    const value = this.#list();
    if (this.#skip(":")) this.#expression();
    if (!this.#skip("=")) return { kind: "expression", value };
    const unpack = value.kind === "sequence";
    const targets = (unpack ? value.items : [value]).map((target) => {
      if (target.kind === "name") return target.name;
      this.#at = start;
      return this.#fail("an assignment to a name");
    });
    return { kind: "assign", targets, unpack, value: this.#list(), line };
  }

  /** `a`, or the tuple `a, b` or `a,`. */
  #list(): Expression {
    const first = this.#expression();
    if (this.#peek().text !== ",") return first;
    const items = [first];
    while (this.#skip(",")) {
      if (/^[=)\]]$/.test(this.#peek().text) || this.#peek().kind === "newline") break;
      items.push(this.#expression());
    }
    return { kind: "sequence", items };
  }

  #expression(): Expression {
    return this.#nested(() => {
      if (this.#skip("-")) {
        const { text } = this.#take("number");
        return { kind: "literal", value: -Number(text) };
      }
      let value = this.#atom();
      for (;;) {
        if (this.#skip(".")) value = { kind: "attribute", object: value, name: this.#name() };
        else if (this.#peek().text === "(") value = this.#call(value);
        else if (this.#skip("[")) {
          value = { kind: "item", object: value, index: this.#list() };
          this.#expect("]");
        } else return value;
      }
    });
  }

  #atom(): Expression {
    const { kind, text } = this.#peek();
    if (kind === "number" || kind === "string") {
      this.#at++;
      return { kind: "literal", value: kind === "number" ? Number(text) : text };
    }
    if (kind === "name") {
      this.#at++;
      const constant = CONSTANTS.get(text);
      return constant === undefined ? { kind: "name", name: text } : literal(constant);
    }
    if (this.#skip("[")) return { kind: "sequence", items: this.#items("]") };
    this.#expect("(");
    if (this.#skip(")")) return { kind: "sequence", items: [] };
    const value = this.#list();
    this.#expect(")");
    return value;
  }

  #items(end: string): Expression[] {
    const items: Expression[] = [];
    while (!this.#skip(end)) {
      items.push(this.#expression());
      if (!this.#skip(",") && this.#peek().text !== end) this.#fail("a comma");
    }
    return items;
  }

  #call(callee: Expression): Expression {
    const { line } = this.#peek();
    this.#expect("(");
    const args: Expression[] = [];
    const keywords = new Map<string, Expression>();
    while (!this.#skip(")")) {
      if (this.#peek().kind === "name" && this.#peek(1).text === "=") {
        const name = this.#name();
        this.#expect("=");
        keywords.set(name, this.#expression());
      } else args.push(this.#expression());
      if (!this.#skip(",") && this.#peek().text !== ")") this.#fail("a comma");
    }
    return { kind: "call", callee, args, keywords, line };
  }

  // ── tokens ─────────────────────────────────────────────────────────────────────────────────

  #nested<T>(read: () => T): T {
    if (this.#depth >= LIMITS.codeDepth) {
      const at = `${this.#file}, line ${this.#peek().line}`;
      throw new FormatError(`${at}: nested deeper than ${LIMITS.codeDepth}`, "TOO_LARGE");
    }
    this.#depth++;
    const value = read();
    this.#depth--;
    return value;
  }

  #peek(ahead = 0): Token {
    const last = this.#tokens.length - 1;
    return this.#tokens[Math.min(this.#at + ahead, last)] as Token;
  }

  /** Whether a symbol or word comes next; a string that reads the same is none. */
  #skip(text: string): boolean {
    const { kind, text: found } = this.#peek();
    if (kind === "string" || found !== text) return false;
    this.#at++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#skip(text)) this.#fail(quote(text));
  }

  #take(kind: Token["kind"]): Token {
    const token = this.#peek();
    if (token.kind !== kind) this.#fail(`a ${kind}`);
    this.#at++;
    return token;
  }

  #name(): string {
    return this.#take("name").text;
  }

  #fail(need: string): never {
    const { kind, text, line } = this.#peek();
    const found = kind === "name" || kind === "symbol" || kind === "number" ? quote(text) : kind;
    throw new FormatError(
      `${this.#file}, line ${line}: ${found} is not understood here, need ${need}`,
      "UNSUPPORTED",
    );
  }
}

function literal(value: boolean | null): Expression {
  return { kind: "literal", value };
}
