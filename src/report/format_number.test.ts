import { expect, test } from "bun:test";
import { formatCount, formatDuration, formatFixed, formatSignificant } from "./format_number.ts";

test("formatSignificant() keeps two or three digits at any magnitude", () => {
  const values = [0, -0, 2.1e-4, 1e-3, 0.05, 18.34, 1234, 99_999, 1.2e6, -3e-9, Number.NaN];
  expect(values.map((value) => formatSignificant(value))).toEqual([
    "0",
    "0",
    "2.1e-4",
    "1e-3",
    "0.05",
    "18.3",
    "1230",
    "100000",
    "1.2e+6",
    "-3e-9",
    "no data",
  ]);
  expect(formatSignificant(48.21, "µs")).toBe("48.2 µs");
});

test("formatFixed() writes no minus before zero, and no unit without a value", () => {
  expect(formatFixed(5.744, 2, "m")).toBe("5.74 m");
  expect(formatFixed(-0.001, 1, "cm")).toBe("0.0 cm");
  expect(formatFixed(-0.4, 0)).toBe("0");
  expect(formatFixed(Number.NaN, 2, "m")).toBe("no data");
});

test("formatDuration() takes the unit that fits", () => {
  const seconds = [0, 0.34, 0.9996, 12.34, 119.94, 119.96, 200, Number.NaN];
  expect(seconds.map((value) => formatDuration(value))).toEqual([
    "0 ms",
    "340 ms",
    "1.0 s",
    "12.3 s",
    "119.9 s",
    "2 min 0 s",
    "3 min 20 s",
    "no data",
  ]);
});

test("formatCount() declines its noun", () => {
  expect([0, 1, 2].map((count) => formatCount(count, "fall"))).toEqual([
    "0 falls",
    "1 fall",
    "2 falls",
  ]);
  expect(formatCount(Number.NaN, "fall")).toBe("falls: no data");
});
