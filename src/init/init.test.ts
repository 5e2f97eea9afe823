import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run as runProgram } from "../../scripts/dev/project.ts";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { sha256 } from "../base/files.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { failed, run, runJson } from "../cli/program_fixture.ts";
import { readActorConfig } from "../policy/config.ts";
import { DEMO_ACTOR } from "../policy/demo_policy.ts";
import { readObservationStats } from "../policy/normalizer.ts";
import { DEMO_POLICY } from "../policy/policy_fixture.ts";
import { readCheckpoint } from "../policy/read_checkpoint.ts";
import { openPolicy } from "../runtime/open.ts";
import { generateCheckpoint } from "./actor_critic.ts";

setDefaultTimeout(120_000);

const directory = temporaryDirectory();
const FILES = [
  "inputs/policy.pt",
  "inputs/obs_stats.npz",
  "example_actor_config.yaml",
  "example_dummy_policy.py",
  "example_dummy_policy.ts",
  "lite3rl.yaml",
];

async function init(name: string, ...flags: string[]): Promise<string> {
  const { status, stderr } = await run(["init", name, ...flags], { cwd: directory });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return join(directory, name);
}

describe("lite3rl init", () => {
  test("writes the built-in policy and what the verbs need", async () => {
    const { status, json, stderr } = await runJson(["init", "demo"], { cwd: directory });
    const place = join(directory, "demo");
    const digests = FILES.map((file) => [file, sha256(readFileSync(join(place, file)))]);
    expect({ status, json, stderr }).toEqual({
      status: 0,
      json: {
        directory: "demo",
        policy: "built-in",
        ...DEMO_ACTOR,
        digests: Object.fromEntries(digests),
      },
      stderr: "",
    });
    const same = [
      ["inputs/policy.pt", DEMO_POLICY.checkpoint],
      ["inputs/obs_stats.npz", DEMO_POLICY.obsStats],
    ] as const;
    for (const [file, original] of same) {
      expect(readFileSync(join(place, file)).equals(readFileSync(original))).toBe(true);
    }
    const { path: _, ...config } = readActorConfig(join(place, "example_actor_config.yaml"));
    const { path: __, ...expected } = readActorConfig(DEMO_POLICY.config);
    expect(config).toEqual(expected);
  });

  test("is the blueprint's example scripts too", async () => {
    for (const alias of ["example_dummy_policy.py", "example_generate_dummy_policy"]) {
      const { status, stdout } = await run([alias, alias], { cwd: directory });
      expect(status).toBe(0);
      expect(stdout).toContain(`$ cd ${alias} && lite3rl export && lite3rl collect`);
    }
  });

  test("writes over nothing, unless it is told to", async () => {
    const place = join(directory, "taken");
    mkdirSync(place);
    writeFileSync(join(place, "lite3rl.yaml"), "serve: {warmup: 1}\n");
    writeFileSync(join(place, "example_dummy_policy.py"), "mine");
    expect(await run(["init"], { cwd: place })).toEqual(
      failed(
        2,
        'Cannot make a project in ".": "lite3rl.yaml", "example_dummy_policy.py" exist, ' +
          "name another directory, or --force writes over",
      ),
    );
    expect(existsSync(join(place, "inputs"))).toBe(false);
    expect(readFileSync(join(place, "example_dummy_policy.py"), "utf8")).toBe("mine");
    expect(await run(["init", "--force"], { cwd: place })).toMatchObject({ status: 0 });
    expect(readFileSync(join(place, "example_dummy_policy.py"), "utf8")).toContain("RandomPolicy");
  });

  test("refuses places and sizes that cannot be", async () => {
    writeFileSync(join(directory, "file"), "");
    expect(await run(["init", "file/x"], { cwd: directory })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('"file" is a file, need a directory there'),
    });
    expect(await run(["init", "big", "--hidden-sizes", "60000,60000"], { cwd: directory })).toEqual(
      failed(
        4,
        "Cannot generate a policy of 7206420013 parameters: at most 16777216 are made, " +
          "give smaller --hidden-sizes",
      ),
    );
    expect(existsSync(join(directory, "big"))).toBe(false);
    expect(await run(["init", "a", "b"], { cwd: directory })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('init takes [dir], and does not know what to do with "b"'),
    });
    const { code } = await refusalOf(() =>
      generateCheckpoint({ observationSize: 1, actionSize: 1, hiddenSizes: [1 << 24] }, 0),
    );
    expect(code).toBe("TOO_LARGE");
  });
});

describe("lite3rl init --random", () => {
  test("generates the policy that its flags describe, the same for a seed", async () => {
    const flags = [
      "--obs-dim",
      "7",
      "--act-dim",
      "3",
      "--hidden-sizes",
      "5,4",
      "--activation",
      "tanh",
    ];
    const place = await init("random", ...flags, "--seed", "9");
    const again = await init("again", ...flags, "--seed", "9");
    const other = await init("other", ...flags);
    const bytes = [place, again, other].map((path) => readFileSync(join(path, "inputs/policy.pt")));
    expect([bytes[0]?.equals(bytes[1]!), bytes[0]?.equals(bytes[2]!)]).toEqual([true, false]);

    const config = readActorConfig(join(place, "example_actor_config.yaml"));
    expect(config).toMatchObject({
      observationSize: 7,
      actionSize: 3,
      hiddenSizes: [5, 4],
      activation: "tanh",
    });
    const checkpoint = join(place, "inputs/policy.pt");
    const { network, layout } = await readCheckpoint(checkpoint, { activation: "tanh" });
    expect({ layout, sizes: [network.observationSize, network.actionSize] }).toEqual({
      layout: "actor_critic",
      sizes: [7, 3],
    });
    for (const layer of network.layers) {
      if (layer.kind !== "linear") continue;
      const bound = 1 / Math.sqrt(layer.inputs);
      expect(layer.weight.every((weight) => Math.abs(weight) <= bound)).toBe(true);
      expect(new Set(layer.weight).size).toBe(layer.weight.length);
    }
    const { mean, std } = await readObservationStats(join(place, "inputs/obs_stats.npz"));
    expect([mean.length, std.every((value) => value >= 0.5 && value < 1.5)]).toEqual([7, true]);
    expect(readFileSync(join(place, "lite3rl.yaml"), "utf8")).toContain(
      "# The built-in env is 45 -> 12, this policy is 7 -> 3: name your own\n# env:",
    );
  });
});

describe("the verbs in a project", () => {
  test("run without flags: export, collect, parity, agent", async () => {
    const cwd = await init("chain");
    const exported = await runJson(["export"], { cwd });
    expect(exported).toMatchObject({
      status: 0,
      json: { output: "build/policy.onnx", normalizer: "external" },
      stderr: "using lite3rl.yaml: checkpoint, config, normalizer, output, obs-stats\n",
    });
    const collected = await runJson(["collect"], { cwd });
    expect(collected).toMatchObject({
      status: 0,
      json: { output: "build/calib_obs.npy", samples: 2048, falls: 0 },
    });
    expect(await runJson(["parity"], { cwd })).toMatchObject({ status: 0, json: { pass: true } });
    const agent = await runJson(["agent", "--fast", "--duration", "2s"], { cwd });
    expect(agent).toMatchObject({ status: 0, json: { requestedSteps: 100, falls: 0 } });
  });

  test("know every key of the file", async () => {
    const cwd = await init("keys");
    const sections = ["export", "collect", "parity", "serve", "agent"];
    for (const verb of sections) {
      expect(await run([verb, "--show-config"], { cwd })).toMatchObject({ status: 0, stderr: "" });
    }
  });
});

test("example_dummy_policy.ts acts at random within -1..1, the same for its seed", async () => {
  const place = await init("typescript", "--act-dim", "5");
  const module = (await import(join(place, "example_dummy_policy.ts"))) as {
    default: new () => { act(observation: Float32Array): Float32Array };
  };
  const roll = (): number[] => {
    const policy = new module.default();
    return Array.from({ length: 200 }, () => [...policy.act(new Float32Array(45))]).flat();
  };
  const values = roll();
  expect(values).toEqual(roll());
  expect([values.length, new Set(values).size > 990]).toEqual([1000, true]);
  expect([Math.min(...values) < -0.9, Math.max(...values) > 0.9]).toEqual([true, true]);
  expect(values.every((value) => Math.abs(value) <= 1)).toBe(true);
});

testWith("python")("example_dummy_policy.py acts at random, the same for its seed", async () => {
  const place = await init("python", "--act-dim", "5");
  const program = `
from example_dummy_policy import RandomPolicy
a, b = RandomPolicy(), RandomPolicy(45, 5)
rolls = [[policy.act([0.0] * 45) for _ in range(100)] for policy in (a, b)]
assert rolls[0] == rolls[1] and all(len(row) == 5 for row in rolls[0])
assert all(-1 <= value <= 1 for row in rolls[0] for value in row)
print(len({value for row in rolls[0] for value in row}))
`;
  const python = findTool("python") ?? "";
  expect(runProgram([python, "-c", program], { cwd: place })).toEqual({
    status: 0,
    stdout: "500\n",
    stderr: "",
  });
});

/** The blueprint's class; loads strictly, so that a key too many or too few fails. */
const TORCH = `
import json, sys, torch
from torch import nn
class ActorCritic(nn.Module):
    def __init__(self, obs_dim, act_dim, hidden_sizes, activation):
        super().__init__()
        def mlp(out):
            sizes, layers = [obs_dim, *hidden_sizes, out], []
            for i in range(len(sizes) - 1):
                layers.append(nn.Linear(sizes[i], sizes[i + 1]))
                if i < len(sizes) - 2:
                    layers.append(activation())
            return nn.Sequential(*layers)
        self.actor, self.critic = mlp(act_dim), mlp(1)
ask = json.load(sys.stdin)
model = ActorCritic(*ask["sizes"], getattr(nn, ask["activation"]))
state = torch.load("inputs/policy.pt", map_location="cpu", weights_only=True)
if "state_dict" in state:
    state = state["state_dict"]
model.load_state_dict(state)
with torch.no_grad():
    actions = model.actor(torch.tensor(ask["observations"]))
print(json.dumps(actions.tolist()))
`;

describe("torch loads init's policy and computes what our ONNX computes:", () => {
  const cases: [
    name: string,
    torchName: string,
    flags: string[],
    sizes: [number, number, number[]],
  ][] = [
    ["the built-in", "ELU", [], [45, 12, [256, 128, 64]]],
    ["a generated one", "ELU", ["--random"], [45, 12, [256, 128, 64]]],
    [
      "one of other sizes",
      "Tanh",
      ["--obs-dim=7", "--act-dim=3", "--hidden-sizes=33", "--activation=tanh", "--seed=4"],
      [7, 3, [33]],
    ],
  ];
  for (const [name, activation, flags, sizes] of cases) {
    testWith("torch")(name, async () => {
      const place = await init(`torch ${name}`, ...flags);
      const exported = await run(["export", "--no-normalizer", "--no-obs-stats"], {
        cwd: place,
      });
      expect(exported.status).toBe(0);
      const [observationSize, actionSize] = sizes;
      const rows = Array.from({ length: 64 }, (_, row) =>
        Array.from({ length: observationSize }, (__, i) => Math.fround(2 * Math.sin(row * 7 + i))),
      );
      const child = Bun.spawnSync([findTool("torch") ?? "", "-I", "-c", TORCH], {
        cwd: place,
        stdin: Buffer.from(JSON.stringify({ sizes, activation, observations: rows })),
      });
      expect({ status: child.exitCode, stderr: String(child.stderr) }).toEqual({
        status: 0,
        stderr: "",
      });
      const wanted = JSON.parse(String(child.stdout)) as number[][];
      using policy = await openPolicy(join(place, "build/policy.onnx"), undefined);
      const action = new Float32Array(actionSize);
      let worst = 0;
      for (const [row, observation] of rows.entries()) {
        const state = policy.backend.createState();
        await policy.act(Float32Array.from(observation), action, state);
        action.forEach((value, i) => {
          worst = Math.max(worst, Math.abs(value - (wanted[row]?.[i] ?? NaN)));
        });
      }
      expect(worst).toBeLessThan(1e-5);
    });
  }
});
