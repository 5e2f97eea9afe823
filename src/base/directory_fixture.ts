/**
 * For tests: a directory of their own.
 */

import { afterAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Makes a directory that is removed after the tests of the calling file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-test-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
