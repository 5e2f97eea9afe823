import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { present } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import {
  encodeContract,
  findTrainedContract,
  type TrainedContract,
  writeModelYaml,
} from "./contract_yaml.ts";

const FIXTURES = join(import.meta.dir, "../../fixtures/checkpoints");
const run = join(temporaryDirectory(), "run");
const checkpoint = join(run, "model_1.pt");

beforeEach(() => mkdirSync(join(run, "params"), { recursive: true }));
afterEach(() => rmSync(run, { recursive: true }));

const write = (name: string, text: string): string => {
  const path = join(run, name);
  writeFileSync(path, text);
  return path;
};
const DEPLOY = "step_dt: 0.02\n";
const ENV = "decimation: 4\nsim: {dt: 0.005}\n";

describe("findTrainedContract()", () => {
  test("reads the env.yaml of Isaac Lab, with Python's tags", () => {
    const folder = join(FIXTURES, "isaac_lab_5_5");
    expect(findTrainedContract(join(folder, "model_1.pt"))).toEqual({
      path: join(folder, "params/env.yaml"),
      rateHz: 50,
      observation: [
        { name: "base_ang_vel", scale: 0.25, clip: [-100, 100] },
        { name: "joint_pos_rel" },
        { name: "joint_vel_rel", scale: 0.05 },
        { name: "last_action" },
      ],
      action: [
        {
          name: "joint_pos",
          scale: { hip_joint: 0.125, "^(?!hip_joint).*": 0.25 },
          joints: ["hip_joint", "thigh_joint", "calf_joint"],
        },
      ],
      defaultPose: { hip_joint: 0.1, thigh_joint: -0.7, calf_joint: 1.4 },
      kp: 25,
      kd: { ".*": 0.5 },
    });
  });

  test("reads the deploy.yaml of unitree_rl_lab", () => {
    const folder = join(FIXTURES, "unitree_rl_lab_2_3");
    expect(findTrainedContract(join(folder, "model_1.pt"))).toEqual({
      path: join(folder, "params/deploy.yaml"),
      rateHz: 50,
      observation: [
        { name: "base_ang_vel", scale: [0.2, 0.2, 0.2], history: 1 },
        { name: "joint_pos_rel", scale: [1, 1, 1], history: 1 },
        { name: "joint_vel_rel", scale: [0.05, 0.05, 0.05], history: 1 },
        { name: "last_action", scale: [1, 1, 1], history: 1 },
      ],
      action: [{ name: "JointPositionAction", scale: [0.25, 0.25, 0.25], joints: [".*"] }],
      jointIds: [2, 0, 1],
      defaultPose: [0.1, -0.7, 1.4],
      kp: [25, 25, 40],
      kd: [0.5, 0.5, 1],
    });
  });

  test("takes what is nearest, deploy.yaml first, and nothing where there is nothing", () => {
    const found = [findTrainedContract(checkpoint)?.path];
    const files = [
      ["params/env.yaml", ENV],
      ["params/deploy.yaml", DEPLOY],
      ["env.yaml", ENV],
      ["deploy.yaml", DEPLOY],
    ] as const;
    const paths = files.map(([name, text]) => {
      const path = write(name, text);
      found.push(findTrainedContract(checkpoint)?.path);
      return path;
    });
    expect(found).toEqual([undefined, ...paths]);
  });

  test("keeps a term whose scale is of another form, and the gains of several actuators", () => {
    const path = write(
      "env.yaml",
      `${ENV}observations: {policy: {a: {scale: half}, b: {scale: 2}, history_length: 5}}\n` +
        "scene: {robot: {actuators: {hip: {stiffness: 20, damping: 1}, knee: {stiffness: 40}}}}\n",
    );
    expect(findTrainedContract(checkpoint)).toEqual({
      path,
      rateHz: 50,
      observation: [
        { name: "a", isUnread: true },
        { name: "b", scale: 2 },
      ],
      action: [],
      kp: [20, 40],
      kd: [1, undefined],
    });
  });

  const refused: readonly [what: string, name: string, text: string, reason: string][] = [
    ["no rate", "deploy.yaml", "actions: {}\n", 'step_dt is undefined, need "step_dt"'],
    ["no time between steps", "deploy.yaml", "step_dt: 0\n", "step_dt is 0, need >=0.0001"],
    ["text for a time", "env.yaml", "decimation: 4\nsim: {dt: fast}\n", 'sim.dt is "fast"'],
    ["no decimation", "env.yaml", "sim: {dt: 0.005}\n", "decimation is undefined"],
    ["a list", "env.yaml", "- 1\n", "the document is a list, need Object"],
  ];
  for (const [what, name, text, reason] of refused) {
    test(`refuses a ${name} with ${what}`, async () => {
      const path = write(name, text);
      const { code, message } = await refusalOf(() => findTrainedContract(checkpoint));
      expect([code, message.startsWith(`Cannot use config "${path}": ${reason}`), message]).toEqual(
        ["CONFIG", true, message],
      );
    });
  }
});

describe("writeModelYaml()", () => {
  const trained = (): TrainedContract => {
    write("deploy.yaml", `${DEPLOY}stiffness: [25.0]\nactions: {joints: {scale: 0.25}}\n`);
    return present(findTrainedContract(checkpoint));
  };
  const contract = {
    rateHz: 50,
    observation: [],
    action: [{ name: "joints", scale: 0.25 }],
    kp: [25],
  };

  test("writes the contract beside the ONNX, and again", () => {
    const path = join(run, "build", "model.yaml");
    const said = [writeModelYaml(trained(), join(run, "build/policy.onnx"))];
    said.push(writeModelYaml(trained(), join(run, "build/other.onnx")));
    expect([said, parse(readFileSync(path, "utf8"))]).toEqual([
      [path, path],
      { model: "other.onnx", source: "deploy.yaml", ...contract },
    ]);
    expect(JSON.parse(encodeContract(trained()))).toEqual(contract);
  });

  test("leaves a file that somebody else wrote, and says so", async () => {
    const path = write("model.yaml", "rate: 83.3 # measured\n");
    const returned: (string | undefined)[] = [];
    const said = await linesDuring(() =>
      returned.push(writeModelYaml(trained(), join(run, "policy.onnx"))),
    );
    expect([returned, said, readFileSync(path, "utf8"), readdirSync(run).toSorted()]).toEqual([
      [undefined],
      [`warning: ${path} is not lite3rl's and stays as it is: the contract is in the ONNX only`],
      "rate: 83.3 # measured\n",
      ["deploy.yaml", "model.yaml", "params"],
    ]);
  });
});
