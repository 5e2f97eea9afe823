/**
 * Collecting, and closing the loop, in environments that were written for Gymnasium, through the
 * program and with the blueprint's spelling.
 */

import { beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { run, runJson } from "../cli/program_fixture.ts";
import { readNpy } from "../formats/npy.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { linear, modelOf, networkOf } from "../policy/policy_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const withPython = testWith("python");
const python = findTool("python") ?? "";

const ENVIRONMENTS = `
import gymnasium, numpy
from gymnasium import spaces

class Walker(gymnasium.Env):
    """45 numbers and 12 actions, falls now and then."""
    observation_space = spaces.Box(-numpy.inf, numpy.inf, (45,), numpy.float64)
    action_space = spaces.Box(-1, 1, (12,), numpy.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=45), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.np_random.normal(size=45), 1.0, self.np_random.random() < 0.02, False, {}

def make_env():
    return gymnasium.wrappers.TimeLimit(Walker(), 100)

def pendulum(): return gymnasium.make("Pendulum-v1")
def one(): return gymnasium.make_vec("Pendulum-v1", num_envs=1)
def two(): return gymnasium.make_vec("Pendulum-v1", num_envs=2)
def discrete(): return gymnasium.make("CartPole-v1")
def dictionary():
    env = Walker()
    env.observation_space = spaces.Dict({"policy": Walker.observation_space})
    return env
`;

const POLICY = `
class RandomPolicy:
    def __init__(self, action_space):
        self.action_space = action_space

    def act(self, observation):
        return self.action_space.sample()
`;

const ENV = "interface.robot.simulation.pybullet_env";
const DUMMY = "policy.rk3588.example_dummy_policy:RandomPolicy";

beforeAll(() => {
  const write = (path: string, text: string): void => {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), text);
  };
  write(`${ENV.replaceAll(".", "/")}.py`, ENVIRONMENTS);
  write("policy/rk3588/example_dummy_policy.py", POLICY);
  const metadata = { normalizer: "folded" } as const;
  const layer = linear("actor.0", [[0.1, -0.2, -0.5]], [0]);
  write("pendulum.onnx", encodeOnnx(modelOf(networkOf(layer), { metadata })) as never);
});

const flags = ["--python", python];

describe("collect of a Gymnasium environment", () => {
  withPython("takes the blueprint's command line", async () => {
    const collect = async (output: string) => {
      const words = ["--env", `${ENV}:make_env`, "--policy", DUMMY, "--samples", "512"];
      const { status, json } = await runJson(
        [
          "collect_calib_data.py",
          ...words,
          "--output",
          output,
          "--terms",
          "imu:6,command:3,rest:36",
          ...flags,
        ],
        { cwd: directory },
      );
      const { dtype, shape } = readNpy(readFileSync(join(directory, output)));
      return { status, json, dtype, shape };
    };
    const first = await collect("build/calib_obs.npy");
    expect(first).toMatchObject({
      status: 0,
      json: {
        samples: 512,
        observationSize: 45,
        policy: DUMMY,
        environment: `${ENV}:make_env`,
        falls: 0,
        terrains: null,
        coverage: [{ term: "imu" }, { term: "command" }, { term: "rest" }],
        ranges: { doublings: [{ samples: 64 }, { samples: 128 }, { samples: 256, next: 512 }] },
      },
      dtype: "float32",
      shape: [512, 45],
    });
    await collect("again.npy");
    const [one, again] = ["build/calib_obs.npy", "again.npy"].map((name) =>
      readFileSync(join(directory, name)).toString("base64"),
    );
    expect(again).toBe(one);
  });

  withPython("drives Gymnasium's pendulum, also as a batch of one", async () => {
    for (const name of ["pendulum", "one"]) {
      const output = `${name}.npy`;
      const words = ["--env", `${ENV}:${name}`, "--policy", "random", "--samples", "450"];
      const ran = await runJson(["collect", ...words, "--output", output, ...flags], {
        cwd: directory,
      });
      expect(ran).toMatchObject({ status: 0, json: { observationSize: 3, falls: 0 } });
      const data = readNpy(readFileSync(join(directory, output))).data as Float32Array;
      for (let at = 0; at < data.length; at += 3) {
        expect(Math.hypot(data[at]!, data[at + 1]!)).toBeCloseTo(1, 4);
      }
    }
  });

  withPython("refuses what is no vector of numbers, by name", async () => {
    const refusals: Record<string, string> = {
      two: "its observation_space has shape (2, 3), a batch of 2 environments; make one",
      discrete: "its action_space is Discrete, need a Box",
      dictionary:
        "its observation_space is Dict, need a Box; flatten it, for example with " +
        "gymnasium.wrappers.FlattenObservation",
    };
    for (const [name, reason] of Object.entries(refusals)) {
      const words = ["--env", `${ENV}:${name}`, "--policy", "random", ...flags];
      const { status, stderr } = await run(["collect", ...words], { cwd: directory });
      const found = name === "two" ? "it runs 2 environments at once, make one" : reason;
      expect({ status, last: stderr.trimEnd().split("\n").at(-1) }).toEqual({
        status: 5,
        last: `error: Cannot open environment "${ENV}:${name}": ${found}`,
      });
    }
  });

  withPython("needs no numpy on that Python", async () => {
    const place = join(directory, "without");
    mkdirSync(place);
    writeFileSync(join(place, "numpy.py"), 'raise ImportError("hidden")');
    writeFileSync(
      join(place, "bare.py"),
      `class Env:
    act_dim = 12
    def reset(self, seed=None): return [0.5] * 45
    def step(self, action):
        assert type(action) is list and len(action) == 12
        return action * 3 + [0.0] * 9, 0.0, False, False, {}
class Policy:
    def __init__(self, obs_dim, act_dim): self.act_dim = act_dim
    def act(self, obs): return [sum(obs)] * self.act_dim
`,
    );
    const words = ["--env", "bare:Env", "--policy", "bare:Policy", "--samples", "20"];
    const ran = await runJson(["collect", ...words, ...flags], { cwd: place });
    expect(ran).toMatchObject({ status: 0, json: { samples: 20, episodes: 1 } });
  });
});

describe("agent in a Gymnasium environment", () => {
  withPython("runs a model, episode after episode, and reports what there is", async () => {
    const words = ["--model", "pendulum.onnx", "--env", `${ENV}:pendulum`, "--steps", "450"];
    const number = expect.any(Number);
    expect(
      await runJson(["agent", ...words, "--fast", "--rate", "20", ...flags], { cwd: directory }),
    ).toEqual({
      status: 0,
      stderr: "",
      json: {
        falls: 0,
        ending: null,
        steps: 450,
        durationS: 22.5,
        rateHz: 20,
        totalReward: number,
        restarts: 2,
        overruns: null,
        latencyUs: { p50: number, p99: number, max: number },
        requestedSteps: 450,
        realTime: false,
        environment: `${ENV}:pendulum`,
        seed: 0,
        backend: "mlp",
        evidence: "cpu",
      },
    });
  });
});
