import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import { refusalOf } from "../base/refusal_fixture.ts";
import { readArguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import { failed, run, runJson } from "./program_fixture.ts";
import { VERBS } from "./verbs.ts";

setDefaultTimeout(60_000);

const SERVE =
  "lite3rl serve --model build/policy.onnx --obs-stats inputs/obs_stats.npz " +
  "--socket /tmp/lite3_policy.sock --warmup 16";

const EXPORT = "lite3rl export policy.pt --config actor.yaml --output build/policy.onnx";
const PARITY = "lite3rl parity build/policy.onnx emulated --dataset build/calib_obs.npy --mae 1e-3";
const stray = (verb: string, wants: string, word: string, example: string): string =>
  `${verb} takes ${wants}, and does not know what to do with "${word}", for example: ${example}`;

/** Arguments → exit status and the one line on stderr. */
const REFUSED: readonly [argv: readonly string[], status: number, message: string][] = [
  [["exprt"], 2, 'Unknown verb "exprt": did you mean export?; lite3rl --help lists all'],
  [["zzzzzzzz"], 2, 'Unknown verb "zzzzzzzz"; lite3rl --help lists all'],
  [
    ["run_rknn_agnt.py"],
    2,
    'Unknown verb "run_rknn_agnt.py": did you mean run_rknn_agent?; lite3rl --help lists all',
  ],
  [["line\nbreak"], 2, 'Unknown verb "line\\nbreak"; lite3rl --help lists all'],
  [["--bogus"], 2, 'Unknown flag "--bogus" for lite3rl; see --help'],
  [["--versoin"], 2, 'Unknown flag "--versoin" for lite3rl: did you mean --version?; see --help'],
  [
    ["serve", "--mdoel", "x"],
    2,
    'Unknown flag "--mdoel" for serve: did you mean --model?; see --help',
  ],
  [["serve", "-m", "x"], 2, 'Unknown flag "-m" for serve; see --help'],
  [["serve", "--no-warmup", "--model", "x"], 2, "--warmup needs a value: --warmup <n>"],
  [["serve", "--version"], 2, 'Unknown flag "--version" for serve; see --help'],
  [["serve"], 2, `serve needs --model, for example: ${SERVE}`],
  [["serve", "--model"], 2, "--model needs a value: --model <file>"],
  [["serve", "--model="], 2, "--model needs a value, got an empty one"],
  [["serve", "--model", "--warmup", "1"], 2, "--model needs a value: --model <file>"],
  [["serve", "--model", "x", "--obs-stats"], 2, "--obs-stats needs a value: --obs-stats <npz>"],
  [
    ["serve", "--model", "123"],
    2,
    "--model needs a path, got the number 123: write ./123 for such a file",
  ],
  [["serve", "--model", "a", "--model", "b"], 2, "--model was given 2 times, it is taken once"],
  [
    ["serve", "--model", "a", "--warmup", "1", "--warmup", "2"],
    2,
    "--warmup was given 2 times, it is taken once",
  ],
  [
    ["serve", "--model", "x", "--warmup", "many"],
    2,
    '--warmup needs a whole number from 0 to 1000000, got "many"',
  ],
  [
    ["serve", "--model", "x", "--warmup", "-1"],
    2,
    "--warmup needs a whole number from 0 to 1000000, got -1",
  ],
  [["serve", "--model", "x", "stray"], 2, stray("serve", "no arguments", "stray", SERVE)],
  [["serve", "--model", "x", "--", "--stray"], 2, stray("serve", "no arguments", "--stray", SERVE)],
  [["export"], 2, `export needs <checkpoint>, for example: ${EXPORT}`],
  [["export", "a.pt", "b.pt"], 2, stray("export", "<checkpoint>", "b.pt", EXPORT)],
  [["export", "--", "-none.pt"], 3, 'Cannot read "-none.pt": there is no such file, need a file'],
  [["export", "none.pt"], 3, 'Cannot read "none.pt": there is no such file, need a file'],
  [
    ["export", "none.pt", "--normalizer", "keep"],
    2,
    '--normalizer needs one of fold, external, drop, got "keep"',
  ],
  [["parity"], 2, `parity needs <a>, for example: ${PARITY}`],
  [
    ["collect"],
    2,
    "collect needs --policy, or recorded sets instead, for example: lite3rl collect --policy random",
  ],
  [
    ["agent", "--model", "x", "--command", "1,2"],
    2,
    "--command needs three numbers such as 0.5,0,0, got 1,2",
  ],
  [
    ["--quiet", "agent", "--model", "x.onnx", "--command", "-0.5,0,0", "--fast"],
    3,
    'Cannot read "x.onnx": there is no such file, need a file',
  ],
  [["demo", "--output"], 2, "--output needs a value: --output <dir>"],
  [
    ["demo", "here"],
    2,
    'demo takes no arguments, and does not know what to do with "here", for example: lite3rl demo',
  ],
];

describe("lite3rl refuses, with one line on stderr and nothing on stdout,", () => {
  for (const [argv, status, message] of REFUSED) {
    test(JSON.stringify(argv.join(" ")), async () => {
      expect(await run(argv)).toEqual(failed(status, message));
    });
  }
});

describe("lite3rl --json", () => {
  test("prints an error as one document on stdout too", async () => {
    const message = 'Cannot read "none.pt": there is no such file, need a file';
    expect(await run(["export", "none.pt", "--json"])).toEqual({
      status: 3,
      stdout: `${JSON.stringify({ error: { code: "NOT_FOUND", status: 3, message } }, null, 2)}\n`,
      stderr: `error: ${message}\n`,
    });
    const { status, stdout } = await run(["--json", "serve", "--nonsense"]);
    expect({ status, ...JSON.parse(stdout) }).toEqual({
      status: 2,
      error: {
        code: "USAGE",
        status: 2,
        message: 'Unknown flag "--nonsense" for serve; see --help',
      },
    });
  });
});

/** Help without the breaks of its lines. */
const unbroken = (text: string): string => text.replaceAll(/\s+/g, " ");

describe("lite3rl --version and --help", () => {
  test("the version comes with Bun's and the platform's", async () => {
    const stdout = `lite3rl ${version} (bun ${Bun.version}, linux-${process.arch})\n`;
    const expected = { status: 0, stdout, stderr: "" };
    expect([await run(["--version"]), await run(["-v"])]).toEqual([expected, expected]);
    expect(await runJson(["--version"])).toEqual({
      status: 0,
      json: { version, bun: Bun.version, platform: `linux-${process.arch}` },
      stderr: "",
    });
  });

  test("without a verb the help lists every verb and its summary", async () => {
    const [bare, long, short] = await Promise.all([run([]), run(["--help"]), run(["-h"])]);
    expect(bare).toEqual({ status: 0, stdout: expect.any(String), stderr: "" });
    expect([long, short]).toEqual([bare, bare]);
    for (const { name, summary } of VERBS) {
      expect(unbroken(bare.stdout)).toContain(` ${name} ${summary} `);
    }
    expect(bare.stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
  });

  for (const verb of VERBS) {
    test(`the help of ${verb.name} has its summary, flags, and an example that works`, async () => {
      const command = await verb.load();
      const help = await run([verb.name, "--help"]);
      expect(help).toEqual({ status: 0, stdout: expect.any(String), stderr: "" });
      expect({ name: command.name, summary: command.summary }).toEqual({
        name: verb.name,
        summary: verb.summary,
      });
      for (const text of [command.summary, `$ lite3rl ${command.example}\n`]) {
        expect(help.stdout).toContain(text);
      }
      for (const [key, flag] of Object.entries(command.flags)) {
        const word = flag.isOnByDefault === true ? `no-${key}` : key;
        const name = `--${word.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
        expect(help.stdout).toContain(`  ${[name, flag.value].filter(Boolean).join(" ")} `);
        expect(unbroken(help.stdout)).toContain(flag.help);
      }
      const { flags } = readArguments(command, command.example.split(" "));
      for (const key of Object.keys(flags)) expect(command.flags).toHaveProperty(key);

      for (const alias of verb.aliases) {
        const [plain, script] = await Promise.all([
          run([alias, "--help"]),
          run([`${alias}.py`, "-h"]),
        ]);
        expect([plain, script]).toEqual([help, help]);
      }
    });
  }

  test("the blueprint's scripts have their verbs", () => {
    const names = Object.fromEntries(
      VERBS.flatMap(({ name, aliases }) => aliases.map((alias) => [alias, name])),
    );
    expect(names).toEqual({
      example_dummy_policy: "init",
      example_generate_dummy_policy: "init",
      export_pt_to_onnx: "export",
      collect_calib_data: "collect",
      lite3_rknn_service: "serve",
      run_rknn_agent: "agent",
      compare_outputs: "parity",
      convert_to_rknn: "convert",
    });
  });

  test("the blueprint's lines are taken as they stand", async () => {
    const lines: readonly [string, Record<string, unknown>][] = [
      [
        "export_pt_to_onnx.py ./inputs/policy.pt --config example_actor_config.yaml " +
          "--output build/policy.onnx --dynamic-batch",
        { dynamicBatch: true, output: "build/policy.onnx", config: "example_actor_config.yaml" },
      ],
      [
        "collect_calib_data.py --env interface.robot.simulation.pybullet_env:make_env " +
          "--policy policy.rk3588.example_dummy_policy:RandomPolicy --samples 2048 " +
          "--output build/calib_obs.npy",
        { samples: 2048, policy: "policy.rk3588.example_dummy_policy:RandomPolicy" },
      ],
      [
        "lite3_rknn_service.py --model build/policy.rknn --obs-stats inputs/obs_stats.npz " +
          "--socket /tmp/lite3_policy.sock --warmup 16",
        { warmup: 16, socket: "/tmp/lite3_policy.sock", obsStats: "inputs/obs_stats.npz" },
      ],
      [
        "compare_outputs.py build/policy.onnx build/policy.rknn --dataset build/calib_obs.npy " +
          "--obs-stats inputs/obs_stats.npz",
        { dataset: "build/calib_obs.npy", obsStats: "inputs/obs_stats.npz", mae: 1e-3 },
      ],
      [
        "run_rknn_agent.py --model build/policy.rknn --obs-stats inputs/obs_stats.npz " +
          "--env interface.robot.simulation.pybullet_env:make_env --steps 512",
        { steps: 512, env: "interface.robot.simulation.pybullet_env:make_env" },
      ],
    ];
    for (const [line, flags] of lines) {
      const [word = "", ...rest] = line.split(" ");
      const verb = VERBS.find(({ aliases }) => aliases.includes(word.replace(".py", "")));
      const command = await verb!.load();
      expect(readArguments(command, [word, ...rest]).flags).toMatchObject(flags);
    }
  });
});

test("lite3rl exits with 6 when its result cannot be written", () => {
  const command = ["sh", "-c", 'exec "$@" > /dev/full', "sh", process.execPath];
  const ran = Bun.spawnSync([...command, join(import.meta.dir, "../main.ts"), "--version"]);
  expect([ran.exitCode, String(ran.stderr)]).toEqual([
    6,
    "error: Cannot write the result to stdout: ENOSPC\n",
  ]);
});

test("a switch before a positional takes nothing from it", async () => {
  const verb = VERBS.find(({ name }) => name === "export")!;
  const argv = ["export", "--dynamic-batch", "a.pt", "--no-check"];
  expect(readArguments(await verb.load(), argv)).toMatchObject({
    positionals: ["a.pt"],
    flags: { dynamicBatch: true, check: false },
  });
});

test("lite3rl prints no escape codes where nobody sees colours", async () => {
  const argv = ["parity", "--help"];
  const colourless = [
    await run(argv),
    await run(argv, { env: { NO_COLOR: "1" } }),
    await run(["export"], { env: { NO_COLOR: "1", TERM: "xterm-256color" } }),
  ];
  for (const { stdout, stderr } of colourless) expect(stdout + stderr).not.toContain("\x1b");
});

test("--quiet silences notices, not results or errors", async () => {
  const quiet = await run(["--quiet", "export", "none.pt"]);
  expect(quiet).toEqual(failed(3, 'Cannot read "none.pt": there is no such file, need a file'));
  expect((await run(["--version", "--quiet"])).stdout).toStartWith("lite3rl ");
});

describe("readArguments()", () => {
  const agent = VERBS.find(({ name }) => name === "agent")!;
  const serve = VERBS.find(({ name }) => name === "serve")!;

  test("gives every flag its meaning, with defaults", async () => {
    const argv = ["agent", "--model", "m.onnx", "--command=-0.5,0,0.25", "--timeout", "500ms"];
    expect(readArguments(await agent.load(), argv)).toEqual({
      positionals: [],
      flags: {
        model: "m.onnx",
        backend: "auto",
        core: "auto",
        env: "lite3",
        command: [-0.5, 0, 0.25],
        seed: 0,
        io: "auto",
        fast: false,
        verdict: false,
        traceback: false,
        timeout: 0.5,
      },
    });
  });

  test("takes --tcp with a value and without one", async () => {
    const command = await serve.load();
    const tcp = (...rest: string[]) =>
      readArguments(command, ["serve", "--model", "m", ...rest]).flags.tcp;
    expect([tcp(), tcp("--tcp"), tcp("--tcp", "127.0.0.1:80"), tcp("--tcp", "80")]).toEqual([
      undefined,
      true,
      "127.0.0.1:80",
      "80",
    ]);
    expect(tcp("--tcp", "--socket", "/tmp/x")).toBe(true);
  });

  test("refuses a flag inside a flag", async () => {
    const command = await serve.load();
    const argv = ["serve", "--model.path", "x"];
    expect(await refusalOf(() => readArguments(command, argv))).toEqual({
      code: "USAGE",
      message: "--model needs a path, got Object",
    });
  });

  test("takes positionals as the verb has them: needed, optional, any number", async () => {
    const found = (positionals: string, ...words: string[]) =>
      readArguments(verbOf(positionals), ["inspect", ...words]).positionals;
    expect([
      found("<action> [...names]", "a"),
      found("<action> [...names]", "a", "b", "c", "--", "-d"),
      found("<a> [b]", "a"),
      found("<a> [b]", "a", "b"),
      found(""),
    ]).toEqual([["a"], ["a", "b", "c", "-d"], ["a"], ["a", "b"], []]);
    const refused = (positionals: string, ...words: string[]) =>
      refusalOf(() => found(positionals, ...words));
    const example = "for example: lite3rl inspect x";
    expect([await refused("<a> [...names]"), await refused("<a> [b]", "a", "b", "c")]).toEqual([
      { code: "USAGE", message: `inspect needs <a>, ${example}` },
      {
        code: "USAGE",
        message: `inspect takes <a> [b], and does not know what to do with "c", ${example}`,
      },
    ]);
  });
});

/** A verb of no flags, registered under a name that there is. */
function verbOf(positionals: string): Command {
  const run = (): Promise<undefined> => Promise.resolve(undefined);
  const words = { summary: "", flags: {}, example: "inspect x" };
  return { name: "inspect", positionals, ...words, run };
}

test("lite3rl takes a version as it is typed", async () => {
  const { stderr } = await run(["toolkit", "install", "--toolkit", "1.0"]);
  expect(stderr).toStartWith('error: Cannot use rknn-toolkit2 "1.0": ');
});
