import { expect, test } from "bun:test";
import { commandCells, commandCoverage, findCommand } from "./commands.ts";

const TERMS = [
  { name: "gyro", size: 1 },
  { name: "command", size: 2 },
] as const;
/** gyro, vx, vy */
const DATA = Float32Array.of(9, 0, 0, 9, -1, 0, 9, 1, 0, 9, 0.1, 0);

test("findCommand() says where the term is", () => {
  expect(findCommand(TERMS)).toEqual({ from: 1, size: 2 });
  expect(findCommand([{ name: "gyro", size: 3 }])).toBeUndefined();
});

test("commandCells() bins over the set's range, and keeps standing still apart", () => {
  const place = { from: 1, size: 2 } as const;
  const cells = commandCells(DATA, 3, place);
  // vy never changes, so it has one bin.
  expect(cells).toEqual({ cellOf: Int32Array.of(0, 1, 4, 3), cells: 5 });
  expect(commandCoverage(cells)).toEqual({ covered: 4, cells: 5, standing: 0.25 });
});

test("commandCells() bins over known ranges, and takes what lies beyond to the edge", () => {
  const ranges = [
    [-0.5, 0.5],
    [-1, 1],
  ] as const;
  expect(commandCells(DATA, 3, { from: 1, size: 2 }, ranges)).toEqual({
    cellOf: Int32Array.of(0, 3, 15, 11),
    cells: 17,
  });
});
