import { expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { ownerMark } from "../base/owner.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, failed, run, runJson } from "../cli/program_fixture.ts";
import { regressions, type VersionBuild } from "./compare_versions.ts";

const directory = temporaryDirectory();
const nowhere = { env: { XDG_CACHE_HOME: join(directory, "nothing") } };

test("toolkit refuses words that mean nothing to it", async () => {
  const cases: [string[], string][] = [
    [[], "toolkit needs <action>, for example: lite3rl toolkit install"],
    [
      ["instal"],
      'Unknown action "instal" for toolkit: need one of install, download, status, remove, compare',
    ],
    [["status", "--wheelhouse", "x"], "--wheelhouse is for toolkit install, not status"],
    [["download"], "toolkit download takes 1 argument, got 0: lite3rl toolkit download DIR"],
    [["remove", "2.5.0"], "toolkit remove takes 0 arguments, got 1: lite3rl toolkit remove"],
    [
      ["compare", "2.3.2", "2.5.0"],
      "toolkit compare takes 3 arguments, got 2: lite3rl toolkit compare OLD NEW MODEL",
    ],
  ];
  for (const [words, message] of cases) {
    expect(await run(["toolkit", ...words])).toEqual(failed(2, message));
  }
});

test("toolkit names the command that installs what is missing", async () => {
  const root = join(nowhere.env.XDG_CACHE_HOME, "lite3rl", "toolkit");
  const message = (version: string) =>
    `Cannot find rknn-toolkit2 ${version}: none is installed in "${root}", ` +
    `need it for this: lite3rl toolkit install --toolkit ${version}`;
  expect([
    await run(["toolkit", "remove", "--toolkit", "2.2.0"], nowhere),
    await run(["toolkit", "compare", "2.3.2", "2.5.0", "x.onnx"], nowhere),
    await run(["toolkit", "compare", "2.3.1", "2.5.0", "x.onnx"], nowhere),
  ]).toEqual([
    failed(3, 'Cannot remove rknn-toolkit2 "2.2.0": it is not installed, there is none'),
    failed(3, message("2.3.2")),
    failed(
      5,
      'Cannot use rknn-toolkit2 "2.3.1": there is no lock for it, need one of 2.5.0, 2.3.2, 2.2.0',
    ),
  ]);
});

test("toolkit status says what can be installed, and for what there are no wheels", async () => {
  const { json } = await runJson(["toolkit", "status"], nowhere);
  const pythons = ["cp39", "cp310", "cp311", "cp312"];
  const both = ["cp38", ...pythons].flatMap((name) => [`${name}-x86_64`, `${name}-aarch64`]);
  expect(json).toEqual({
    root: join(nowhere.env.XDG_CACHE_HOME, "lite3rl", "toolkit"),
    installed: [],
    unfinished: [],
    locks: [
      { toolkit: "2.5.0", environments: both, missing: [] },
      { toolkit: "2.3.2", environments: both, missing: [] },
      {
        toolkit: "2.2.0",
        environments: pythons.map((name) => `${name}-x86_64`),
        missing: ["cp38-x86_64", "cp38-aarch64", ...pythons.map((name) => `${name}-aarch64`)],
      },
    ],
  });
});

test("toolkit status names what no install finished, and toolkit remove removes it", async () => {
  const env = { XDG_CACHE_HOME: join(directory, "abandoned") };
  const root = join(env.XDG_CACHE_HOME, "lite3rl", "toolkit");
  // No process began at tick 1 but the first; the mark's first word is this machine's.
  const gone = ownerMark().replace(/\d+-\d+$/, "4194304-1");
  const left = [`2.5.0-cp311.${gone}.part`, "2.5.0-cp310"].map((name) => join(root, name));
  const alive = join(root, `2.5.0-cp311.${ownerMark()}.part`);
  for (const home of [...left, alive]) mkdirSync(home, { recursive: true });
  const { json } = await runJson(["toolkit", "status"], { env });
  expect(json).toMatchObject({ installed: [], unfinished: left });
  const removed = await runJson(["toolkit", "remove"], { env });
  expect(removed.json).toEqual({ removed: [], unfinished: left });
  expect([...left, alive].map((home) => existsSync(home))).toEqual([false, false, true]);
});

test("toolkit download says that its directory is a file", async () => {
  const file = join(import.meta.dir, "command.ts");
  const { status, stderr } = await run(["toolkit", "download", file]);
  expect([status, stderr]).toEqual([
    6,
    `error: Cannot make a directory in "${file}": there is a file in its place; ` +
      "name a directory that can be written\n",
  ]);
});

test("regressions() names what the new version no longer passes", () => {
  const build = (version: string, precision: "fp16" | "w8a8", pass: boolean): VersionBuild => ({
    version,
    precision,
    pass,
  });
  const [old, now] = ["2.3.2", "2.5.0"];
  const builds = [
    build(old, "fp16", true),
    build(now, "fp16", false),
    build(old, "w8a8", false),
    build(now, "w8a8", false),
  ];
  expect([regressions(builds, [old, now]), regressions(builds, [now, old])]).toEqual([
    ["fp16"],
    [],
  ]);
});

testWith("toolkit")("toolkit compare builds with both and holds each against ONNX", async () => {
  const model = await exportDemoPolicy(directory, "policy.onnx", ["--dynamic-batch"]);
  const dataset = join(directory, "set.npy");
  await run(["collect", "--policy", "random", "--samples", "64", "--output", dataset, "--quiet"]);
  const words = ["toolkit", "compare", "2.5.0", "2.5.0", model, "--dataset", dataset];
  const { status, json } = await runJson(words);
  expect([status, json.pass]).toEqual([0, true]);
  const builds = json.builds as VersionBuild[];
  const part = (i: number) => [builds[i]?.precision, builds[i]?.sha256, builds[i]?.pass];
  expect(builds).toHaveLength(4);
  expect([part(0), part(2)]).toEqual([part(1), part(3)]);
  expect(builds.map(({ precision }) => precision)).toEqual(["fp16", "fp16", "w8a8", "w8a8"]);
  expect([builds[0]?.pass, builds[2]?.pass]).toEqual([true, false]);
});
