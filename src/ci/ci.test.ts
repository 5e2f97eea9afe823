/**
 * The workflows as a CI takes them: parsed from YAML, checked with GitHub's own parser, and every
 * line of theirs run by a shell, in a project, with the program downloaded from a server.
 */

import { parseWorkflow } from "@actions/workflow-parser";
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { BINARIES, run as runProgram } from "../../scripts/dev/project.ts";
import { describeWith, findTool, skipBecause } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { sha256 } from "../base/files.ts";
import { programCommand } from "../base/program.ts";
import { shellWord } from "../base/text.ts";
import { failed, run, runJson } from "../cli/program_fixture.ts";

setDefaultTimeout(240_000);

const directory = temporaryDirectory();
const FILES = { github: ".github/workflows/lite3rl.yml", gitlab: ".gitlab-ci.yml" } as const;
const WATCHED = [
  "inputs/policy.pt",
  "inputs/obs_stats.npz",
  "example_actor_config.yaml",
  "lite3rl.yaml",
];

/** A project in a repository, at `inside` of it. */
async function makeProject(name: string, inside = "."): Promise<{ root: string; place: string }> {
  const root = join(directory, name);
  const place = join(root, inside);
  mkdirSync(join(root, ".git"), { recursive: true });
  const { status } = await run(["init", place]);
  expect(status).toBe(0);
  return { root, place };
}

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
  readonly with?: Record<string, unknown>;
}

interface GithubWorkflow {
  readonly on: Record<string, { branches?: string[]; paths: string[] } | null>;
  readonly env: Record<string, string>;
  readonly jobs: {
    policy: { defaults: { run: { "working-directory": string } }; steps: Step[] };
  };
}

interface GitlabJob {
  readonly rules: { changes?: string[] }[];
  readonly variables: Record<string, string>;
  readonly before_script: string[];
  readonly script: string[];
  readonly artifacts: { when: string; paths: string[]; reports: { junit: string } };
}

const readGithub = (root: string): GithubWorkflow =>
  parse(readFileSync(join(root, FILES.github), "utf8")) as GithubWorkflow;
const readGitlab = (root: string): GitlabJob =>
  (parse(readFileSync(join(root, FILES.gitlab), "utf8")) as { lite3rl: GitlabJob }).lite3rl;

describe("lite3rl ci init", () => {
  test("writes what GitHub's parser takes, for each change of the policy", async () => {
    const { root, place } = await makeProject("github");
    expect(await runJson(["ci", "init", "github", place], { cwd: root })).toEqual({
      status: 0,
      stderr: "",
      json: {
        kind: "github",
        path: FILES.github,
        directory: ".",
        watched: WATCHED,
        variables: ["LITE3RL_URL", "LITE3RL_SHA256"],
      },
    });
    const content = readFileSync(join(root, FILES.github), "utf8");
    const silent = { info() {}, verbose() {}, error() {} };
    const errorsOf = (text: string): string[] =>
      parseWorkflow({ name: "lite3rl.yml", content: text }, silent)
        .context.errors.getErrors()
        .map(({ message }) => message);
    expect(errorsOf(content)).toEqual([]);
    expect(errorsOf(content.replace("runs-on", "run-on"))).not.toEqual([]);
    const { on, jobs } = readGithub(root);
    const paths = [...WATCHED, FILES.github];
    expect(on).toEqual({
      push: { branches: ["main", "master"], paths },
      pull_request: { paths },
      workflow_dispatch: null,
    });
    const { steps } = jobs.policy;
    const uses = steps.flatMap((step) => step.uses ?? []);
    expect(uses.filter((action) => !/^[\w-]+\/[\w-]+@[\da-f]{40}$/.test(action))).toEqual([]);
    expect(steps.filter((step) => step.if === "always()").map((step) => step.with)).toEqual([
      expect.objectContaining({ report_paths: "reports/*.xml" }),
      { name: "policy", path: "reports\nbuild\n" },
    ]);
  });

  test("writes a GitLab job that keeps its reports whether or not it passes", async () => {
    const { root } = await makeProject("gitlab");
    expect((await run(["ci", "init", "gitlab"], { cwd: root })).status).toBe(0);
    const { rules, artifacts } = readGitlab(root);
    expect(rules[1]?.changes).toEqual([...WATCHED, FILES.gitlab]);
    expect(artifacts).toEqual({
      when: "always",
      paths: ["reports", "build"],
      reports: { junit: "reports/*.xml" },
    });
  });

  test("stands at the repository's root for a project below it", async () => {
    const { root, place } = await makeProject("deep", "policy/rk 3588");
    for (const kind of ["github", "gitlab"]) {
      expect((await run(["ci", "init", kind], { cwd: place })).status).toBe(0);
    }
    const { on, jobs } = readGithub(root);
    expect(on["push"]?.paths[0]).toBe("policy/rk 3588/inputs/policy.pt");
    expect(jobs.policy.defaults.run["working-directory"]).toBe("policy/rk 3588");
    const { before_script: before, artifacts } = readGitlab(root);
    expect(before.at(-1)).toBe("cd 'policy/rk 3588'");
    expect(artifacts.paths).toEqual(["policy/rk 3588/reports", "policy/rk 3588/build"]);
  });

  test("watches what lite3rl.yaml names, and keeps what is made outside of build/", async () => {
    const { root } = await makeProject("named");
    const files = [
      "env/slope.py",
      "margins.yaml",
      "sets/calib.npy",
      "npu/walk.rknn",
      "build/a.npy",
    ];
    for (const name of files) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), "x");
    }
    const yaml = `env: env.slope:make
dataset: sets/calib.npy
export: { checkpoint: inputs/policy.pt, output: build/policy.onnx }
convert:
  onnx: build/policy.onnx
  output: npu/walk.rknn
  closed-loop: true
  margins: margins.yaml
  episodes: 90
parity: { dataset: build/a.npy }
serve: { model: inputs/obs_stats.npz }
`;
    writeFileSync(join(root, "lite3rl.yaml"), yaml);
    expect((await run(["ci", "init", "gitlab"], { cwd: root })).status).toBe(0);
    const { rules, script, artifacts } = readGitlab(root);
    expect(rules[1]?.changes).toEqual([
      "inputs/policy.pt",
      "env/slope.py",
      "sets/calib.npy",
      "margins.yaml",
      "lite3rl.yaml",
      FILES.gitlab,
    ]);
    expect(artifacts.paths).toEqual(["reports", "build", "npu/walk.rknn*"]);
    expect(script.at(-1)).toBe(
      "lite3rl parity onnx rknn --require toolkit-simulator --closed-loop --mae 0.1 " +
        "--episodes 90 --margins margins.yaml " +
        "--report reports/parity.html --junit reports/parity.xml",
    );
  });

  test("collects nothing where the project has no environment", async () => {
    const { root } = await makeProject("bare");
    writeFileSync(join(root, "lite3rl.yaml"), "export:\n  checkpoint: policy.pt\n");
    expect((await run(["ci", "init", "gitlab"], { cwd: root })).status).toBe(0);
    const { rules, script } = readGitlab(root);
    expect(rules[1]?.changes).toEqual(["policy.pt", "lite3rl.yaml", FILES.gitlab]);
    expect(script).not.toContain("lite3rl collect");
  });

  test("writes over nothing unless told to, and needs a project", async () => {
    const { root } = await makeProject("taken");
    writeFileSync(join(root, FILES.gitlab), "mine");
    const words = ["ci", "init", "gitlab"];
    expect(await run(words, { cwd: root })).toEqual(
      failed(
        2,
        'Cannot write ".gitlab-ci.yml": it exists, name another file by --output, ' +
          "or --force writes over it",
      ),
    );
    const other = [...words, "--output", ".gitlab/lite3rl.yml"];
    expect((await run(other, { cwd: root })).status).toBe(0);
    expect(readFileSync(join(root, FILES.gitlab), "utf8")).toBe("mine");
    expect((await run([...words, "--force"], { cwd: root })).status).toBe(0);
    expect(readGitlab(root).script[0]).toBe("lite3rl toolkit install");
    const empty = join(directory, "empty");
    mkdirSync(empty);
    writeFileSync(join(root, "lite3rl.yaml"), "export:\n  checkpoint: /elsewhere/policy.pt\n");
    expect([
      await run(words, { cwd: empty }),
      await run([...words, "--force"], { cwd: root }),
      await run(["ci", "init", "jenkins"], { cwd: root }),
      await run(["ci", "remove", "gitlab"], { cwd: root }),
    ]).toEqual([
      failed(
        3,
        'Cannot write a workflow for ".": it has no lite3rl.yaml, need a project; ' +
          "lite3rl init makes one",
      ),
      failed(
        2,
        `Cannot watch "/elsewhere/policy.pt": it is outside of the repository "${root}", ` +
          'need a path in it in "lite3rl.yaml"',
      ),
      failed(2, 'Cannot write a workflow for "jenkins": need github, gitlab'),
      failed(2, 'Unknown action "remove" for ci: need init'),
    ]);
  });
});

/** The program as a download, and what a CI needs to be told of it. */
const program = `#!/bin/sh\nexec ${programCommand().map(shellWord).join(" ")} "$@"\n`;
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: ({ url, headers }) =>
    url.endsWith("/lite3rl-linux-x64") || headers.get("x-token") === "secret"
      ? new Response(program)
      : url.endsWith("/binary")
        ? new Response(Bun.file(BINARIES.x64))
        : new Response("none", { status: 404 }),
});
afterAll(() => server.stop(true));

const variables = {
  LITE3RL_URL: `http://127.0.0.1:${server.port}/lite3rl-linux-x64`,
  LITE3RL_SHA256: sha256(new TextEncoder().encode(program)),
};

interface Shell {
  readonly cwd: string;
  readonly env: Record<string, string>;
}

/** One script by a shell that stops at the first error, as CIs run theirs. */
async function shell(
  script: string,
  { cwd, env }: Shell,
): Promise<{ status: number; said: string }> {
  const child = Bun.spawn(["bash", "-e", "-o", "pipefail", "-c", script], {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 200_000,
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, said: out + err };
}

/** Runs the steps in their order as GitHub's runner does; ends with the first that fails. */
async function runGithub(root: string, vars: Record<string, string>, home: string) {
  const { env, jobs } = readGithub(root);
  const pathFile = join(home, "github_path");
  writeFileSync(pathFile, "");
  const given = Object.fromEntries(
    Object.entries(env).map(([name, text]) => [
      name,
      text.replaceAll(/\$\{\{ vars\.(\w+) \}\}/g, (_, key: string) => vars[key] ?? ""),
    ]),
  );
  const { defaults, steps } = jobs.policy;
  const cwd = join(root, defaults.run["working-directory"]);
  const done: string[] = [];
  for (const step of steps) {
    if (step.run === undefined) continue;
    const added = readFileSync(pathFile, "utf8").split("\n").filter(Boolean).reverse();
    const PATH = [...added, process.env["PATH"]].join(":");
    const { status, said } = await shell(step.run, {
      cwd,
      env: { ...given, HOME: home, PATH, GITHUB_PATH: pathFile, GITHUB_ACTIONS: "true" },
    });
    done.push(said);
    if (status !== 0) return { status, said: done.join("") };
  }
  return { status: 0, said: done.join("") };
}

/** Runs a job's lines in one shell, as GitLab's runner does. */
function runGitlab(root: string, given: Record<string, string>, home: string) {
  const { variables: own, before_script: before, script } = readGitlab(root);
  const env: Record<string, string> = { HOME: home, CI_PROJECT_DIR: root, ...given };
  for (const [name, text] of Object.entries(own)) {
    env[name] = text.replaceAll(/\$(\w+)/g, (_, key: string) => env[key] ?? "");
  }
  return shell([...before, ...script].join("\n"), { cwd: root, env });
}

/** What a CI's cache brings back: the toolkit at its place below `cache`. */
function restoreCache(cache: string): void {
  mkdirSync(join(cache, "lite3rl"), { recursive: true });
  symlinkSync(dirname(findTool("toolkit") ?? ""), join(cache, "lite3rl", "toolkit"));
}

function checkReports(place: string): void {
  const junit = readFileSync(join(place, "reports", "parity.xml"), "utf8");
  expect(junit).toContain('<testsuites name="lite3rl parity" tests="5" failures="0"');
  expect(junit).toContain('name="evidence of toolkit-simulator"');
  const page = readFileSync(join(place, "reports", "parity.html"), "utf8");
  expect(page).toContain("build/policy.rknn (emulated)");
}

describeWith("toolkit")("the steps of a workflow", () => {
  test("make the .rknn, check it and leave reports, on GitHub", async () => {
    const { root, place } = await makeProject("run-github", "policy/rk 3588");
    await run(["ci", "init", "github", place]);
    const home = join(directory, "home-github");
    restoreCache(join(home, ".cache"));
    const { status, said } = await runGithub(root, variables, home);
    expect({ status, said: status === 0 ? "" : said }).toEqual({ status: 0, said: "" });
    checkReports(place);
    // A policy that int8 cannot hold fails the run, and the page says why.
    const yaml = readFileSync(join(place, "lite3rl.yaml"), "utf8");
    writeFileSync(
      join(place, "lite3rl.yaml"),
      yaml.replace("# precision: auto", "precision: w8a8 #"),
    );
    const after = await runGithub(root, variables, home);
    expect(after.status).toBe(1);
    expect(after.said).toContain("::error title=lite3rl convert::");
  });

  test("make the .rknn, check it and leave reports, on GitLab", async () => {
    const { root } = await makeProject("run-gitlab");
    await run(["ci", "init", "gitlab", root]);
    restoreCache(join(root, ".cache"));
    const { status, said } = await runGitlab(root, variables, join(directory, "home-gitlab"));
    expect({ status, said: status === 0 ? "" : said }).toEqual({ status: 0, said: "" });
    checkReports(root);
  });
});

describe("the download in a workflow", () => {
  test("stops the run where it is missing, or is another file than was meant", async () => {
    const { root } = await makeProject("download");
    await run(["ci", "init", "gitlab", root]);
    const home = join(directory, "home-download");
    const other = { ...variables, LITE3RL_SHA256: sha256(new Uint8Array(1)) };
    const results = [
      await runGitlab(root, {}, home),
      await runGitlab(root, other, home),
      await runGitlab(root, { ...variables, LITE3RL_URL: `${variables.LITE3RL_URL}-none` }, home),
    ];
    expect(results.map(({ status }) => status === 0)).toEqual([false, false, false]);
    expect(results[0]?.said).toContain("LITE3RL_URL: set this CI variable to where");
    expect(results[1]?.said).toContain("FAILED");
    expect(results[2]?.said).toContain("404");
    rmSync(home, { recursive: true, force: true });
  });

  test("brings the header of a release that is private", async () => {
    const { root } = await makeProject("private");
    await run(["ci", "init", "gitlab", root]);
    const { before_script: before } = readGitlab(root);
    const HOME = join(directory, "home-private");
    const given = { ...variables, LITE3RL_URL: `${variables.LITE3RL_URL}-private` };
    const env = { ...given, HOME, LITE3RL_HEADER: "X-Token: secret" };
    const script = [...before, "lite3rl --version"].join("\n");
    expect(await shell(script, { cwd: root, env })).toMatchObject({ status: 0 });
  });
});

const describeBinary =
  existsSync(BINARIES.x64) && process.arch === "x64"
    ? describe
    : skipBecause("needs the x64 binary on x86-64; bun run build makes it");

describeBinary("the workflow that the binary writes", () => {
  test("takes that binary by its digest, and no other", async () => {
    const { root } = await makeProject("binary");
    expect(runProgram([BINARIES.x64, "ci", "init", "gitlab", root]).status).toBe(0);
    const { variables: own, before_script: before } = readGitlab(root);
    const LITE3RL_SHA256 = sha256(readFileSync(BINARIES.x64));
    expect(own["LITE3RL_SHA256"]).toBe(LITE3RL_SHA256);
    const script = [...before, "lite3rl --version"].join("\n");
    const HOME = join(directory, "home-binary");
    const env = { HOME, LITE3RL_SHA256, LITE3RL_URL: `http://127.0.0.1:${server.port}/binary` };
    const taken = await shell(script, { cwd: root, env });
    expect(taken).toEqual({ status: 0, said: expect.stringContaining("(bun 1.4.5, linux-x64)") });
    const refused = await shell(script, {
      cwd: root,
      env: { ...env, ...variables, LITE3RL_SHA256 },
    });
    expect(refused).toEqual({ status: 1, said: expect.stringContaining("FAILED") });
  });
});
