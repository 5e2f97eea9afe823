/**
 * JSON Schema of the documents that other programs read, made of the schemas in the source.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { toJsonSchema } from "@valibot/to-json-schema";
import { parityReportSchema } from "../../src/report/parity_document.ts";
import { ROOT } from "./project.ts";

export const PARITY_SCHEMA = join(ROOT, "src", "report", "parity.schema.json");

/** The text of `parity.schema.json`. */
export function paritySchema(): string {
  const schema = toJsonSchema(parityReportSchema, { typeMode: "output" });
  return `${JSON.stringify({ ...schema, title: "lite3rl parity --json" }, null, 2)}\n`;
}

/** Writes it anew. */
export default function run(): Promise<number> {
  writeFileSync(PARITY_SCHEMA, paritySchema());
  console.error(PARITY_SCHEMA);
  return Promise.resolve(0);
}
