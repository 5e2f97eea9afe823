/**
 * The unit of the README, as systemd and the program take it.
 */

import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { run } from "../cli/program_fixture.ts";

const ROOT = join(import.meta.dir, "../..");
const PROGRAM = "/usr/local/bin/lite3rl";
const directory = temporaryDirectory();

function unitOf(readme: string): string {
  const [, unit = ""] =
    /^```ini\n(.*?)^```$/ms.exec(readFileSync(join(ROOT, readme), "utf8")) ?? [];
  return unit;
}

const unit = unitOf("README.md");

describe("the README's unit", () => {
  test("is the same in both languages", () => {
    expect(unit).toContain(`ExecStart=${PROGRAM} serve `);
    expect(unitOf("README.zh-CN.md")).toBe(unit);
  });

  test("has flags that serve takes", async () => {
    const [, line = ""] = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(unit) ?? [];
    const [, ...words] = line.replaceAll("\\\n", " ").split(/\s+/);
    const { status, stderr } = await run([...words, "--show-config"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
});

describeWith("systemd")("systemd-analyze", () => {
  test("finds nothing wrong with the README's unit", () => {
    const path = join(directory, "lite3rl.service");
    // The program has to be there.
    writeFileSync(path, unit.replace(PROGRAM, process.execPath));
    const analyze = join(dirname(findTool("systemd") ?? ""), "systemd-analyze");
    const { exitCode, stdout, stderr } = Bun.spawnSync([analyze, "verify", path]);
    expect({ exitCode, said: `${stdout}${stderr}` }).toEqual({ exitCode: 0, said: "" });
  });
});
