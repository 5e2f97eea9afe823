/**
 * What `accept` refuses before it measures anything, and its limits as a file.
 */

import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { startService, killServices } from "../serve/service_fixture.ts";
import { ACCEPT_LIMITS } from "./limits.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let other: string;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  other = await exportDemoPolicy(directory, "other.onnx", ["--obs-stats", OBS_STATS]);
});

const yaml = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};

test("accept --print-limits prints what --limits takes", async () => {
  const { stdout } = await run(["accept", "--print-limits"]);
  const path = yaml("own.yaml", stdout.replace("power_w: 10", "power_w: 8"));
  const { json } = await runJson(["accept", "--print-limits", "--limits", path]);
  expect(json).toEqual({ ...ACCEPT_LIMITS, power_w: 8 });
  const some = yaml("some.yaml", "gait:\n  falls: 1\n");
  const { json: merged } = await runJson(["accept", "--print-limits", "--limits", some]);
  expect(merged).toEqual({ ...ACCEPT_LIMITS, gait: { ...ACCEPT_LIMITS.gait, falls: 1 } });
});

test("accept refuses what it could not do, before anything runs", async () => {
  const taken = yaml("taken.tar.gz", "mine");
  const flags = ["accept", "--model", model];
  expect([
    await run(["accept"]),
    await run([...flags, "--duration", "3h"]),
    await run([...flags, "--output", join(directory, "x.zip")]),
    await run([...flags, "--output", taken]),
    await run([...flags, "--log", taken]),
    await run([...flags, "--output", "/proc/x.tar.gz"]),
    await run([...flags, "--log", "/proc/x.mcap"]),
    await run([...flags, "--junit", "/proc/x.xml"]),
    (await run([...flags, "--allow-missing", "nothing"])).status,
    (await run(["accept", "--model", join(directory, "none.rknn")])).status,
    await run([...flags, "--power-cmd", "echo 1", "--power-file", "x"]),
  ]).toEqual([
    failed(2, "accept needs a policy: --model build/policy.rknn"),
    failed(2, "--duration is too long for an archive, need at most 2h"),
    failed(2, 'Cannot write the archive "x.zip": need a name that ends in .tar.gz'),
    failed(
      2,
      `Cannot write the archive "${taken}": it is there already, name another with --output`,
    ),
    failed(2, `Cannot write the log "${taken}": it is there already, name another with --log`),
    ...["x.tar.gz --output", "x.mcap --log", "x.xml --junit"].map((place) => {
      const [name, flag] = place.split(" ");
      const cure = `name a place that can be written with ${flag}`;
      return failed(6, `Cannot write "/proc/${name}": there is no such directory; ${cure}`);
    }),
    2,
    3,
    failed(2, "--power-sensor, --power-cmd and --power-file are three sources: name one of them"),
  ]);
});

test("accept writes over nothing but a JUnit file, and no two outputs in one place", async () => {
  const record = yaml("policy.rknn.json", "{}");
  const old = yaml("old.xml", '<?xml version="1.0"?>\n<testsuites name="lite3rl accept">');
  const both = join(directory, "both.tar.gz");
  const flags = ["accept", "--model", model];
  const other = yaml("other.yaml", "power_w: none\n");
  expect([
    await run([...flags, "--junit", record]),
    await run([...flags, "--junit", model]),
    await run([...flags, "--output", both, "--junit", both]),
    // Refused for its limits: the file that is there may be replaced.
    (await run([...flags, "--junit", old, "--limits", other])).stderr,
  ]).toEqual([
    failed(
      2,
      `Cannot write "${record}": the file that is there is no JUnit XML, name another with --junit`,
    ),
    failed(2, `Cannot write "${model}": it is the input "${model}", name another output`),
    failed(2, `Cannot write "${both}": --output goes there too, name another with --junit`),
    `error: Cannot use config "${other}": power_w is "none", need number\n`,
  ]);
});

test("accept refuses limits that are none, and names those there are", async () => {
  const refused = async (text: string) => {
    const path = yaml("limits.yaml", text);
    const { status, stderr } = await run(["accept", "--model", model, "--limits", path]);
    return [status, stderr.replace(`error: Cannot use config "${path}": `, "").trimEnd()];
  };
  const { gait, ...others } = ACCEPT_LIMITS;
  expect([
    await refused("power: 1\n"),
    await refused("gait:\n  fall: 1\n"),
    await refused("power_w: .inf\n"),
    await refused("gait:\n  slip_mps: .inf\n"),
  ]).toEqual([
    [2, `unknown key "power", need one of ${Object.keys(others).join(", ")}, gait`],
    [2, `unknown key "gait.fall", need one of ${Object.keys(gait).join(", ")}`],
    [2, "power_w is Infinity, need a finite number"],
    [2, "gait.slip_mps is Infinity, need a finite number"],
  ]);
});

test("accept refuses a service that has another model", async () => {
  const socket = join(directory, "s");
  await startService(["--model", other, "--socket", socket]);
  const flags = ["--obs-stats", OBS_STATS, "--service", `unix:${socket}`, "--quiet"];
  const { status, stderr } = await run(["accept", "--model", model, ...flags]);
  await killServices();
  expect([status, stderr]).toEqual([
    2,
    expect.stringMatching(
      /^error: Cannot accept ".*policy\.onnx" by the service at unix:.*: it has ".*other\.onnx" of other bytes/,
    ),
  ]);
});
