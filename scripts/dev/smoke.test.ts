/**
 * The built binaries, run as a user would: from an empty directory, which here holds a hostile
 * bunfig.toml and .env. aarch64 runs under qemu-user.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import { AARCH64_ENV, asAarch64 } from "./emulate.ts";
import { readNpy } from "../../src/formats/npy.ts";
import { BINARIES, NATIVE_BINARY, type Ran, run } from "./project.ts";
import { findTool, testWith } from "./test_tools.ts";

/** Trajectory of the demo's walk: the same on every machine and architecture. */
const WALK_SHA256 = "7a6c85d4c59ee1d372b2b11d775120cdd01fd8e613028e248d2a3b8607f3c61f";
const BYTES_MAX = 140e6;

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "lite3rl-smoke-"));
  writeFileSync(join(directory, "bunfig.toml"), 'preload = ["./hostile.ts"]\n');
  writeFileSync(
    join(directory, ".env"),
    "LITE3RL_HOSTILE=1\nNODE_OPTIONS=--require=./hostile.ts\n",
  );
  // What the user's verbs obey must not reach the service that the demo starts.
  writeFileSync(join(directory, "lite3rl.yaml"), "serve: {tcp: true, warmup: 0}\n");
  writeFileSync(
    join(directory, "hostile.ts"),
    `require("node:fs").writeFileSync("canary", "was here"); process.exit(66);\n`,
  );
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs the demo and holds its document against what the README promises. */
function checkDemo(ran: Ran): void {
  expect(ran.stderr).not.toContain("error");
  expect(ran.status).toBe(0);
  const demo = JSON.parse(ran.stdout);
  const names = demo.stages.map(({ name }: { name: string }) => name);
  expect({
    ok: demo.ok,
    version: demo.version,
    names,
    failed: demo.stages.filter(({ ok }: { ok: boolean }) => !ok),
    falls: demo.falls,
    walkedEnough: demo.walkedM > 4.5 && demo.walkedM < 7,
    trajectorySha256: demo.trajectorySha256,
    feetDown: demo.stand.feetDown,
    evidence: demo.parity.evidence,
    service: demo.service.max,
    latency: Object.keys(demo.latencyUs),
  }).toEqual({
    ok: true,
    version,
    names: ["export", "collect", "serve", "walk", "stand", "service", "parity"],
    failed: [],
    falls: 0,
    walkedEnough: true,
    trajectorySha256: WALK_SHA256,
    feetDown: 4,
    evidence: { a: "cpu", b: "emulation" },
    service: 0,
    latency: ["p50", "p99", "max"],
  });
  expect(demo.parity.mae).toBeLessThan(1e-3);
  expect(readFileSync(join(directory, demo.page), "utf8")).toContain("No NPU was used");
  expect(existsSync(join(directory, "canary"))).toBe(false);
  expect(existsSync(join(directory, "lite3rl-demo", "policy.sock"))).toBe(false);
}

const isBuilt = existsSync(BINARIES.x64) && existsSync(BINARIES.arm64);
if (!isBuilt) console.error("skipped: needs the binaries; bun run build makes them");

describe.skipIf(!isBuilt)("the built binaries", () => {
  test("are at most 140 MB each", () => {
    for (const path of Object.values(BINARIES)) expect(statSync(path).size).toBeLessThan(BYTES_MAX);
  });

  test.skipIf(process.arch !== "x64")("x64 runs the demo from a hostile directory", () => {
    checkDemo(run([BINARIES.x64, "demo", "--json"], { cwd: directory }));
  });

  test.skipIf(process.arch !== "x64")("x64 runs the user's TypeScript, and nothing else", () => {
    writeFileSync(
      join(directory, "my_env.ts"),
      `import { LITE3_CONTRACT } from "lite3rl";
      import { width } from "./sizes.ts";
      enum Way { On = 1 }
      console.log(LITE3_CONTRACT.robot);
      export default class {
        observationSize = width; actionSize = 1;
        reset(seed: number): number[] { return [seed, Way.On]; }
        step([action]: Float32Array) {
          return { observation: [action, 0], reward: 0, terminated: false };
        }
      }
      export const policy = ([first]: Float32Array): number[] => [(first as number) + 1];`,
    );
    writeFileSync(join(directory, "sizes.ts"), "export const width: number = 2;");
    const words = ["--env", "./my_env.ts", "--policy", "./my_env.ts:policy", "--samples", "5"];
    const ran = run([BINARIES.x64, "collect", "--json", ...words], { cwd: directory });
    expect({ status: ran.status, stderr: ran.stderr }).toEqual({ status: 0, stderr: "lite3\n" });
    const { data } = readNpy(readFileSync(join(directory, "calib_obs.npy")));
    expect([...(data as Float32Array)]).toEqual([0, 1, 1, 0, 2, 0, 3, 0, 4, 0]);
    expect(existsSync(join(directory, "canary"))).toBe(false);
  });

  testWith("python")("run the user's Python by the bridge inside of them", () => {
    writeFileSync(
      join(directory, "my_env.py"),
      `class Env:
    act_dim = 1
    def reset(self, seed=None): return [0.0]
    def step(self, action): return [float(action[0])], 0.0, False, False, {}
def policy(obs): return [obs[0] + 1]
`,
    );
    const words = ["--env", "my_env:Env", "--policy", "my_env:policy", "--samples", "3"];
    const python = ["--python", findTool("python") ?? ""];
    const command = [NATIVE_BINARY, "collect", "--json", ...words, ...python];
    expect(run(command, { cwd: directory })).toMatchObject({ status: 0, stderr: "" });
    const { data } = readNpy(readFileSync(join(directory, "calib_obs.npy")));
    expect([...(data as Float32Array)]).toEqual([0, 1, 2]);
  });

  testWith("qemu")(
    "aarch64 runs the demo from a hostile directory, and walks the same trajectory",
    () => {
      const command = asAarch64(findTool("qemu") ?? "", [BINARIES.arm64, "demo", "--json"]);
      checkDemo(run(command, { cwd: directory, env: AARCH64_ENV }));
    },
    600_000,
  );

  test.skipIf(process.arch !== "x64")("x64 makes a project and runs verbs without flags", () => {
    const lite3rl = (cwd: string, ...words: string[]): Ran =>
      run([BINARIES.x64, ...words, "--quiet"], { cwd });
    const project = join(directory, "project");
    const ran = [
      lite3rl(directory, "init", "project"),
      lite3rl(project, "export"),
      lite3rl(project, "parity", "--no-dataset"),
    ];
    expect(ran.map(({ status, stderr }) => ({ status, stderr }))).toEqual(
      ran.map(() => ({ status: 0, stderr: "" })),
    );
  });
});
