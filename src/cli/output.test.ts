import { describe, expect, test } from "bun:test";
import { figure, metres, microseconds, passed, progress, seconds, table } from "./output.ts";
import { linesDuring } from "../base/log_fixture.ts";

describe("table()", () => {
  test("aligns columns, to the right where it is told", () => {
    const rows = [
      ["a", "1", "x"],
      ["long name", "12345", ""],
    ];
    expect(table(["name", "n", "note"], rows, ["n"])).toBe(
      ["name           n  note", "a              1  x", "long name  12345"].join("\n"),
    );
  });

  test("is its head alone without rows", () => {
    expect(table(["name", "n"], [])).toBe("name  n");
  });
});

test("figure() gives three significant digits, plain where that is short", () => {
  const cases: readonly [number, string][] = [
    [0, "0"],
    [1, "1"],
    [1234.5, "1230"],
    [99_999, "100000"],
    [0.001, "0.001"],
    [0.0009994, "9.99e-4"],
    [-0.00027, "-2.7e-4"],
    [100_000, "1e+5"],
    [2.59e-7, "2.59e-7"],
    [NaN, "NaN"],
    [-Infinity, "-Infinity"],
  ];
  expect(cases.map(([value]) => figure(value))).toEqual(cases.map(([, text]) => text));
});

test("metres(), microseconds() and seconds() carry their unit", () => {
  expect([
    metres(5.678),
    microseconds(12.4),
    microseconds(9_999),
    microseconds(12_345),
    seconds(0.0123),
    seconds(0.9994),
    seconds(12.34),
  ]).toEqual(["5.68 m", "12 µs", "9999 µs", "12.3 ms", "12 ms", "999 ms", "12.3 s"]);
});

test("passed() says it without colours where there is no terminal", () => {
  const source = JSON.stringify(import.meta.resolve("./output.ts"));
  const script = `import { paint, passed } from ${source};
    console.log(passed(true), passed(false), paint("bold", "x"));`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", script]);
  expect(String(stdout)).toBe("ok FAILED x\n");
  expect(passed(true)).toContain("ok");
});

test("progress() says nothing of work that is done in a moment", async () => {
  const lines = await linesDuring(() => {
    const bar = progress("work", 10);
    for (let i = 1; i <= 10; i++) bar.update(i);
    bar.finish();
  });
  expect(lines).toEqual([]);
});
