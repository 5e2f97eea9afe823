/** A diagnosis as text, and as the document of `--json`. */

import { plural, wrap } from "../base/text.ts";
import { paint, table } from "../cli/output.ts";
import type { Diagnosis } from "./doctor.ts";
import type { Row, State } from "./row.ts";

/** Of the column that is broken; with those before it some 100. */
const COLUMNS = 70;

const STYLES = {
  ok: "green",
  warning: "yellow",
  fails: "red",
  "not checked": "dim",
} as const satisfies Record<State, string>;

export function renderDiagnosis({ place, board, user, rows, counts }: Diagnosis): string {
  const who = user === undefined ? "" : `, for the user ${user}`;
  const cells = rows.map((row) => [paint(STYLES[row.state], row.state), row.check, describe(row)]);
  return [
    `${paint("bold", board)} (${place}${who})`,
    table(["state", "check", "found"], cells),
    summarise(counts),
  ].join("\n\n");
}

/** What was found; where that is not enough, what is needed and what mends it. */
function describe({ found, needed, mend }: Row): string {
  return [
    ...wrap(found, COLUMNS),
    ...(needed === "" ? [] : wrap(`need ${needed}`, COLUMNS)),
    // Whole, since it is mostly a command.
    ...(mend === "" ? [] : [`→ ${mend}`]),
  ].join("\n");
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
