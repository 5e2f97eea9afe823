/** Configuration as a user meets it: whole processes in a directory with a `lite3rl.yaml`. */

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { failed, run, runJson } from "./program_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();

/** A directory of its own with this `lite3rl.yaml`. */
function project(name: string, yaml: string): string {
  const cwd = join(directory, name);
  mkdirSync(cwd);
  writeFileSync(join(cwd, "lite3rl.yaml"), yaml);
  return cwd;
}

const SERVE = `obs-stats: s.npz # for all
serve:
  model: file.onnx
  warmup: 1
  socket: /tmp/file.sock
`;

describe("lite3rl --show-config", () => {
  test("shows flags before variables before the file before defaults", async () => {
    const cwd = project("precedence", SERVE);
    const env = {
      LITE3RL_MODEL: "all.onnx",
      LITE3RL_SERVE_WARMUP: "2",
      LITE3RL_WARMUP: "3",
      LITE3RL_SOCKET: "/tmp/variable.sock",
    };
    const argv = ["serve", "--show-config", "--socket", "/tmp/flag.sock"];
    const chosen = {
      model: { value: "all.onnx", origin: "LITE3RL_MODEL" },
      "obs-stats": { value: "s.npz", origin: "lite3rl.yaml:1" },
      socket: { value: "/tmp/flag.sock", origin: "command line" },
      warmup: { value: 2, origin: "LITE3RL_SERVE_WARMUP" },
    };
    const { status, json } = await runJson(argv, { cwd, env });
    const settings = json.settings as Record<string, { value: unknown; origin: string }>;
    expect({ status, verb: json.verb }).toEqual({ status: 0, verb: "serve" });
    expect(settings).toMatchObject({
      ...chosen,
      tcp: { value: null, origin: "default" },
      "insecure-network": { value: false, origin: "default" },
      io: { value: "auto", origin: "default" },
    });
    const defaults = Object.entries(settings).filter(([name]) => !Object.hasOwn(chosen, name));
    expect(defaults.map(([, { origin }]) => origin)).toEqual(defaults.map(() => "default"));
    const shown = await run(argv, { cwd, env });
    const rows = shown.stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/));
    expect({ status: shown.status, stderr: shown.stderr, rows }).toEqual({
      status: 0,
      stderr: "",
      rows: [
        ["serve", "value", "from"],
        ...Object.entries(settings).map(([name, { value, origin }]) => [
          name,
          String(value ?? "-"),
          origin,
        ]),
      ],
    });
  });

  test("runs without what is needed, and refuses what is wrong", async () => {
    const missing = await runJson(["export", "--show-config", "--no-check"], { cwd: directory });
    expect(missing.json).toMatchObject({
      settings: {
        checkpoint: { value: null, origin: "missing, needed" },
        "output-name": { value: "action", origin: "default" },
        check: { value: false, origin: "command line" },
      },
    });
    const cwd = project("wrong", "serve:\n  warmup: -1\n");
    const message =
      'Cannot use "lite3rl.yaml:2": serve.warmup needs a whole number from 0 to 1000000, got -1';
    expect(await run(["serve", "--show-config"], { cwd })).toEqual(failed(2, message));
    expect(await run(["serve", "--model", "x"], { cwd })).toEqual(failed(2, message));
    expect(await run(["serve", "--model", "x", "--bogus", "--show-config"], { cwd })).toEqual(
      failed(2, 'Unknown flag "--bogus" for serve; see --help'),
    );
  });

  test("shows what the command line took back, and what it displaced", async () => {
    const cwd = project("back", "model: m.onnx\nobs-stats: s.npz\nagent: {steps: 512}\n");
    const { json } = await runJson(
      ["agent", "--show-config", "--connect", "unix:/tmp/x.sock", "--no-steps"],
      { cwd },
    );
    expect(json).toMatchObject({
      settings: {
        model: { value: null, origin: "default" },
        "obs-stats": { value: null, origin: "default" },
        connect: { value: "unix:/tmp/x.sock", origin: "command line" },
        steps: { value: null, origin: "command line" },
      },
    });
  });
});

describe("lite3rl with a lite3rl.yaml", () => {
  test("says in one line what it took from it, and takes positionals too", async () => {
    const cwd = project("notice", "export:\n  checkpoint: none.pt\n  check: false\n");
    expect(await run(["export"], { cwd, env: { LITE3RL_OUTPUT_NAME: "act" } })).toEqual({
      status: 3,
      stdout: "",
      stderr:
        "using the environment: LITE3RL_OUTPUT_NAME\n" +
        "using lite3rl.yaml: checkpoint, check\n" +
        'error: Cannot read "none.pt": there is no such file, need a file\n',
    });
    const quiet = 'Cannot read "none.pt": there is no such file, need a file';
    expect(await run(["export", "--quiet"], { cwd })).toEqual(failed(3, quiet));
    expect(await run(["export", "other.pt", "--check", "--no-config-file"], { cwd })).toEqual(
      failed(3, 'Cannot read "other.pt": there is no such file, need a file'),
    );
  });

  test("reads the file that --config-file or LITE3RL_CONFIG_FILE names in its place", async () => {
    const cwd = project("named", "export: {checkpoint: here.pt}\n");
    mkdirSync(join(cwd, "sub"));
    writeFileSync(join(cwd, "sub", "other.yaml"), "export: {checkpoint: ./there.pt}\n");
    const stderr =
      "using sub/other.yaml: checkpoint\n" +
      'error: Cannot read "sub/there.pt": there is no such file, need a file\n';
    const expected = { status: 3, stdout: "", stderr };
    expect(await run(["export", "--config-file", "sub/other.yaml"], { cwd })).toEqual(expected);
    const env = { LITE3RL_CONFIG_FILE: "sub/other.yaml" };
    expect(await run(["export"], { cwd, env })).toEqual(expected);
    expect(await run(["export", "--config-file", "gone.yaml"], { cwd, env })).toEqual(
      failed(3, 'Cannot read "gone.yaml": there is no such file, need a file'),
    );
    expect(await run(["export", "--no-config-file"], { cwd, env })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("export needs <checkpoint>"),
    });
  });

  test("refuses values by the same rules as flags, with their place", async () => {
    const cases: [env: Record<string, string>, message: string][] = [
      [
        { LITE3RL_WARMUP: "many" },
        'LITE3RL_WARMUP needs a whole number from 0 to 1000000, got "many"',
      ],
      [
        { LITE3RL_OBS_STATS: "7" },
        "LITE3RL_OBS_STATS needs a path, got the number 7: write ./7 for such a file",
      ],
    ];
    for (const [env, message] of cases) {
      expect(await run(["serve", "--model", "x"], { cwd: directory, env })).toEqual(
        failed(2, message),
      );
    }
    const cwd = project("hostile", "serve: {model: [a, b], socket: 5}\n");
    expect(await run(["serve"], { cwd })).toEqual(
      failed(
        2,
        'Cannot use "lite3rl.yaml:1": serve.socket needs a path, got the number 5: write ./5 for such a file',
      ),
    );
  });

  test("does not hear of --no-model where nothing sets it", async () => {
    expect(await run(["serve", "--no-model"], { cwd: directory })).toEqual(
      failed(2, "--model needs a value: --model <file>"),
    );
    expect(await run(["serve", "--json.a", "1"], { cwd: directory })).toEqual(
      failed(2, '--json takes no value, got "[object Object]"'),
    );
  });
});
