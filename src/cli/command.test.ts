import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import {
  durationValue,
  flagName,
  integerValue,
  numberValue,
  pathValue,
  switchValue,
  textValue,
  vectorValue,
  wordsValue,
  wordValue,
} from "./command.ts";

/** What the schema makes of a flag's value: the value, or `{ refused }` with its message. */
function read(schema: v.GenericSchema, input: unknown): unknown {
  const result = v.safeParse(schema, input);
  return result.success ? result.output : { refused: result.issues[0].message };
}

/** Value as cac gives it → what becomes of it. */
const CASES: Record<string, readonly [schema: v.GenericSchema, input: unknown, output: unknown][]> =
  {
    pathValue: [
      [pathValue(), "a/b.onnx", "a/b.onnx"],
      [
        pathValue(),
        123,
        { refused: "needs a path, got the number 123: write ./123 for such a file" },
      ],
      [pathValue(), true, { refused: "needs a path, got true" }],
      [pathValue(), "", { refused: "needs a path, got an empty one" }],
    ],
    wordsValue: [
      [wordsValue(["a", "b", "c"]), "c,a", ["a", "c"]],
      [wordsValue(["a", "b"]), ["b", "a,b"], ["a", "b"]],
      [wordsValue(["a", "b"]), "a,x", { refused: 'needs some of a, b, got "x"' }],
      [wordsValue(["a", "b"]), true, { refused: 'needs some of a, b, got "true"' }],
    ],
    textValue: [
      [textValue("a name"), "x", "x"],
      [textValue("a name"), 7, "7"],
      [textValue("a name"), true, { refused: "needs a name, got true" }],
    ],
    numberValue: [
      [numberValue(0, 1), 0.5, 0.5],
      [numberValue(0, 1), 0, 0],
      [numberValue(0, 1), 1, 1],
      [numberValue(0, 1), 1.01, { refused: "needs a number from 0 to 1, got 1.01" }],
      [numberValue(0, 1), -0.01, { refused: "needs a number from 0 to 1, got -0.01" }],
      [numberValue(0, 1), NaN, { refused: "needs a number from 0 to 1, got NaN" }],
      [numberValue(0, 1), "x", { refused: 'needs a number from 0 to 1, got "x"' }],
      [
        numberValue(10, 1000, "a rate in Hz"),
        5,
        { refused: "needs a rate in Hz from 10 to 1000, got 5" },
      ],
    ],
    integerValue: [
      [integerValue(1, 10), 10, 10],
      [integerValue(1, 10), 2.5, { refused: "needs a whole number from 1 to 10, got 2.5" }],
      [integerValue(1, 10), 0, { refused: "needs a whole number from 1 to 10, got 0" }],
      [
        integerValue(1, 10),
        Infinity,
        { refused: "needs a whole number from 1 to 10, got Infinity" },
      ],
    ],
    wordValue: [
      [wordValue(["fold", "external"]), "fold", "fold"],
      [
        wordValue(["fold", "external"]),
        "Fold",
        { refused: 'needs one of fold, external, got "Fold"' },
      ],
    ],
    durationValue: [
      [durationValue(), "10s", 10],
      [durationValue(), "500ms", 0.5],
      [durationValue(), "1.5m", 90],
      [durationValue(), "2h", 7200],
      [durationValue(), 3, 3],
      [durationValue(), "576h", 2_073_600],
      [durationValue(), "577h", { refused: "needs a duration of at most 576h (24 days)" }],
      [durationValue(), "0s", { refused: "needs a duration above zero" }],
      [durationValue(), "10 s", { refused: 'needs a duration such as 10s or 10m, got "10 s"' }],
      [durationValue(), "-1s", { refused: 'needs a duration such as 10s or 10m, got "-1s"' }],
      [durationValue(), "1d", { refused: 'needs a duration such as 10s or 10m, got "1d"' }],
      [durationValue(), true, { refused: "needs a duration such as 10s, got true" }],
    ],
    vectorValue: [
      [vectorValue(), "-0.5,0,1e-1", [-0.5, 0, 0.1]],
      [vectorValue(), " 1 , 2 , 3 ", [1, 2, 3]],
      ...["1,2", "1,2,3,4", "1,,3", "1,2,x", "1,2,Infinity", "", ",,"].map(
        (text) =>
          [
            vectorValue(),
            text,
            { refused: expect.stringMatching(/^needs three numbers such as 0\.5,0,0/) },
          ] as const,
      ),
    ].map(([schema, input, output]) => [schema as v.GenericSchema, input, output]),
    switchValue: [
      [switchValue(), true, true],
      [switchValue(), undefined, false],
      [switchValue(), "x", { refused: 'takes no value, got "x"' }],
    ],
  };

for (const [name, cases] of Object.entries(CASES)) {
  describe(`${name}()`, () => {
    for (const [schema, input, output] of cases) {
      const takes = typeof output !== "object" || Array.isArray(output);
      test(`${takes ? "takes" : "refuses"} ${JSON.stringify(input) ?? String(input)}`, () => {
        expect(read(schema, input)).toEqual(output);
      });
    }
  });
}

test("flagName() is the key in kebab-case", () => {
  expect(["model", "obsStats", "insecureNetwork"].map(flagName)).toEqual([
    "--model",
    "--obs-stats",
    "--insecure-network",
  ]);
});
