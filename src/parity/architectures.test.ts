/**
 * Outputs saved on one architecture and compared on the other, by the built binaries.
 */

import { beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { AARCH64_ENV, asAarch64 } from "../../scripts/dev/emulate.ts";
import { BINARIES, run } from "../../scripts/dev/project.ts";
import { describeOnAarch64, findTool, skipBecause } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";

const directory = temporaryDirectory();
const place = (name: string): string => join(directory, name);
const inputs = place("inputs.npz");
let model: string;

const ARCHITECTURES = ["x64", "arm64"] as const;
type Architecture = (typeof ARCHITECTURES)[number];

/** Runs that architecture's binary; the document that it prints. */
function lite3rl(architecture: Architecture, ...words: string[]): Record<string, unknown> {
  const command = [BINARIES[architecture], ...words, "--json", "--quiet"];
  const ran =
    architecture === "x64"
      ? run(command)
      : run(asAarch64(findTool("qemu") ?? "", command), { env: AARCH64_ENV });
  expect({ status: ran.status, stderr: ran.stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(ran.stdout) as Record<string, unknown>;
}

const outputs = (architecture: string): string => place(`${architecture}.npz`);

const describeBoth =
  process.arch === "x64" && existsSync(BINARIES.x64)
    ? describeOnAarch64
    : () => skipBecause("needs both binaries on x86-64; bun run build makes them");

describeBoth()("outputs that parity saved on the other architecture", () => {
  beforeAll(async () => {
    model = await exportDemoPolicy(directory);
    const words = ["parity", model, "--obs-stats", OBS_STATS];
    lite3rl(
      "x64",
      ...words,
      "--samples",
      "64",
      "--save-inputs",
      inputs,
      "--save-outputs",
      place("x"),
    );
    for (const architecture of ARCHITECTURES) {
      lite3rl(architecture, ...words, "--dataset", inputs, "--save-outputs", outputs(architecture));
    }
  }, 240_000);

  test("are compared there and here, with the same figures", () => {
    const both = [outputs("x64"), outputs("arm64")];
    const [here, there] = ARCHITECTURES.map((one) => lite3rl(one, "parity", ...both));
    expect(here).toMatchObject({
      pass: true,
      samples: 64,
      space: "raw",
      sides: { a: `${model} (${both[0]})`, b: `${model} (${both[1]})` },
      evidence: { a: "cpu", b: "cpu" },
    });
    expect(Number(here?.["max"])).toBeLessThan(1e-5);
    expect(there).toEqual(here as never);
  }, 120_000);

  test("are held against a model that runs here", () => {
    for (const [one, other] of [ARCHITECTURES, ARCHITECTURES.toReversed()] as const) {
      const words = ["parity", outputs(other as string), "emulated", "--model", model];
      const document = lite3rl(one as Architecture, ...words, "--obs-stats", OBS_STATS);
      expect(document).toMatchObject({ pass: true, evidence: { a: "cpu", b: "emulation" } });
      expect(Number(document["mae"])).toBeWithin(1e-5, 1e-3);
    }
  }, 240_000);
});
