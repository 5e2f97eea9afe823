/**
 * A log as a table: one line per step, one column per number.
 */

import { readRunLog } from "../run_log/read_run_log.ts";
import type { RunStep } from "../run_log/run_step.ts";

/** The time of a step from the start of its run, in seconds. */
export const FIRST_COLUMN = "timeS";

export interface CsvTable {
  readonly text: string;
  readonly rows: number;
  readonly columns: readonly string[];
}

/** The columns are those of the first step; what a later one lacks is empty. */
export function csvOfLog(path: string): CsvTable {
  const lines: string[] = [];
  let columns: string[] = [];
  readRunLog(path, (step) => {
    const cells = new Map(cellsOf(step));
    if (lines.length === 0) {
      columns = [...cells.keys()];
      lines.push(columns.join(","));
    }
    lines.push(columns.map((column) => cells.get(column) ?? "").join(","));
  });
  return { text: `${lines.join("\n")}\n`, rows: lines.length - 1, columns };
}

function* cellsOf(step: RunStep): Generator<readonly [string, number | ""]> {
  const { timeS, episode, command, observation, action, info, sensors, latencyUs, overrun } = step;
  yield [FIRST_COLUMN, timeS];
  yield ["episode", episode];
  const groups = { command, ...info, ...sensors, observation, action };
  for (const [name, value] of Object.entries(groups)) {
    if (name === FIRST_COLUMN || value === undefined) continue;
    if (typeof value === "number") yield [name, value];
    else if (typeof value === "object") {
      for (const [i, one] of Array.from<number | boolean>(value).entries()) {
        yield [`${name}.${i}`, Number(one)];
      }
    }
  }
  yield ["latencyUs", latencyUs];
  // Empty where no period was kept.
  yield ["overrun", overrun === null ? "" : Number(overrun)];
}
