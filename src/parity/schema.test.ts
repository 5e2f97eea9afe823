/**
 * The published JSON Schema, held by another validator against real documents.
 */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { PARITY_SCHEMA, paritySchema } from "../../scripts/dev/schema.ts";
import { runJson } from "../cli/program_fixture.ts";
import { RKNN_FIXTURES } from "../runtime/rknn_fixture.ts";

setDefaultTimeout(60_000);

const fixture = (name: string): string => join(RKNN_FIXTURES, name);
const published = readFileSync(PARITY_SCHEMA, "utf8");
const validator = new Ajv({ allErrors: true });
const validate = validator.compile(JSON.parse(published) as Record<string, unknown>);

/** What of a document is not as the schema says. */
function wrongOf(document: unknown): readonly string[] {
  validate(document);
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

test("parity.schema.json is that of the program; bun run schema writes it", () => {
  expect(JSON.parse(published)).toEqual(JSON.parse(paritySchema()));
});

test("parity.schema.json holds for every document of parity, and for nothing less", async () => {
  const sides = ["small.onnx", "small.fp16.rknn", "small.w8a8.rknn"].map(fixture);
  const limits = ["--max", "0.5", "--quantile", "0.99=0.4", "--require", "npu", "--samples", "50"];
  const several = await runJson(["parity", ...sides, ...limits]);
  const alone = await runJson([
    "parity",
    fixture("small.onnx"),
    "emulated",
    "--samples",
    "5",
    "--bisect",
  ]);
  expect([several.status, alone.status]).toEqual([1, 0]);
  expect([wrongOf(several.json), wrongOf(alone.json)]).toEqual([[], []]);
  const { checks: _checks, ...less } = alone.json;
  expect([wrongOf(less), wrongOf({ ...alone.json, more: 1 })]).toEqual([
    [" must have required property 'checks'"],
    [" must NOT have additional properties"],
  ]);
});
