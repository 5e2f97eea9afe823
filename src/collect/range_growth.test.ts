import { expect, test } from "bun:test";
import { rangeGrowth } from "./range_growth.ts";

const TERMS = [
  { name: "still", size: 1 },
  { name: "moving", size: 1 },
] as const;
const rows = (count: number, value: (row: number) => number): Float32Array =>
  Float32Array.from({ length: count * 2 }, (_, i) => (i % 2 === 0 ? 5 : value(Math.floor(i / 2))));

test("rangeGrowth() finds the samples from which ranges stay as they are", () => {
  // The widest values come at row 100, so that 128 rows have seen everything.
  const data = rows(512, (row) => (row === 100 ? 2 : row % 2));
  expect(rangeGrowth(data, 2, TERMS)).toEqual({
    doublings: [
      { samples: 64, next: 128, growth: 0.5, term: "moving" },
      { samples: 128, next: 256, growth: 0, term: "still" },
      { samples: 256, next: 512, growth: 0, term: "still" },
    ],
    enoughFrom: 128,
  });
});

test("rangeGrowth() says that it is not enough when the last doubling still widened", () => {
  const data = rows(256, (row) => row);
  const { doublings, enoughFrom } = rangeGrowth(data, 2, TERMS);
  expect(enoughFrom).toBeNull();
  expect(doublings.at(-1)).toEqual({
    samples: 128,
    next: 256,
    growth: 1 - 127 / 255,
    term: "moving",
  });
});

test("rangeGrowth() says nothing about a set too small to halve", () => {
  const none = { doublings: [], enoughFrom: null };
  expect(rangeGrowth(rows(100, Number), 2, TERMS)).toEqual(none);
  expect(rangeGrowth(rows(10, Number), 2, TERMS)).toEqual(none);
});
