/**
 * Which velocities a set was commanded: a grid of cells over vx, vy and wz, and one more for
 * standing still. To balance a set is to take as much from each cell as there is.
 */

import { columnStatistics } from "../dataset/column_statistics.ts";
import type { ObservationPart } from "../environment/environment.ts";

/** The observation's term that is balanced over. */
export const COMMAND_TERM = "command";
const BINS = 4;

export interface CommandCoverage {
  /** Cells that hold at least one row, of those there are. */
  readonly covered: number;
  readonly cells: number;
  /** Share of the rows that are commanded to stand still. */
  readonly standing: number;
}

export interface CommandCells {
  /** Cell of each row; 0 is standing still. */
  readonly cellOf: Int32Array;
  readonly cells: number;
}

/** Where the command is in an observation; undefined when no term has that name. */
export function findCommand(
  terms: readonly ObservationPart[],
): { readonly from: number; readonly size: number } | undefined {
  let from = 0;
  for (const { name, size } of terms) {
    if (name === COMMAND_TERM) return { from, size };
    from += size;
  }
  return undefined;
}

/**
 * Cells of [rows, width] data, `BINS` per axis over `ranges` (those of the set where there are
 * none); an axis without a range has one bin.
 */
export function commandCells(
  data: Float32Array,
  width: number,
  { from, size }: { readonly from: number; readonly size: number },
  ranges?: readonly (readonly [number, number])[],
): CommandCells {
  const { min, max } = columnStatistics(data, width);
  const axes = Array.from({ length: size }, (_, axis) => {
    const [low, high] = ranges?.[axis] ?? [min[from + axis] as number, max[from + axis] as number];
    return { low, high, bins: high > low ? BINS : 1 };
  });
  const rows = data.length / width;
  const cellOf = Int32Array.from({ length: rows }, (_, row) => {
    let cell = 0;
    let stands = true;
    for (const [axis, { low, high, bins }] of axes.entries()) {
      const value = data[row * width + from + axis] as number;
      stands &&= value === 0;
      const bin = bins === 1 ? 0 : Math.floor(((value - low) / (high - low)) * bins);
      cell = cell * bins + Math.min(bins - 1, Math.max(0, bin));
    }
    return stands ? 0 : cell + 1;
  });
  return { cellOf, cells: axes.reduce((product, { bins }) => product * bins, 1) + 1 };
}

export function commandCoverage({ cellOf, cells }: CommandCells): CommandCoverage {
  const standing = cellOf.reduce((count, cell) => count + Number(cell === 0), 0);
  return { covered: new Set(cellOf).size, cells, standing: standing / cellOf.length };
}
