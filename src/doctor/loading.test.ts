import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { runJson } from "../cli/program_fixture.ts";
import { doubleLibrary, emptyDouble } from "../runtime/rknn_double_fixture.ts";
import type { Row } from "./row.ts";

const directory = temporaryDirectory();
const model = join(directory, "policy.rknn");
writeFileSync(model, emptyDouble(4));

/** The row of the live machine, where the double stands for the library. */
async function loadingRow(faults: Record<string, string> = {}): Promise<Row | undefined> {
  const args = ["doctor", "--model", model, "--librknnrt", doubleLibrary()];
  const { json } = await runJson(args, { env: { LITE3RL_DOUBLE: "1", ...faults } });
  return (json.rows as Row[]).find(({ check }) => check === "loading");
}

testWith("cc")("the library runs the model, and the double is called that", async () => {
  expect(await loadingRow()).toEqual({
    check: "loading",
    state: "warning",
    found: expect.stringMatching(
      /^librknnrt .+ with driver .+ runs the model: the test double, no NPU$/,
    ),
    needed: "Rockchip's library",
    mend: "leave it out",
  });
});

testWith("cc")("a library that crashes ends a process of its own, and is a row", async () => {
  expect(await loadingRow({ LITE3RL_DOUBLE_CRASH_AT: "1" })).toEqual({
    check: "loading",
    state: "fails",
    found: expect.stringContaining("the process of the NPU library was ended by SIG"),
    needed: "a library that runs the model, for the user who runs the doctor",
    mend: "RKNN_LOG_LEVEL=4 lite3rl doctor --model … shows the library's own words",
  });
});

testWith("cc")("a library that is another one has a cure of its own", async () => {
  const other = join(directory, "other.so");
  writeFileSync(`${other}.c`, "int rknn_init(void) { return 0; }");
  Bun.spawnSync([findTool("cc") ?? "cc", "-shared", "-fPIC", "-o", other, `${other}.c`]);
  const { json } = await runJson(["doctor", "--model", model, "--librknnrt", other]);
  expect((json.rows as Row[]).find(({ check }) => check === "loading")).toEqual({
    check: "loading",
    state: "fails",
    found: expect.stringContaining(`Cannot load the NPU library "${other}": it lacks rknn_destroy`),
    needed: "a library that runs the model, for the user who runs the doctor",
    mend: "install Rockchip's librknnrt: lite3rl doctor --fix prints how",
  });
});

testWith("cc")("a library without a device says so", async () => {
  const row = await loadingRow({ LITE3RL_DOUBLE_NO_DEVICE: "1" });
  expect({ state: row?.state, found: row?.found }).toEqual({
    state: "fails",
    found: expect.stringContaining("The NPU library's rknn_init gave -1 (FAIL)"),
  });
});
