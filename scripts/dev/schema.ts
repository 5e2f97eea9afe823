/**
 * JSON Schema of the documents that other programs read, made of the schemas in the source.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConversionConfig, toJsonSchema } from "@valibot/to-json-schema";
import { acceptReportSchema } from "../../src/report/accept_document.ts";
import { parityReportSchema } from "../../src/report/parity_document.ts";
import { ROOT } from "./project.ts";

const schemaPath = (name: string): string => join(ROOT, "src", "report", `${name}.schema.json`);

export const PARITY_SCHEMA = schemaPath("parity");
export const ACCEPT_SCHEMA = schemaPath("accept");

/** A figure that is not known is NaN in the program, and null once JSON has written it. */
const OPTIONS: ConversionConfig = {
  typeMode: "output",
  overrideSchema: ({ valibotSchema }) => (valibotSchema.type === "nan" ? { type: "null" } : null),
};

/** The text of `parity.schema.json`. */
export function paritySchema(): string {
  return textOf("lite3rl parity --json", toJsonSchema(parityReportSchema, OPTIONS));
}

/** The text of `accept.schema.json`. */
export function acceptSchema(): string {
  const schema = toJsonSchema(acceptReportSchema, OPTIONS);
  return textOf("lite3rl accept --json", schema);
}

function textOf(title: string, schema: object): string {
  return `${JSON.stringify({ ...schema, title }, null, 2)}\n`;
}

/** Writes them anew. */
export default function run(): Promise<number> {
  writeFileSync(PARITY_SCHEMA, paritySchema());
  writeFileSync(ACCEPT_SCHEMA, acceptSchema());
  console.error(`${PARITY_SCHEMA}\n${ACCEPT_SCHEMA}`);
  return Promise.resolve(0);
}
