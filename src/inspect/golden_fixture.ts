/**
 * For tests: what `inspect --json` says of a file, held against `fixtures/inspect/<name>.json`.
 * `UPDATE_GOLDEN=1` writes that file, and its row of the manifest, instead.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { sha256 } from "../base/files.ts";
import { inspect, inspectionDocument } from "./inspect.ts";

export const FIXTURES = join(import.meta.dir, "..", "..", "fixtures");
const GOLDENS = join(FIXTURES, "inspect");
const MANIFEST = join(FIXTURES, "manifest.json");

/** The document as text, with paths as from the file's own directory. */
export async function inspectText(path: string): Promise<string> {
  const document = inspectionDocument(await inspect(path));
  return `${JSON.stringify(document, null, 2).replaceAll(`${dirname(path)}/`, "")}\n`;
}

/** The golden text; written from `found` where goldens are to be updated. */
export function golden(path: string, found: string, label = basename(path)): string {
  const name = `${label}.json`;
  const file = join(GOLDENS, name);
  if (process.env.UPDATE_GOLDEN === "1") {
    mkdirSync(GOLDENS, { recursive: true });
    writeFileSync(file, found);
    listInManifest(`inspect/${name}`, Buffer.from(found));
  }
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

function listInManifest(file: string, bytes: Buffer): void {
  const rows = JSON.parse(readFileSync(MANIFEST, "utf8")) as { file: string }[];
  const row = {
    file,
    kind: "inspection",
    sha256: sha256(bytes),
    bytes: bytes.length,
    made: "what inspect --json says of the file (UPDATE_GOLDEN=1 bun test src/inspect)",
    licence: "Apache-2.0",
  };
  const others = rows.filter((other) => other.file !== file);
  const sorted = [...others, row].sort((a, b) => (a.file < b.file ? -1 : 1));
  writeFileSync(MANIFEST, `${JSON.stringify(sorted, null, 2)}\n`);
}
