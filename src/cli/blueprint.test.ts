/**
 * The blueprint's chapter 5 as it is typed: its scripts' names and flags, in its directory, with an
 * environment of the user's at the place that it names, and its comparison of both files.
 */

import { expect, setDefaultTimeout } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { run } from "./program_fixture.ts";

setDefaultTimeout(120_000);

const ENVIRONMENT = `import random


class Env:
    obs_dim, act_dim, control_dt = 45, 12, 0.02

    def __init__(self):
        self.random = random.Random(0)

    def observe(self):
        return [self.random.gauss(0, 1) for _ in range(45)]

    def reset(self):
        self.steps = 0
        return self.observe()

    def step(self, action):
        self.steps += 1
        return self.observe(), 0.0, self.steps % 200 == 0, {}


def make_env():
    return Env()
`;

const EXPORT =
  "export_pt_to_onnx.py ./inputs/policy.pt --config example_actor_config.yaml " +
  "--output build/policy.onnx --dynamic-batch";
const COLLECT =
  "collect_calib_data.py --env interface.robot.simulation.pybullet_env:make_env " +
  "--policy policy.rk3588.example_dummy_policy:RandomPolicy --samples 2048 " +
  "--output build/calib_obs.npy";
const CONVERT =
  "convert_to_rknn.py build/policy.onnx --dataset build/calib_obs.npy " +
  "--output build/policy.rknn --target rk3588";
const QUANTISE = " --do-quant --quant-dtype asymmetric_affine-u8";
const COMPARE = "compare_outputs.py build/policy.onnx build/policy.rknn --obs-stats";
const AGENT =
  "run_rknn_agent.py --model build/policy.onnx --obs-stats inputs/obs_stats.npz " +
  "--env interface.robot.simulation.pybullet_env:make_env --steps 512 --fast";

const root = temporaryDirectory();
const place = join(root, "policy/rk3588");

/** One line of the blueprint's, in its directory. */
function lite3rl(line: string) {
  const LITE3RL_PYTHON = findTool("python") ?? "python3";
  return run(line.split(" "), { cwd: place, env: { PYTHONPATH: root, LITE3RL_PYTHON } });
}

testWith("toolkit")("the blueprint's lines make a model, refuse int8, and compare", async () => {
  const simulation = join(root, "interface/robot/simulation");
  mkdirSync(simulation, { recursive: true });
  writeFileSync(join(simulation, "pybullet_env.py"), ENVIRONMENT);
  expect((await run(["init", place])).status).toBe(0);
  rmSync(join(place, "lite3rl.yaml"));
  expect((await lite3rl(EXPORT)).status).toBe(0);
  expect((await lite3rl(COLLECT)).status).toBe(0);

  const quantised = await lite3rl(CONVERT + QUANTISE);
  expect(quantised.status).toBe(1);
  expect(quantised.stderr).toContain("kept as build/policy.rknn.rejected");
  expect((await lite3rl(CONVERT)).status).toBe(0);
  expect(existsSync(join(place, "build/policy.rknn"))).toBe(true);

  const same = await lite3rl(`${COMPARE} inputs/obs_stats.npz --dataset build/calib_obs.npy`);
  expect(same.status).toBe(0);
  expect(same.stdout.trimEnd()).toEndWith("against 0.001: ok");
  const agent = await lite3rl(AGENT);
  expect(agent.status).toBe(0);
  expect(agent.stdout).toContain("512 steps at 50 Hz");
});
