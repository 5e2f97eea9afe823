/**
 * Actions that are no numbers: parity fails for them, and still leaves its document and reports.
 */

import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { PARITY_SCHEMA } from "../../scripts/dev/schema.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { run, runJson } from "../cli/program_fixture.ts";
import { compareSides } from "./compare_sides.ts";
import { encodeOutputs } from "./saved_outputs.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const place = (name: string): string => join(directory, name);
const [good, some, none] = ["good.npz", "some.npz", "none.npz"].map(place) as [
  string,
  string,
  string,
];
const validate = new Ajv().compile(JSON.parse(readFileSync(PARITY_SCHEMA, "utf8")) as object);

/** Three plausible samples and one adversarial one, two actions each. */
function save(path: string, label: string, actions: readonly number[]): void {
  const kinds = [
    { kind: "plausible", rows: 3 },
    { kind: "adversarial", rows: 1 },
  ] as const;
  const samples = { label: "set", rows: 4, data: Float32Array.of(1, 2, 3, 4), kinds };
  const sides = [{ label, evidence: "cpu" as const, actions: Float32Array.from(actions) }];
  writeFileSync(path, encodeOutputs({ space: "raw", samples, sides }));
}

beforeAll(() => {
  save(good, "good", [0, 1, 2, 3, 4, 5, 6, 7]);
  save(some, "some", [0, NaN, 2, 3.5, 4, 5, 6, -Infinity]);
  save(none, "none", Array<number>(8).fill(NaN));
});

const FIRST = { side: "b", sample: 0, output: "action[0]", value: "NaN" };

test("parity fails for what is not finite, with the figures of the other samples", async () => {
  const [report, junit] = [place("page.html"), place("junit.xml")];
  const flags = ["--mae", "1", "--report", report, "--junit", junit];
  const { status, json, stderr } = await runJson(["parity", good, some, ...flags]);
  const failure =
    `some (${some}) gives NaN for sample 0, action[1]: 2 actions in 2 samples not finite, ` +
    "which no figure is of";
  expect({ status, stderr, json }).toMatchObject({
    status: 1,
    stderr: `failed: ${failure}\n`,
    json: {
      pass: false,
      checks: [
        { name: "actions are finite", pass: false, failures: [failure] },
        { name: "MAE", pass: true, found: 0.125 },
      ],
      nonFinite: {
        values: 2,
        samples: 2,
        first: [
          { ...FIRST, output: "action[1]" },
          { side: "b", sample: 3, output: "action[1]", value: "-Infinity" },
        ],
      },
      samples: 2,
      mae: 0.125,
      worst: { sample: 1, output: "action[1]", error: 0.5 },
      kinds: [
        { kind: "plausible", samples: 2, mae: 0.125 },
        { kind: "adversarial", samples: 0, mae: null, max: null },
      ],
    },
  });
  expect([validate(json), validate.errors]).toEqual([true, null]);
  expect(readFileSync(junit, "utf8")).toContain('failures="1"');
  expect(readFileSync(report, "utf8")).toContain("gives NaN for sample 0");
});

test("parity knows no figure where nothing is finite", async () => {
  const [report, junit] = [place("none.html"), place("none.xml")];
  const flags = ["--max", "1", "--quantile", "0.9=1", "--report", report, "--junit", junit];
  const { status, json } = await runJson(["parity", good, none, ...flags]);
  expect({ status, json }).toMatchObject({
    status: 1,
    json: {
      pass: false,
      samples: 0,
      mae: null,
      max: null,
      cosine: null,
      sqnrDb: null,
      worstSamples: [],
      requiredTolerance: { mae: null, max: null },
      nonFinite: { values: 8, samples: 4 },
    },
  });
  const checks = json["checks"] as { pass: boolean; failures: string[] }[];
  expect(checks.map(({ pass }) => pass)).toEqual([false, false, false, false]);
  expect(checks[1]?.failures).toEqual([
    "MAE is not known: no sample has finite actions on both sides",
  ]);
  expect([validate(json), validate.errors]).toEqual([true, null]);
  expect(readFileSync(report, "utf8")).toContain("No limit would pass");
  expect(readFileSync(junit, "utf8")).toContain('name="actions are finite"');
  expect((await run(["parity", good, none])).stdout).toContain("actions are finite: ");
});

test("compareSides() throws for them where nobody asked to keep them", async () => {
  const options = { a: good, b: none, seed: 0, timeoutMs: 1000 };
  expect(await refusalOf(() => compareSides(options))).toEqual({
    code: "CHECK_FAILED",
    message:
      `none (${none}) gives NaN for sample 0, action[0]: 8 actions in 4 samples not finite, ` +
      "which no figure is of",
  });
});
