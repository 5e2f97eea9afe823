/** Lists what a directory holds that lite3rl knows, by content, without going deeper. */

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { FormatError, Lite3Error } from "../base/errors.ts";
import { openFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { detectKind } from "./detect.ts";
import { plain, plural, shellWord, tally, tallyText } from "../base/text.ts";
import type { Finding } from "./finding.ts";

interface DirectoryEntry {
  readonly name: string;
  /** A kind of file, `yaml` by its name, `directory`, or `other`. */
  readonly kind: string;
  readonly bytes: number | null;
  /** Why a file could not be told. */
  readonly problem?: string;
}

export async function inspectDirectory(path: string): Promise<Finding> {
  const names = readdirSync(path).sort();
  const shown = names.slice(0, LIMITS.inspectEntries);
  const entries: DirectoryEntry[] = [];
  for (const name of shown) entries.push(await describeEntry(path, name));
  const known = entries.filter(({ kind }) => kind !== "other" && kind !== "directory");
  const more = names.length - shown.length;
  const models = known.filter(({ kind }) => ["checkpoint", "onnx", "rknn"].includes(kind));
  return {
    kind: "directory",
    title: "directory",
    details: { entries, more },
    blocks: [
      {
        facts: [
          ["holds", tallyText(tally(entries.map(({ kind }) => kind))) || "nothing"],
          ...(more > 0 ? [["", `and ${plural(more, "entry")} more`] as const] : []),
        ],
      },
      {
        head: ["file", "kind", "bytes"],
        rows: known
          .slice(0, 60)
          .map(({ name, kind, bytes, problem }) => [
            plain(name, 60),
            problem === undefined ? kind : `${kind}: ${plain(problem, 80)}`,
            String(bytes ?? ""),
          ]),
        right: ["bytes"],
      },
    ],
    warnings: [],
    advice: models.slice(0, 8).map(({ name }) => `lite3rl inspect ${shellWord(join(path, name))}`),
  };
}

async function describeEntry(directory: string, name: string): Promise<DirectoryEntry> {
  const path = join(directory, name);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return { name, kind: "directory", bytes: null };
  if (stat === undefined || !stat.isFile()) return { name, kind: "other", bytes: null };
  const bytes = stat.size;
  if (/\.ya?ml$/.test(name)) return { name, kind: "yaml", bytes };
  try {
    using source = openFile(path);
    return { name, kind: (await detectKind(source)) ?? "other", bytes };
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    const kind = error instanceof FormatError ? "broken" : "other";
    return { name, kind, bytes, problem: error.message };
  }
}
