/**
 * The verdict of an acceptance in one line, with what it does not say of itself: rows that were let
 * be missing, and limits that were loosened.
 */

import { plain } from "../base/text.ts";
import type { AcceptDocument } from "./accept_document.ts";

type Judged = Pick<AcceptDocument, "verdict" | "rows" | "looser" | "files">;

/** `PASS without power; limits of lim.yaml (looser: overrun_share 0.9 > 0.01)`. */
export const verdictLine = (document: Judged): string =>
  `${document.verdict}${verdictTerms(document)}`;

/** What stands behind the word: empty where all was measured against the usual limits. */
export function verdictTerms({ rows, looser, files }: Omit<Judged, "verdict">): string {
  const without = rows
    .filter(({ state, allowedMissing }) => state === "not measured" && allowedMissing)
    .map(({ name }) => name);
  const path = files.find(({ role }) => role === "limits")?.path;
  return [
    without.length === 0 ? "" : ` without ${without.join(", ")}`,
    looser.length === 0
      ? ""
      : `; limits${path === undefined ? "" : ` of ${plain(path)}`} (looser: ${looser.join(", ")})`,
  ].join("");
}
