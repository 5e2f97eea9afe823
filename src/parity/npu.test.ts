/**
 * `lite3rl parity policy.onnx policy.rknn` with the NPU's library, which here is the double; on
 * aarch64 in the built binary.
 */

import { beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { LIBRARY_DIRECTORIES } from "../../ffi/rknn_library.ts";
import { AARCH64_ENV, asAarch64 } from "../../scripts/dev/emulate.ts";
import { BINARIES, run as runCommand } from "../../scripts/dev/project.ts";
import { describeOnAarch64, describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { failed, run, runJson } from "../cli/program_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { demoNetwork, modelOf } from "../policy/policy_fixture.ts";
import { aarch64Options, doubleLibrary, doubleOf } from "../runtime/rknn_double_fixture.ts";

const directory = temporaryDirectory();
const [onnx, rknn] = [join(directory, "policy.onnx"), join(directory, "policy.rknn")];

beforeAll(async () => {
  const network = await demoNetwork();
  writeFileSync(onnx, encodeOnnx(modelOf(network, { metadata: { normalizer: "folded" } })));
  writeFileSync(rknn, doubleOf(network));
});

const env = { LITE3RL_DOUBLE: "1" };

/** Of a parity that passed: what was compared, and that nobody can take it for an NPU's. */
function checkDocument(json: Record<string, unknown>): void {
  const { pass, evidence } = json;
  expect({ pass, evidence }).toEqual({ pass: true, evidence: { a: "cpu", b: "double" } });
}

test("parity says of a double's model that it needs the double, where no library is", async () => {
  expect(await run(["parity", onnx, rknn])).toEqual(
    failed(
      5,
      `Cannot emulate "${rknn}": it is made for the test double of the NPU library, which is ` +
        "not loaded; need the double with --librknnrt and LITE3RL_DOUBLE=1, or a .rknn of the " +
        "toolkit",
    ),
  );
});

test("serve says the same", async () => {
  expect(await run(["serve", "--model", rknn, "--socket", join(directory, "s")])).toEqual(
    failed(
      5,
      `Cannot run "${rknn}": no librknnrt.so in ${LIBRARY_DIRECTORIES.join(", ")}, and the file ` +
        "is made for the test double: need that by --librknnrt and LITE3RL_DOUBLE=1",
    ),
  );
});

describeWith("cc")("parity of a .rknn", () => {
  const words = () => ["parity", onnx, rknn, "--librknnrt", doubleLibrary()];

  test("passes over the double, and says that it is one", async () => {
    const { status, json, stderr } = await runJson(words(), { env });
    checkDocument(json);
    expect([status, stderr.split("\n")[0]]).toEqual([
      0,
      `warning: ${doubleLibrary()} is a test double of the NPU library: no figure is an NPU's`,
    ]);
  });

  test("passes with each way in, and on each core", async () => {
    for (const flags of [
      ["--io", "zero-copy"],
      ["--io", "float"],
      ["--core", "2"],
      ["--core", "auto"],
    ]) {
      expect((await run([...words(), "--quiet", ...flags], { env })).status).toBe(0);
    }
  });

  test("passes where the NPU's process could not use lite3rl.yaml", async () => {
    writeFileSync(join(directory, "lite3rl.yaml"), "serve: [\n");
    const { status, stderr } = await run([...words(), "--no-config-file", "--quiet"], {
      cwd: directory,
      env: { ...env, LITE3RL_CONFIG_FILE: "absent.yaml" },
    });
    expect([status, stderr.split("\n").filter((line) => line.startsWith("error"))]).toEqual([
      0,
      [],
    ]);
  });

  test("ends with status 6 when the library crashes", async () => {
    const { status, stderr } = await run([...words(), "--quiet", "--io", "float"], {
      env: { ...env, LITE3RL_DOUBLE_CRASH_AT: "7" },
    });
    expect([status, stderr.trim().split("\n").at(-1)]).toEqual([
      6,
      "error: Cannot act: the process of the NPU library was ended by SIGSEGV, its last line is " +
        '"E RKNN: failed to submit!, op id: 1, op name: Conv:crash"; the next call starts ' +
        "another, lite3rl doctor checks library and driver",
    ]);
  });
});

describeOnAarch64("zig")("parity of a .rknn on aarch64", () => {
  test("passes over the double", () => {
    const qemu = findTool("qemu") ?? "";
    const { library = "" } = aarch64Options(qemu, BINARIES.arm64);
    const words = ["parity", onnx, rknn, "--librknnrt", library, "--samples", "64", "--json"];
    const ran = runCommand(asAarch64(qemu, [BINARIES.arm64, ...words]), {
      env: { ...AARCH64_ENV, ...env },
    });
    expect(ran.stderr).not.toContain("error");
    checkDocument(JSON.parse(ran.stdout));
  }, 120_000);
});
