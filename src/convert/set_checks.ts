/**
 * Is this set good enough to calibrate with, and to judge by? What would spoil either is refused
 * or said, with its number.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { plural } from "../base/text.ts";
import { columnStatistics } from "../dataset/column_statistics.ts";
import type { Observations } from "../dataset/observations.ts";
import { distinctRows } from "../dataset/rows.ts";

/** Eight rows to calibrate and two to judge: fewer say nothing. */
const ROWS_MIN = 10;
/** The blueprint takes 1,000 to 4,000; ranges of fewer may be narrower than the robot's. */
const ROWS_ENOUGH = 1000;
/** Columns that are named one by one. */
const NAMED_MAX = 8;

export interface SetChecks {
  readonly rows: number;
  /** Rows that are equal to an earlier one, bit for bit. */
  readonly duplicates: number;
  readonly constantColumns: readonly { readonly column: number; readonly value: number }[];
}

/** Refuses a set of fewer than ten different rows. */
export function checkSet(set: Observations): SetChecks {
  const { rows, data, label } = set;
  const width = data.length / rows;
  const duplicates = rows - distinctRows(data, width).length;
  if (rows - duplicates < ROWS_MIN) {
    const found = duplicates === 0 ? plural(rows, "row") : `${rows - duplicates} different rows`;
    throw new Lite3Error(
      "CONFIG",
      `Cannot calibrate with ${quote(label)}: it has ${found}, need at least ${ROWS_MIN} ` +
        "to calibrate and to judge by: lite3rl collect records them",
    );
  }
  const { min, max } = columnStatistics(data, width);
  const constantColumns = [...min].flatMap((value, column) =>
    value === max[column] ? [{ column, value }] : [],
  );
  return { rows, duplicates, constantColumns };
}

/** One sentence per weakness; `isQuantised` says whether ranges depend on the set. */
export function setWarnings(checks: SetChecks, label: string, isQuantised: boolean): string[] {
  const { rows, duplicates, constantColumns } = checks;
  const columns = constantColumns
    .slice(0, NAMED_MAX)
    .map(({ column, value }) => `${column} (${Number(value.toPrecision(6))})`);
  const more = constantColumns.length > NAMED_MAX ? ", …" : "";
  return [
    ...(isQuantised && rows < ROWS_ENOUGH
      ? [
          `${label} has ${plural(rows, "row")}: fewer than ${ROWS_ENOUGH} may miss what the robot sees`,
        ]
      : []),
    ...(duplicates === 0 ? [] : [`${label}: ${duplicates} of ${rows} rows are repetitions`]),
    ...(constantColumns.length === 0
      ? []
      : [
          `${label}: constant in ${plural(constantColumns.length, "column")}: ` +
            `${columns.join(", ")}${more}`,
        ]),
  ];
}
