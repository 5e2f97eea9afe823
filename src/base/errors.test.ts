import { describe, expect, test } from "bun:test";
import { assert, AssertionError, present } from "./assert.ts";
import {
  describeSource,
  ERROR_CODES,
  type ErrorCode,
  FormatError,
  Lite3Error,
  quote,
} from "./errors.ts";
import { refusalOf } from "./refusal_fixture.ts";

test("ERROR_CODES gives every kind of failure the exit status of the documentation", () => {
  const statuses = Object.entries(ERROR_CODES).map(([code, { status }]) => [code, status]);
  expect(Object.fromEntries(statuses)).toEqual({
    CHECK_FAILED: 1,
    PROGRAM: 1,
    USAGE: 2,
    CONFIG: 2,
    NOT_FOUND: 3,
    MALFORMED: 4,
    TOO_LARGE: 4,
    UNSUPPORTED: 5,
    NATIVE: 6,
    WIRE: 7,
    BUSY: 7,
    DEADLINE: 7,
    BUG: 70,
  });
});

test("Lite3Error carries its code, its exit status and its cause", () => {
  const cause = new Error("below");
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const { name, message, exitStatus, cause: kept } = new Lite3Error(code, "above", { cause });
    expect([name, message, exitStatus, kept]).toEqual([
      "Lite3Error",
      "above",
      ERROR_CODES[code].status,
      cause,
    ]);
  }
});

describe("describeSource()", () => {
  test("names the file in a decoder's error and keeps its code", async () => {
    const read = (code?: "TOO_LARGE") =>
      refusalOf(() =>
        describeSource("Cannot read", "a.pt", () => {
          throw new FormatError("it is empty", code);
        }),
      );
    expect([await read(), await read("TOO_LARGE")]).toEqual([
      { code: "MALFORMED", message: 'Cannot read "a.pt": it is empty' },
      { code: "TOO_LARGE", message: 'Cannot read "a.pt": it is empty' },
    ]);
  });

  test("names it for a decoder that fails later, too", async () => {
    expect(
      await refusalOf(() =>
        describeSource("Cannot read", "a.pt", () => Promise.reject(new FormatError("it is empty"))),
      ),
    ).toEqual({ code: "MALFORMED", message: 'Cannot read "a.pt": it is empty' });
  });

  test("passes results and other errors through", async () => {
    const bug = new TypeError("a bug");
    expect(await describeSource("Cannot read", "a.pt", () => 7)).toBe(7);
    const failing = describeSource("Cannot read", "a.pt", () => {
      throw bug;
    });
    await expect(failing).rejects.toBe(bug);
  });
});

describe("quote()", () => {
  test("escapes what would spoil a line or a terminal", () => {
    expect(quote('a"b\n\x1b[31m')).toBe('"a\\"b\\n\\u001b[31m"');
  });

  test("cuts only what is overlong", () => {
    expect([quote("x".repeat(198)), quote("x".repeat(199))]).toEqual([
      `"${"x".repeat(198)}"`,
      `"${"x".repeat(196)}…"`,
    ]);
  });
});

test("assert() and present() throw AssertionError, which is no operating error", () => {
  const failure = new AssertionError("width is missing");
  expect(failure).not.toBeInstanceOf(Lite3Error);
  expect(() => assert(0, "width is missing")).toThrow(failure);
  expect(() => present(undefined, "width")).toThrow(failure);
  expect(() => present(null, "width")).toThrow(failure);
  expect([present(0), present(""), present(false)]).toEqual([0, "", false]);
});
