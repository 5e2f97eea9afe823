/**
 * The contract that a training run leaves beside its checkpoint: Isaac Lab's `env.yaml` and
 * unitree_rl_lab's `deploy.yaml`. What they say goes into the ONNX and into `model.yaml`; where it
 * is not what the robot's controller does, nobody else would notice.
 */

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { stringify } from "yaml";
import { readFile, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { warn } from "../base/log.ts";
import { type Contract, LITE3_CONTRACT, observationSize } from "./contract.ts";
import { checkYaml, readYaml } from "./yaml_file.ts";

const numbers = v.union([v.number(), v.array(v.number())]);
const optional = <S extends v.GenericSchema>(schema: S) => v.optional(v.nullable(schema));

const Term = v.looseObject({
  scale: optional(v.union([numbers, v.record(v.string(), v.number())])),
  clip: optional(v.array(v.number())),
  history_length: optional(v.number()),
});

const EMPTY_TERM: v.InferOutput<typeof Term> = {};

const DeployYaml = v.looseObject({
  step_dt: v.pipe(v.number(), v.minValue(1e-4)),
  stiffness: optional(v.array(v.number())),
  damping: optional(v.array(v.number())),
  default_joint_pos: optional(v.array(v.number())),
  actions: optional(v.record(v.string(), Term)),
  observations: optional(v.record(v.string(), Term)),
});

const byName = v.record(v.string(), v.number());

const EnvYaml = v.looseObject({
  decimation: v.pipe(v.number(), v.minValue(1)),
  sim: v.looseObject({ dt: v.pipe(v.number(), v.minValue(1e-5)) }),
  observations: optional(v.looseObject({ policy: optional(v.record(v.string(), v.unknown())) })),
  actions: optional(v.record(v.string(), v.unknown())),
  scene: optional(
    v.looseObject({
      robot: optional(
        v.looseObject({
          init_state: optional(v.looseObject({ joint_pos: optional(byName) })),
          actuators: optional(v.record(v.string(), v.unknown())),
        }),
      ),
    }),
  ),
});

const Actuator = v.looseObject({
  stiffness: optional(v.unknown()),
  damping: optional(v.unknown()),
});

type Scale = number | readonly number[] | Readonly<Record<string, number>>;

export interface TrainedTerm {
  readonly name: string;
  readonly scale?: Scale;
  readonly clip?: readonly number[];
  readonly history?: number;
}

/** What the YAML says, as it says it; values may be one for all joints, a list, or by name. */
export interface TrainedContract {
  readonly path: string;
  readonly rateHz: number;
  readonly observation: readonly TrainedTerm[];
  readonly action: readonly TrainedTerm[];
  readonly defaultPose?: readonly number[] | Readonly<Record<string, number>>;
  readonly kp?: unknown;
  readonly kd?: unknown;
}

const READERS = { "deploy.yaml": readDeploy, "env.yaml": readEnv } as const;

/** Reads `deploy.yaml` or `env.yaml` beside the checkpoint or in `params/`, if there is one. */
export function findTrainedContract(checkpoint: string): TrainedContract | undefined {
  for (const folder of ["", "params"]) {
    for (const [name, read] of Object.entries(READERS)) {
      const path = join(dirname(checkpoint), folder, name);
      if (existsSync(path)) return read(path, readYaml(path));
    }
  }
  return undefined;
}

function readDeploy(path: string, value: unknown): TrainedContract {
  const yaml = checkYaml(path, DeployYaml, value);
  const { default_joint_pos: pose, stiffness, damping } = yaml;
  return {
    path,
    rateHz: 1 / yaml.step_dt,
    observation: readTerms(yaml.observations ?? {}),
    action: readTerms(yaml.actions ?? {}),
    ...(pose ? { defaultPose: pose } : {}),
    ...(stiffness ? { kp: stiffness } : {}),
    ...(damping ? { kd: damping } : {}),
  };
}

function readEnv(path: string, value: unknown): TrainedContract {
  const yaml = checkYaml(path, EnvYaml, value);
  const robot = yaml.scene?.robot;
  const pose = robot?.init_state?.joint_pos;
  const actuators = Object.values(robot?.actuators ?? {}).filter((one) => v.is(Actuator, one));
  const gain = (key: "stiffness" | "damping"): unknown =>
    actuators.length === 1 ? (actuators[0]?.[key] ?? undefined) : actuators.map((one) => one[key]);
  return {
    path,
    rateHz: 1 / (yaml.sim.dt * yaml.decimation),
    observation: readTerms(yaml.observations?.policy ?? {}),
    action: readTerms(yaml.actions ?? {}),
    ...(pose ? { defaultPose: pose } : {}),
    ...(actuators.length > 0 ? { kp: gain("stiffness"), kd: gain("damping") } : {}),
  };
}

/** The entries that are terms: the others are settings of the group. */
function readTerms(group: Readonly<Record<string, unknown>>): TrainedTerm[] {
  return Object.entries(group).flatMap(([name, entry]) => {
    if (!(entry instanceof Object) || Array.isArray(entry)) return [];
    // A scale of a form that is not known leaves the term, or the order would be another.
    const { scale, clip, history_length: history } = v.is(Term, entry) ? entry : EMPTY_TERM;
    return [
      {
        name,
        ...(scale === undefined || scale === null ? {} : { scale }),
        ...(clip ? { clip } : {}),
        ...(history ? { history } : {}),
      },
    ];
  });
}

/** What the training said and the robot's controller does otherwise, one sentence each. */
export function contradictions(
  trained: TrainedContract,
  sizes: { readonly observationSize: number; readonly actionSize: number },
  robot: Contract = LITE3_CONTRACT,
): string[] {
  const found: string[] = [];
  const isRobots = sizes.observationSize === observationSize(robot);
  if (!isRobots || sizes.actionSize !== robot.joints.length) return found;
  if (Math.abs(trained.rateHz - robot.rateHz) > 0.5) {
    found.push(
      `trained at ${round(trained.rateHz)} Hz, run at ${robot.rateHz} Hz unless --rate says`,
    );
  }
  if (robot.robot === "lite3" && Math.abs(trained.rateHz - VENDOR_RATE_HZ) > 0.5) {
    found.push(
      `trained at ${round(trained.rateHz)} Hz, the vendor's controller asks ${VENDOR_RATE_HZ} times a second`,
    );
  }
  const pose = byJoint(trained.defaultPose, robot);
  const moved = robot.joints.flatMap((joint, i) => {
    const [ours = 0, theirs = ours] = [robot.defaultPose[i], pose?.[i]];
    return Math.abs(theirs - ours) > 1e-3 ? [`${joint} ${theirs} against ${ours}`] : [];
  });
  if (moved.length > 0) {
    const more = moved.length > 3 ? `, … (${moved.length} joints)` : "";
    found.push(
      `trained around another default pose than the robot's: ${moved.slice(0, 3).join(", ")}${more}`,
    );
  }
  for (const [name, theirs, ours] of [
    ["kp", trained.kp, robot.kp],
    ["kd", trained.kd, robot.kd],
  ] as const) {
    const others = [...new Set(numbersIn(theirs))];
    if (others.some((value) => value !== ours)) {
      found.push(`${name} was ${others.join(", ")} in training, the controller uses ${ours}`);
    }
  }
  const history = trained.observation.find((term) => (term.history ?? 0) > 1);
  if (history !== undefined) {
    found.push(`${history.name} has a history of ${history.history}, the environment gives none`);
  }
  return found;
}

/** 12 ticks of 1 ms: Lite3_rl_deploy's decimation. */
const VENDOR_RATE_HZ = 83.3;

/** One gain for all joints, a list, or by name, however nested. */
function numbersIn(value: unknown): number[] {
  if (typeof value === "number") return [value];
  return value instanceof Object ? Object.values(value).flatMap(numbersIn) : [];
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

/** Values by joint: a list as it stands, or by patterns such as `.*HipY.*`. */
function byJoint(
  values: TrainedContract["defaultPose"],
  robot: Contract,
): (number | undefined)[] | undefined {
  if (values === undefined) return undefined;
  if (Array.isArray(values)) return values.length === robot.joints.length ? [...values] : undefined;
  return robot.joints.map((joint) => {
    const match = Object.entries(values).find(([pattern]) => matches(pattern, joint));
    return match?.[1];
  });
}

/** Isaac Lab names joints by regular expressions; only plain ones and `.*` are understood. */
function matches(pattern: string, joint: string): boolean {
  const literal = pattern.replaceAll(/[^\w*.]/g, "").split(".*");
  let at = 0;
  for (const part of literal) {
    const found = `${joint}_joint`.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return true;
}

/** The contract without where it was found, for the metadata of the ONNX. */
export function encodeContract({ path: _path, ...contract }: TrainedContract): string {
  return JSON.stringify(contract);
}

/** The first line of a `model.yaml` that may be written again. */
const HEADING = "# Written by lite3rl export.\n";

/** Writes `model.yaml` beside the ONNX; one that somebody else wrote stays as it is. */
export function writeModelYaml(trained: TrainedContract, model: string): string | undefined {
  const path = join(dirname(model), "model.yaml");
  if (existsSync(path)) {
    const text = new TextDecoder().decode(readFile(path, LIMITS.configBytes));
    if (!text.startsWith(HEADING)) {
      warn(`${path} is not lite3rl's and stays as it is: the contract is in the ONNX only`);
      return undefined;
    }
  }
  const { path: source, ...contract } = trained;
  const document = { model: basename(model), source: basename(source), ...contract };
  writeFileAtomic(path, HEADING + stringify(document));
  return path;
}
