import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import type { ErrorCode } from "../base/errors.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { type Refusal, refusalOf } from "../base/refusal_fixture.ts";
import { openEnvironment } from "./open.ts";
import { PROGRAM_DEFAULTS } from "./program.ts";
import { writePythonPrograms } from "./python_program_fixture.ts";
import { findPython } from "./python_process.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const programs = writePythonPrograms(directory);
const python = findTool("python");
const program = { ...PROGRAM_DEFAULTS, python };
const withPython = testWith("python");
const open = (name: string, more: object = {}) =>
  openEnvironment(`${programs}:${name}`, { program, ...more });
const ACTION = Float32Array.of(0.25);

/** The refusal, and what was said on the way to it. */
async function refused(action: () => unknown): Promise<[Refusal, string[]]> {
  let refusal: Refusal | undefined;
  const lines = await linesDuring(async () => (refusal = await refusalOf(action)));
  return [refusal as Refusal, lines];
}

describe("openEnvironment() of a Python program", () => {
  withPython("steps an environment of Gymnasium's kind, a class as well", async () => {
    using environment = await open("Plain", { rateHz: 100 });
    const { name, observationSize, actionSize, controlPeriodMs, observationTerms } = environment;
    expect([name, observationSize, actionSize, controlPeriodMs, observationTerms]).toEqual([
      `${programs}:Plain`,
      2,
      1,
      10,
      [{ name: "observation", size: 2 }],
    ]);
    expect(environment.setCommand).toBeUndefined();
    expect(await environment.reset(7)).toEqual(Float32Array.of(7, 0));
    const seen = [];
    for (let i = 0; i < 3; i++) {
      const { observation, ...rest } = await environment.step(ACTION);
      seen.push({ observation: [...observation], ...rest });
    }
    expect(seen).toEqual(
      [1, 2, 3].map((step) => ({
        observation: [0.25, step],
        reward: 1.5,
        terminated: false,
        truncated: step === 3,
        info: { timeS: step / 100 },
      })),
    );
  });

  withPython("steps an environment of old gym's kind: seed(), four values", async () => {
    using environment = await open("Old");
    expect(await environment.reset(5)).toEqual(Float32Array.of(5, 0));
    const ends = [];
    for (const action of [0, 1, 2]) {
      const { terminated, truncated } = await environment.step(Float32Array.of(action));
      ends.push([terminated, truncated]);
    }
    expect(ends).toEqual([
      [false, false],
      [true, false],
      [false, true],
    ]);
  });

  withPython("passes on what it knows of info, and leaves the rest", async () => {
    using environment = await open("Told", { rateHz: 50 });
    await environment.reset();
    const { terminated, info } = await environment.step(ACTION);
    expect({ terminated, info }).toEqual({
      terminated: true,
      info: { timeS: 0.02, position: [0, 0, 0.3], yawRate: 0.5, ending: "it fell" },
    });
  });

  withPython("hears the original alone when a step forks and its child returns", async () => {
    using environment = await open("forks");
    await environment.reset();
    for (let i = 0; i < 3; i++) {
      expect((await environment.step(ACTION)).observation).toEqual(Float32Array.of(1, 0));
    }
  });

  withPython("knows the rate, the terms and the command of one that says them", async () => {
    using environment = await open("Rich", { command: [0.5, 0, -0.25] });
    expect([environment.controlPeriodMs, environment.observationTerms]).toEqual([
      10,
      [
        { name: "gyro", size: 1 },
        { name: "command", size: 1 },
      ],
    ]);
    await environment.reset();
    expect((await environment.step(ACTION)).observation).toEqual(Float32Array.of(0.5, -0.25));
    await environment.setCommand?.([1, 0, 2]);
    expect((await environment.step(ACTION)).observation).toEqual(Float32Array.of(1, 2));
  });

  withPython("squeezes a batch of one", async () => {
    using environment = await open("squeezed");
    await environment.reset();
    const { observation, reward, terminated } = await environment.step(ACTION);
    expect([[...observation], reward, terminated]).toEqual([[1, 2], 3, true]);
  });

  withPython("takes tensors of a device", async () => {
    using environment = await open("tensors");
    await environment.reset();
    const { observation, reward, terminated, truncated } = await environment.step(ACTION);
    expect([[...observation], reward, terminated, truncated]).toEqual([[1, 2], 3, false, true]);
  });

  withPython("does not wait for a hanging step when a signal asked to stop", async () => {
    let asked = false;
    const limits = { ...program, isInterrupted: () => asked };
    using environment = await open("hangs", { program: limits });
    await environment.reset();
    asked = true;
    const [refusal] = await refused(() => environment.step(ACTION));
    expect(refusal.message).toMatch(/: no answer within 1 s, .*; after it was interrupted$/);
  });

  withPython("closes the environment when it is done", async () => {
    const mark = join(directory, "closed");
    process.env.LITE3RL_TEST_CLOSED = mark;
    using _environment = {
      [Symbol.dispose]: (): void => void delete process.env.LITE3RL_TEST_CLOSED,
    };
    (await open("closing"))[Symbol.dispose]();
    expect(existsSync(mark)).toBe(true);
  });

  const unusable: Record<string, [code: ErrorCode, reason: string | RegExp]> = {
    nothing: ["PROGRAM", "it gave NoneType, which has no reset()"],
    broken: ["PROGRAM", /^RuntimeError: no display in programs.py, line \d+, in broken$/],
    needy: ["PROGRAM", /^TypeError: needy\(\) missing 1 required positional argument: 'robot'$/],
    sizeless: ["PROGRAM", "it has no action_space, need one, or act_dim = 12"],
    many: ["UNSUPPORTED", "it runs 8 environments at once, make one"],
    uneven: ["PROGRAM", "its observation terms add up to 5, need the observation's 2"],
    raise: ["NOT_FOUND", 'its module has no "raise"; did you mean raises?'],
  };
  for (const [name, [code, reason]] of Object.entries(unusable)) {
    withPython(`refuses ${name}`, async () => {
      const [refusal] = await refused(() => open(name));
      const opening = `Cannot open environment "${programs}:${name}": `;
      expect(refusal.code).toBe(code);
      expect(refusal.message).toStartWith(opening);
      const said = refusal.message.slice(opening.length);
      if (typeof reason === "string") expect(said).toBe(reason);
      else expect(said).toMatch(reason);
    });
  }

  withPython("refuses a module, and an interpreter, that is not there", async () => {
    const [refusal] = await refused(() =>
      openEnvironment("interface.robot.simulation.pybullet_env:make_env", { program }),
    );
    expect(refusal).toEqual({
      code: "NOT_FOUND",
      message: expect.stringMatching(
        /^Cannot open environment "interface\.robot.*": no module "interface" from .* --python$/,
      ) as never,
    });
    expect((await refused(() => findPython("/none/python")))[0]).toEqual({
      code: "NOT_FOUND",
      message:
        'Cannot run Python "/none/python": there is no such program, need an interpreter ' +
        "in --python",
    });
  });

  /** Environments → what stepping them comes to. */
  const hostile: Record<string, string | RegExp> = {
    raises: /^ZeroDivisionError: .* in programs.py, line \d+, in <lambda>$/,
    hangs: /^no answer within 2 s, in programs\.py, line \d+, in <lambda>; .*--env-timeout$/,
    spins: /^no answer within 2 s, in programs\.py, line \d+, in spin; .*--env-timeout$/,
    exits: /^it asked to exit with 3 in programs.py, line \d+, in <lambda>$/,
    vanishes: "its Python ended with status 4",
    killed: "its Python was ended by SIGKILL",
    crashes: /^its Python was ended by SIGSEGV, in __init__\.py, line \d+, in string_at$/,
    nan: "observation[1] is NaN, need finite numbers",
    infinite: "observation[1] is Infinity, need finite numbers",
    short: "its step gave an observation that is of shape [1], need 2 numbers",
    batch: "its step gave an observation that is of shape [2, 2], need 2 numbers",
    words: /^its step gave an observation that holds no numbers: /,
    mapping:
      "its step gave an observation that is a dict (policy), need one vector; flatten it, for " +
      "example with gymnasium.wrappers.FlattenObservation",
    thing: "its step gave an observation that is of object, need 2 numbers",
    place: "info.position.2 of the step is undefined, need number",
    lost: /^info of its step cannot be passed on: /,
    three: "its step gave 3 values, need observation, reward, terminated, truncated, info",
    reward: "its step gave the reward nan, need a finite number",
    flag: "terminated is str, need one number",
  };
  for (const [name, reason] of Object.entries(hostile)) {
    withPython(`says what happened when a step ${name}`, async () => {
      // Those that never answer are not waited for; the others may take their time.
      const isEndless = name === "hangs" || name === "spins";
      const limits = isEndless ? { ...program, timeoutMs: 2000 } : program;
      using environment = await open(name, { program: limits });
      await environment.reset();
      const [refusal, lines] = await refused(() => environment.step(ACTION));
      const stepping = `Cannot step environment "${programs}:${name}": `;
      expect(refusal.code).toBe(name === "mapping" ? "UNSUPPORTED" : "PROGRAM");
      expect(refusal.message).toStartWith(stepping);
      const said = refusal.message.slice(stepping.length);
      if (typeof reason === "string") expect(said).toBe(reason);
      else expect(said).toMatch(reason);
      // A traceback is shown where there is one, without the bridge's own frames.
      const shown = lines.join("\n");
      expect(shown.includes("programs.py")).toBe(said.includes("line "));
      expect(shown).not.toContain("<string>");
    });
  }

  withPython("answers on after a step that failed by itself, and not after an end", async () => {
    using failing = await open("raises");
    await refused(() => failing.step(ACTION));
    expect(await failing.reset(3)).toEqual(Float32Array.of(3, 0));
    using ended = await open("vanishes");
    await refused(() => ended.step(ACTION));
    const [refusal] = await refused(() => ended.reset());
    expect(refusal.message).toEndWith(": its Python has ended");
  });

  withPython("takes an action and prints no end of text at the same time", async () => {
    const path = join(directory, "prints.ts");
    const main = JSON.stringify(join(import.meta.dir, "open.ts"));
    writeFileSync(
      path,
      `import { openEnvironment } from ${main};
      using environment = await openEnvironment(${JSON.stringify(`${programs}:prints`)}, {
        program: { python: ${JSON.stringify(python)}, timeoutMs: 30000, wholeTraceback: false },
      });
      await environment.reset();
      for (let i = 0; i < 5; i++) await environment.step(Float32Array.of(0));
      process.stdout.write("done");`,
    );
    const child = Bun.spawn([process.execPath, path], { stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect(stdout).toBe("done");
    expect(stderr.match(/x{100000}/g)?.length).toBe(5);
    expect(stderr.match(/^from (?:C|a child)$/gm)?.length).toBe(10);
  });
});

describe("the end of lite3rl", () => {
  let pids: number[] = [];
  const path = join(directory, "lingering.py");
  const file = join(directory, "pids");
  beforeAll(() => {
    writeFileSync(
      path,
      `import os, subprocess, time
class Hang:
    act_dim = 1
    def reset(self): return [0.0]
    def step(self, action):
        child = subprocess.Popen(["sleep", "600"])
        with open(${JSON.stringify(`${file}.part`)}, "w") as f:
            f.write("%d %d" % (os.getpid(), child.pid))
        os.rename(${JSON.stringify(`${file}.part`)}, ${JSON.stringify(file)})
        while True: pass
`,
    );
  });
  afterAll(() => {
    for (const pid of pids.filter(isRunning)) process.kill(pid, "SIGKILL");
  });

  function isRunning(pid: number): boolean {
    try {
      return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    } catch {
      return false;
    }
  }

  withPython("by SIGKILL takes a hanging program and its children along", async () => {
    const main = join(import.meta.dir, "..", "main.ts");
    const flags = ["collect", "--env", `${path}:Hang`, "--policy", "random", "--python", python!];
    const child = Bun.spawn([process.execPath, main, ...flags], {
      cwd: directory,
      stdio: ["ignore", "ignore", "ignore"],
    });
    while (!existsSync(file)) await Bun.sleep(20);
    pids = readFileSync(file, "utf8").split(" ").map(Number);
    expect(pids.map(isRunning)).toEqual([true, true]);
    child.kill("SIGKILL");
    await child.exited;
    for (let i = 0; i < 250 && pids.some(isRunning); i++) await Bun.sleep(20);
    expect(pids.map(isRunning)).toEqual([false, false]);
  });
});

test("findPython() takes LITE3RL_PYTHON before what the PATH has", () => {
  const before = process.env.LITE3RL_PYTHON;
  try {
    process.env.LITE3RL_PYTHON = process.execPath;
    expect(findPython(undefined)).toBe(process.execPath);
  } finally {
    if (before === undefined) delete process.env.LITE3RL_PYTHON;
    else process.env.LITE3RL_PYTHON = before;
  }
});
