/**
 * YAML files of the user's: parsed strictly, checked with valibot, refused with file and place.
 */

import * as v from "valibot";
import { type Document, isScalar, LineCounter, type Node, parseDocument, visit } from "yaml";
import { Lite3Error, quote } from "../base/errors.ts";
import { readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";

export interface YamlDocument {
  readonly document: Document.Parsed;
  /** What the parser wonders about: a tag that it does not know. */
  readonly warning: string | undefined;
  /** The line that a node begins in, from 1. */
  lineOf(node: unknown): number;
}

/** Parses a YAML file to its nodes; aliases are not followed. */
export function readYamlDocument(path: string): YamlDocument {
  const text = new TextDecoder().decode(readFile(path, LIMITS.configBytes));
  const lines = new LineCounter();
  const document = parse(path, text, lines);
  const [problem] = document.errors;
  if (problem !== undefined) throw refuse(path, firstLine(problem));
  const place = (node: unknown) => lines.linePos((node as Node).range?.[0] ?? 0);
  checkKeys(path, document, place);
  const [warning] = document.warnings;
  return {
    document,
    warning: warning && firstLine(warning),
    lineOf: (node) => place(node).line,
  };
}

/** Refuses a key that a mapping has twice. The parser's own check takes quadratic time. */
function checkKeys(
  path: string,
  document: Document.Parsed,
  place: (node: unknown) => { readonly line: number; readonly col: number },
): void {
  visit(document, {
    Map(_, { items }) {
      const keys = new Set<unknown>();
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : key;
        if (keys.has(name)) {
          const { line, col } = place(key);
          throw refuse(path, `Map keys must be unique at line ${line}, column ${col}`);
        }
        keys.add(name);
      }
    },
  });
}

/** Nesting that exhausts the parser's stack is an error of the file like any other. */
function parse(path: string, text: string, lineCounter: LineCounter): Document.Parsed {
  try {
    return parseDocument(text, { logLevel: "error", lineCounter, uniqueKeys: false });
  } catch (error) {
    throw refuse(path, firstLine(error as Error));
  }
}

/** Parses a YAML file. Python's tags, as Isaac Lab writes them, mean nothing here. */
export function readYaml(path: string): unknown {
  const { document } = readYamlDocument(path);
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw refuse(path, firstLine(error as Error));
  }
}

/** It says where the problem is; the lines after it draw the place. */
function firstLine({ message }: Error): string {
  return message.split("\n")[0]?.replace(/:$/, "") ?? "not YAML";
}

/** The value as the schema has it, or CONFIG naming the place, what is there and what is needed. */
export function checkYaml<S extends v.GenericSchema>(path: string, schema: S, value: unknown) {
  if (Array.isArray(value)) throw refuse(path, "the document is a list, need Object");
  const checked = v.safeParse(schema, value);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  const at = v.getDotPath(issue) ?? "the document";
  if (issue.type === "strict_object" && issue.expected === "never") {
    const known = knownKeys(schema, issue.path ?? []);
    throw refuse(path, `unknown key ${quote(at)}, need one of ${known.join(", ")}`);
  }
  throw refuse(path, `${at} is ${issue.received}, need ${issue.expected ?? issue.message}`);
}

/** The keys of the mapping that an unknown one, at the end of `path`, stands in. */
function knownKeys(schema: v.GenericSchema, path: readonly { readonly key: unknown }[]): string[] {
  let inside = schema as SchemaParts;
  for (const { key } of path.slice(0, -1)) {
    inside = unwrapped(inside).entries?.[String(key)] ?? {};
  }
  return Object.keys(unwrapped(inside).entries ?? {});
}

/** As far as valibot's schemas have them. */
interface SchemaParts {
  readonly wrapped?: SchemaParts;
  readonly entries?: Readonly<Record<string, SchemaParts>>;
}

const unwrapped = (schema: SchemaParts): SchemaParts =>
  schema.wrapped === undefined ? schema : unwrapped(schema.wrapped);

function refuse(path: string, reason: string): Lite3Error {
  return new Lite3Error("CONFIG", `Cannot use config ${quote(path)}: ${reason}`);
}
