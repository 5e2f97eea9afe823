/**
 * For tests that need more than Bun: where the tool is, or a printed reason for the skip.
 */

import { test } from "bun:test";
import { type ToolName, toolVariable } from "./tools.ts";

/** The tool's path; undefined means that the tests that need it are skipped. */
export function findTool(name: ToolName): string | undefined {
  return process.env[toolVariable(name)] || undefined;
}

/** `test`, or a skip that says which tool is missing. */
export function testWith(name: ToolName): typeof test {
  if (findTool(name) !== undefined) return test;
  console.error(`skipped: needs ${name}; bun run test installs it where it can`);
  return test.skip as typeof test;
}
