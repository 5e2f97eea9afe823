/**
 * The words of TorchScript code: names, numbers, strings, symbols, and Python's indentation.
 */

import { FormatError, quote } from "../base/errors.ts";

export interface Token {
  readonly kind: "name" | "number" | "string" | "symbol" | "newline" | "indent" | "dedent" | "end";
  /** Of a string, what stands between its quotes. */
  readonly text: string;
  readonly line: number;
}

const PATTERNS = {
  name: /[A-Za-z_]\w*/y,
  number: /(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/y,
  string: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/y,
  symbol: /->|[()[\],:.=-]/y,
} as const;

/** Splits the lines of one definition, the first of which has number `firstLine`. */
export function tokenize(file: string, text: string, firstLine: number): Token[] {
  const tokens: Token[] = [];
  const indents: number[] = [];
  let brackets = 0;
  let line = firstLine - 1;
  for (const source of text.split("\n")) {
    line++;
    const indent = source.search(/\S/);
    if (indent < 0 || source[indent] === "#") continue;
    if (brackets === 0) openLine(tokens, indents, indent, line);
    for (const token of lineTokens(file, source, indent, line)) {
      if (token.kind === "symbol" && /[([]/.test(token.text)) brackets++;
      if (token.kind === "symbol" && /[)\]]/.test(token.text)) brackets--;
      tokens.push(token);
    }
    if (brackets === 0) tokens.push({ kind: "newline", text: "", line });
  }
  for (const _ of indents.slice(1)) tokens.push({ kind: "dedent", text: "", line });
  tokens.push({ kind: "end", text: "", line });
  return tokens;
}

/** Indentation against that of the line before; the first line opens no block. */
function openLine(tokens: Token[], indents: number[], indent: number, line: number): void {
  const before = indents.at(-1);
  if (before === undefined || indent > before) {
    indents.push(indent);
    if (before !== undefined) tokens.push({ kind: "indent", text: "", line });
    return;
  }
  while (indent < (indents.at(-1) ?? 0) && indents.length > 1) {
    indents.pop();
    tokens.push({ kind: "dedent", text: "", line });
  }
}

function* lineTokens(file: string, source: string, start: number, line: number): Generator<Token> {
  let at = start;
  while (at < source.length) {
    if (source[at] === " ") {
      at++;
      continue;
    }
    if (source[at] === "#") return;
    const token = match(source, at, line);
    if (token === undefined) {
      throw new FormatError(
        `${file}, line ${line}: ${quote(source.slice(at, at + 20))} is not understood`,
        "UNSUPPORTED",
      );
    }
    at += token.text.length;
    yield token.kind === "string" ? { ...token, text: token.text.slice(1, -1) } : token;
  }
}

function match(source: string, at: number, line: number): Token | undefined {
  for (const [kind, pattern] of Object.entries(PATTERNS)) {
    pattern.lastIndex = at;
    const [text] = pattern.exec(source) ?? [];
    if (text !== undefined) return { kind: kind as keyof typeof PATTERNS, text, line };
  }
  return undefined;
}
