/**
 * `bun run test`: everything a fresh machine needs, then every test. Nothing else decides whether
 * a change is good. The last line is `N passed, N failed, N skipped`.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import build from "./build.ts";
import { ROOT } from "./project.ts";
import { prepareTools, type ToolName, toolVariable } from "./tools.ts";

export default async function test(args: readonly string[]): Promise<number> {
  const isCi = process.env.CI === "true";
  const env: Record<string, string | undefined> = { ...process.env };
  const missing: string[] = [];
  for (const [name, tool] of Object.entries(prepareTools())) {
    if ("path" in tool) env[toolVariable(name as ToolName)] = tool.path;
    else missing.push(`${name}: ${tool.missing}`);
  }
  if ((await build([])) !== 0) return finish({ passed: 0, failed: 1, skipped: 0 });

  const directory = mkdtempSync(join(tmpdir(), "lite3rl-test-"));
  const junit = join(directory, "junit.xml");
  const report = ["--reporter=junit", `--reporter-outfile=${junit}`];
  const child = Bun.spawn([process.execPath, "test", "--timeout=120000", ...report, ...args], {
    cwd: ROOT,
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const status = await child.exited;
  const counts = readCounts(junit);
  rmSync(directory, { recursive: true, force: true });

  for (const reason of missing)
    console.error(`${isCi ? "missing tool" : "skipped for want of"} ${reason}`);
  const isIncomplete = isCi && missing.length > 0;
  const isSilent = counts.passed + counts.failed === 0;
  const crashed = status !== 0 && counts.failed === 0;
  const extra = isIncomplete || isSilent || crashed ? 1 : 0;
  if (crashed) console.error(`the test runner itself ended with status ${status}`);
  return finish({ ...counts, failed: counts.failed + extra });
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

function finish(counts: Counts): number {
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return counts.failed === 0 ? 0 : 1;
}

/** Counts of the whole run, from the head of the JUnit report. */
function readCounts(junit: string): Counts {
  let head: string;
  try {
    head = /<testsuites [^>]*>/.exec(readFileSync(junit, "utf8"))?.[0] ?? "";
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
  const count = (name: string): number =>
    Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = count("failures") + count("errors");
  const skipped = count("skipped");
  return { passed: count("tests") - failed - skipped, failed, skipped };
}
