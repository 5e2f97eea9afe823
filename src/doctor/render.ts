/** A diagnosis as text, and as the document of `--json`. */

import { plural, wrap } from "../base/text.ts";
import { paint, table } from "../cli/output.ts";
import type { Diagnosis } from "./doctor.ts";
import type { Row, State } from "./row.ts";

/** Of the column that is broken: with those before it some 100, where the terminal is as wide. */
const COLUMNS_MAX = 70;
const COLUMNS_MIN = 30;
const GAP = 2;

const STYLES = {
  ok: "green",
  warning: "yellow",
  fails: "red",
  "not checked": "dim",
} as const satisfies Record<State, string>;

/** @param columns how wide a line may be; without it commands stay on one line */
export function renderDiagnosis(
  { place, board, user, rows, counts }: Diagnosis,
  columns?: number,
): string {
  const who = user === undefined ? "" : `, for the user ${user}`;
  const width = (of: (row: Row) => string): number =>
    Math.max(...rows.map((row) => of(row).length)) + GAP;
  const left = (columns ?? Infinity) - width(({ state }) => state) - width(({ check }) => check);
  const cell = Math.max(COLUMNS_MIN, Math.min(COLUMNS_MAX, left));
  const cells = rows.map((row) => [
    paint(STYLES[row.state], row.state),
    row.check,
    describe(row, cell, columns !== undefined),
  ]);
  const fit = (text: string): string[] => wrap(text, columns ?? Infinity);
  const [title = "", ...more] = fit(`${board} (${place}${who})`);
  return [
    [paint("bold", title), ...more].join("\n"),
    table(["state", "check", "found"], cells),
    fit(summarise(counts)).join("\n"),
  ].join("\n\n");
}

/** What was found; where that is not enough, what is needed and what mends it. */
function describe({ found, needed, mend }: Row, columns: number, isBroken: boolean): string {
  return [
    ...wrap(found, columns),
    ...(needed === "" ? [] : wrap(`need ${needed}`, columns)),
    ...(mend === "" ? [] : isBroken ? breakMend(mend, columns) : [`→ ${mend}`]),
  ].join("\n");
}

/** As lines that a shell takes together, where it is a command. */
function breakMend(mend: string, columns: number): string[] {
  const isCommand = /^(?:sudo|echo) /.test(mend);
  const lines = wrap(mend, columns - "→ ".length - (isCommand ? " \\".length : 0));
  return lines.map((line, i) => {
    const isLast = i === lines.length - 1;
    return `${i === 0 ? "→ " : "  "}${line}${isCommand && !isLast ? " \\" : ""}`;
  });
}

function summarise(counts: Readonly<Record<State, number>>): string {
  const { ok, warning, fails, "not checked": notChecked } = counts;
  return (
    `${ok} ok, ${plural(warning, "warning")}, ${fails} failed, ${notChecked} not checked: ` +
    (fails === 0 ? "nothing found stops the service" : "the service could not run on the NPU")
  );
}

export function diagnosisDocument({ place, board, user, rows, counts }: Diagnosis) {
  return {
    place,
    board,
    user: user ?? null,
    canServe: counts.fails === 0,
    counts,
    rows: rows.map(({ check, state, found, needed, mend }) => ({
      check,
      state,
      found,
      needed: needed || null,
      mend: mend || null,
    })),
  };
}
