import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { programCommand } from "../base/program.ts";
import { failed, run, runJson } from "../cli/program_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const head = (what: string): string => `lite3rl ${packageJson.version}: lite3rl client ${what}`;

test("client prints one file that needs none of the project's others", async () => {
  for (const [words, first] of [
    [["cpp"], `// ${head("cpp")}`],
    [["cpp", "--lite3"], `// ${head("cpp --lite3")}`],
    [["python"], `# ${head("python")}`],
  ] as const) {
    const { status, stdout, stderr } = await run(["client", ...words]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n")[0]).toBe(first);
    expect(stdout).not.toMatch(/^#include "lite3rl|^from lite3rl/m);
    // Each part once, in spite of several that include it.
    expect(stdout.match(/0x7ff4334c/gi)?.length).toBe(1);
  }
});

test("client protocol prints what the source says of it", async () => {
  const { status, stdout } = await run(["client", "protocol"]);
  const [first, ...lines] = stdout.trimEnd().split("\n");
  const protocol = readFileSync(join(import.meta.dir, "../wire/PROTOCOL.md"), "utf8");
  expect([status, first]).toEqual([0, `<!-- ${head("protocol")} -->`]);
  expect(lines.join("\n")).toBe(protocol.trimEnd());
});

test("client is silent where nobody reads it", async () => {
  const words = [...programCommand(), "client", "cpp"];
  const [shell, script] = ["sh", '{ "$@"; echo "status $?" >&2; } | true'];
  const { stderr } = Bun.spawnSync([shell, "-c", script, shell, ...words]);
  expect(stderr.toString()).toBe("status 0\n");
});

test("client --output writes the same file, over an older one of its own only", async () => {
  const output = join(directory, "lite3rl_client.hpp");
  for (let i = 0; i < 2; i++) {
    const { status, json, stderr } = await runJson(["client", "cpp", "--output", output]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(json).toEqual({
      language: "cpp",
      lite3: false,
      version: packageJson.version,
      sha256: new Bun.CryptoHasher("sha256").update(readFileSync(output)).digest("hex"),
      output,
    });
  }
  const { json } = await runJson(["client", "cpp"]);
  expect(json.source).toBe(readFileSync(output, "utf8"));

  const other = join(directory, "mine.hpp");
  writeFileSync(other, "int mine;\n");
  expect(await run(["client", "cpp", "--output", other])).toEqual(
    failed(
      2,
      `Cannot write "${other}": the file that is there is no client of lite3rl, name another ` +
        "with --output",
    ),
  );
  expect(readFileSync(other, "utf8")).toBe("int mine;\n");
});

test("client refuses a language that it does not have", async () => {
  expect(await run(["client", "rust"])).toEqual(
    failed(2, 'Unknown language "rust" for client: need one of cpp, python, protocol'),
  );
  expect(await run(["client", "python", "--lite3"])).toEqual(
    failed(
      2,
      "Cannot print --lite3 for python: Lite3_rl_deploy takes C++, need lite3rl client cpp --lite3",
    ),
  );
});
