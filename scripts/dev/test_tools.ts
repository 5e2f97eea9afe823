/**
 * For tests that need more than Bun: where the tool is, or a printed reason for the skip.
 */

import { describe, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BINARIES, ROOT } from "./project.ts";
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

/** `describe`, or a skip that says which tool is missing. */
export function describeWith(...names: readonly ToolName[]): typeof describe {
  const missing = names.filter((name) => findTool(name) === undefined);
  if (missing.length === 0) return describe;
  return skipBecause(`needs ${missing.join(", ")}; bun run test installs it where it can`);
}

/** `describe.skip` with a printed reason. */
export function skipBecause(reason: string): typeof describe {
  console.error(`skipped: ${reason}`);
  return describe.skip as typeof describe;
}

/** `describe` for the built aarch64 binary, with qemu where this machine is another. */
export function describeOnAarch64(...names: readonly ToolName[]): typeof describe {
  if (existsSync(BINARIES.arm64)) return describeWith("qemu", ...names);
  return skipBecause("needs the aarch64 binary; bun run build makes it");
}

/** Real files of other makers, which are not part of the project and not always beside it. */
export const SHARED_DATA = join(ROOT, "..", "shared", "data");

/** `describe`, or a skip that says which file is missing. */
export function describeWithShared(file: string): typeof describe {
  const path = join(SHARED_DATA, file);
  if (existsSync(path)) return describe;
  return skipBecause(`needs shared/data/${file}, which is not part of the project`);
}
