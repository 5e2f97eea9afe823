import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { failed, run, runJson } from "../cli/program_fixture.ts";
import { writeMachine } from "./machine_fixture.ts";

const directory = temporaryDirectory();
/** The doctor reads its own variable on this machine alone. */
const env = { LITE3RL_LIBRKNNRT: "" };

describe("lite3rl doctor", () => {
  test("--root reads a capture; exit status 0 where nothing stops the service", async () => {
    const { capture, model } = await writeMachine(directory, "healthy");
    const { status, json, stderr } = await runJson(["doctor", "--root", capture, "--model", model]);
    const { canServe, counts, user, board } = json;
    expect({ status, stderr, canServe, counts, user, board }).toEqual({
      status: 0,
      stderr: "",
      canServe: true,
      counts: { ok: 21, warning: 0, fails: 0, "not checked": 2 },
      user: "lite3",
      board: "Radxa ROCK 5B, Ubuntu 22.04.3 LTS, kernel 5.10.160-rockchip-rk3588",
    });
  });

  test("exit status 1 and what stops it, where the service could not run", async () => {
    const { capture } = await writeMachine(directory, "x86_ci");
    const { status, stdout, stderr } = await run(["doctor", "--root", capture]);
    expect({ status, stderr, last: stdout.trimEnd().split("\n").at(-1) }).toEqual({
      status: 1,
      stderr: "failed: the service could not run on the NPU: SoC, driver, device node, library\n",
      last: "5 ok, 1 warning, 4 failed, 13 not checked: the service could not run on the NPU",
    });
  });

  test("--fix prints the script alone", async () => {
    const { capture } = await writeMachine(directory, "node_without_permission");
    const { status, stdout } = await run(["doctor", "--root", capture, "--fix"]);
    expect({
      status,
      first: stdout.split("\n")[0],
      last: stdout.trimEnd().split("\n").at(-1),
    }).toEqual({
      status: 1,
      first: "#!/usr/bin/env bash",
      last: 'echo "done: lite3rl doctor says what is left"',
    });
  });

  test("--capture writes this machine, which then says the same of itself", async () => {
    const capture = join(directory, "this.tar");
    const live = await runJson(["doctor", "--capture", capture], { env });
    const again = await runJson(["doctor", "--root", capture]);
    const { contents, capture: written, place: _, ...said } = live.json;
    const { place, ...saidAgain } = again.json;
    expect(saidAgain).toEqual(said);
    expect({ place, written, contents, size: statSync(capture).size > 0 }).toEqual({
      place: `the capture "${capture}"`,
      written: capture,
      contents: expect.arrayContaining(["/proc/meminfo"]),
      size: true,
    });
    expect(live.stderr).toContain("/etc/passwd: root and the service's user");
  });
});

describe("lite3rl doctor --capture", () => {
  test("leaves a file alone that is no capture, and replaces one that is", async () => {
    const { capture, model } = await writeMachine(directory, "healthy");
    const before = readFileSync(model);
    expect(await run(["doctor", "--capture", model], { env })).toEqual(
      failed(
        2,
        `Cannot write "${model}": the file that is there is no capture of the doctor's, ` +
          "name another with --capture",
      ),
    );
    expect(readFileSync(model)).toEqual(before);
    const { stderr } = await runJson(["doctor", "--capture", capture, "--model", model], { env });
    expect(stderr).toStartWith(`wrote ${capture}: `);
    expect(stderr).toContain(
      `\n${model} is not in it: to see its rows again, name it with --root and --model\n`,
    );
  });

  test("says which flag names another place where it cannot write", async () => {
    const place = `/proc/${process.pid}/board.tar`;
    const { stderr } = await run(["doctor", "--capture", place], { env });
    expect(stderr).toBe(
      `error: Cannot write "${place}": there is no such directory; ` +
        "name a place that can be written with --capture\n",
    );
  });
});

describe("lite3rl doctor refuses, and writes nothing,", () => {
  const nothing = join(directory, "nothing");
  const tree = join(directory, "tree");
  mkdirSync(join(tree, "etc"), { recursive: true });
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [
      ["--root", nothing],
      3,
      `Cannot look at "${nothing}": there is nothing of that name, need a capture or a directory`,
    ],
    [["--model", nothing], 3, `Cannot read "${nothing}": there is no such file, need a file`],
    [["--root", "/", "--capture", nothing], 2, "--capture takes this machine, leave --root out"],
    [["--capture", directory], 2, `Cannot write "${directory}": it is a directory, name a file`],
    [["--socket", "a.sock"], 2, '--socket needs an absolute path, got "a.sock"'],
    [["--user", "a b"], 2, '--user needs a user\'s name, got "a b"'],
    [
      ["--root", directory],
      3,
      `Cannot look at "${directory}": it has none of etc, proc, sys, need a capture, or a system's root directory`,
    ],
    [
      ["--root", tree, "--librknnrt", "x.so"],
      2,
      '--librknnrt needs an absolute path of the machine that --root shows, got "x.so"',
    ],
  ];
  for (const [args, status, message] of cases) {
    test(args.join(" "), async () => {
      expect(await run(["doctor", ...args], { env })).toEqual(failed(status, message));
      expect(existsSync(nothing)).toBe(false);
    });
  }
});

test("lite3rl doctor takes a relative path of the library from where it runs", async () => {
  const env = { LITE3RL_LIBRKNNRT: "./nothing/librknnrt.so" };
  const { json } = await runJson(["doctor"], { env });
  const rows = json.rows as { check: string; found: string }[];
  expect(rows.find(({ check }) => check === "library")?.found).toBe(
    `${join(process.cwd(), "nothing/librknnrt.so")}: there is none`,
  );
});
