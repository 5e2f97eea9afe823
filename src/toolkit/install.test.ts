import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CACHE } from "../../scripts/dev/project.ts";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { ownerMark } from "../base/owner.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { run, runJson, start, TextStream } from "../cli/program_fixture.ts";
import { environmentName, requireLock, requireWheels } from "../rknn_toolkit/locks.ts";
import { installToolkit } from "./install.ts";
import { findPython } from "./python.ts";

const directory = temporaryDirectory();
const variables = { cache: process.env.XDG_CACHE_HOME };
let cache = "";
const root = (): string => join(cache, "lite3rl", "toolkit");

beforeEach(() => {
  cache = mkdtempSync(join(directory, "cache-"));
  process.env.XDG_CACHE_HOME = cache;
});
afterEach(() => {
  if (variables.cache === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = variables.cache;
});

/** Something that answers as a Python of that version would. */
function pretendPython(version: string, hasVenv = true): string {
  const path = join(mkdtempSync(join(directory, "python-")), `python${version}`);
  const answer = { implementation: "CPython", version, machine: "x86_64", hasVenv };
  writeFileSync(path, `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`, { mode: 0o755 });
  return path;
}

const NEED =
  "need CPython 3.8 to 3.12 with its venv module: install one, or name it with --python PATH";

describe("findPython()", () => {
  test("says what a Python lacks", async () => {
    const gone = join(directory, "gone");
    const [old, bare] = [pretendPython("3.13"), pretendPython("3.9", false)];
    const begin = "Cannot install rknn-toolkit2:";
    expect([
      await refusalOf(() => findPython(gone)),
      await refusalOf(() => findPython(old)),
      await refusalOf(() => findPython(bare)),
      await refusalOf(() => findPython("/bin/true")),
    ]).toEqual([
      { code: "NOT_FOUND", message: `${begin} "${gone}" does not run as a Python, ${NEED}` },
      { code: "UNSUPPORTED", message: `${begin} "${old}" is 3.13, ${NEED}` },
      {
        code: "UNSUPPORTED",
        message: `${begin} "${bare}" has no venv (Debian: apt-get install python3.9-venv), ${NEED}`,
      },
      { code: "UNSUPPORTED", message: `${begin} "/bin/true" does not run as a Python, ${NEED}` },
    ]);
  });

  test("takes the first on PATH that will do", () => {
    const path = process.env.PATH;
    const [first, second] = [pretendPython("3.8"), pretendPython("3.12")];
    try {
      process.env.PATH = [first, second].map((one) => join(one, "..")).join(":");
      expect(findPython(undefined)).toMatchObject({ path: second, version: "3.12" });
    } finally {
      process.env.PATH = path;
    }
  });
});

describe("installToolkit()", () => {
  test("refuses a version without a lock", async () => {
    expect(await refusalOf(() => installToolkit({ toolkit: "1.6.0" }))).toEqual({
      code: "UNSUPPORTED",
      message:
        'Cannot use rknn-toolkit2 "1.6.0": there is no lock for it, ' +
        "need one of 2.5.0, 2.3.2, 2.2.0",
    });
  });

  test("refuses a Python that the version has no wheels for", async () => {
    const python = pretendPython("3.8");
    expect(await refusalOf(() => installToolkit({ toolkit: "2.2.0", python }))).toEqual({
      code: "UNSUPPORTED",
      message:
        'Cannot install rknn-toolkit2 2.2.0 for "cp38-x86_64": there are no wheels for it, ' +
        "need one of cp39-x86_64, cp310-x86_64, cp311-x86_64, cp312-x86_64",
    });
  });

  test("says what a wheelhouse lacks, and what fills it", async () => {
    const python = pretendPython("3.11");
    const wheelhouse = mkdtempSync(join(directory, "wheels-"));
    const refused = await refusalOf(() => installToolkit({ toolkit: "2.5.0", python, wheelhouse }));
    expect(refused.code).toBe("NOT_FOUND");
    expect(refused.message).toMatch(
      /^Cannot install from wheelhouse ".*": it lacks 11 of 11 wheels \(numpy-.*\), need all: /,
    );
    expect(refused.message).toEndWith(
      `lite3rl toolkit download ${wheelhouse} --toolkit 2.5.0 --for cp311-x86_64`,
    );
  });

  testWith("python")("leaves what was there when an install fails", async () => {
    const python = findPython(undefined);
    const name = environmentName(python.version, python.machine);
    const wheelhouse = mkdtempSync(join(directory, "junk-"));
    for (const wheel of requireWheels(requireLock("2.5.0"), name)) {
      writeFileSync(join(wheelhouse, wheel), "no wheel");
    }
    const home = join(root(), `2.5.0-${name.split("-")[0]}`);
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, "kept"), "as it was");
    const options = { toolkit: "2.5.0", python: python.path, wheelhouse };
    const refused = await refusalOf(() => installToolkit(options));
    expect(refused.code).toBe("NATIVE");
    expect(refused.message).toMatch(
      /^Cannot install rknn-toolkit2 2\.5\.0: the wheel "\S+\.whl" has not the hash of the lock/,
    );
    expect(readdirSync(root())).toEqual([`2.5.0-${name.split("-")[0]}`]);
    expect(readFileSync(join(home, "kept"), "utf8")).toBe("as it was");
  });

  testWith("python")(
    "leaves nothing when it is interrupted, and removes what a killed one left",
    async () => {
      mkdirSync(join(root(), `2.5.0-cp311.${ownerMark().replace(/\d+-\d+$/, "4194304-1")}.part`), {
        recursive: true,
      });
      // An index that takes the question and never answers.
      using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      const env = {
        XDG_CACHE_HOME: cache,
        PIP_INDEX_URL: `http://127.0.0.1:${silent.port}/simple`,
      };
      const child = start(["toolkit", "install"], { env });
      await new TextStream(child.stderr).until(/for Python/);
      while (!readdirSync(root()).some((name) => name.includes(`-${child.pid}-`))) {
        await Bun.sleep(20);
      }
      child.kill("SIGINT");
      expect([await child.exited, readdirSync(root())]).toEqual([6, []]);
    },
  );
});

/** Wheels stay between runs; only this test may have them made. */
const WHEELS = join(CACHE, "wheels-2.5.0");

testWith("toolkit")(
  "toolkit download, install, status and remove do without a network",
  async () => {
    const downloaded = await runJson(["toolkit", "download", WHEELS]);
    expect(downloaded.json.wheels).toHaveLength(11);
    const env = { XDG_CACHE_HOME: cache, PIP_INDEX_URL: "http://127.0.0.1:9/simple" };
    const installed = await runJson(["toolkit", "install", "--wheelhouse", WHEELS], { env });
    expect(installed).toMatchObject({ status: 0, json: { wasThere: false, version: "2.5.0" } });
    const again = await runJson(["toolkit", "install"], { env });
    expect(again.json).toEqual({ ...installed.json, wasThere: true });
    const { json } = await runJson(["toolkit", "status"], { env });
    const { wasThere: _, ...toolkit } = installed.json;
    expect(json).toMatchObject({ root: root(), installed: [toolkit] });
    expect(readdirSync(root())).toHaveLength(1);
    const { version, pythonVersion, home } = toolkit;
    const removed = await runJson(["toolkit", "remove", "--toolkit", "2.5.0"], { env });
    expect(removed.json).toEqual({ removed: [{ version, pythonVersion, home }], unfinished: [] });
    expect(readdirSync(root())).toEqual([]);
    const none = await run(["toolkit", "status"], { env });
    expect(none.stdout).toStartWith(`no rknn-toolkit2 is installed in ${root()}\n`);
  },
);
