/**
 * The contract that a training run leaves beside its checkpoint: Isaac Lab's `env.yaml` and
 * unitree_rl_lab's `deploy.yaml`. What they say goes into the ONNX and into `model.yaml`, and
 * `contradictions.ts` holds it against the robot's.
 */

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { stringify } from "yaml";
import { readFile, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { warn } from "../base/log.ts";
import { checkYaml, readYaml } from "./yaml_file.ts";

const numbers = v.union([v.number(), v.array(v.number())]);
const optional = <S extends v.GenericSchema>(schema: S) => v.optional(v.nullable(schema));

const Term = v.looseObject({
  scale: optional(v.union([numbers, v.record(v.string(), v.number())])),
  clip: optional(v.array(v.number())),
  history_length: optional(v.number()),
  joint_names: optional(v.array(v.string())),
});

const EMPTY_TERM: v.InferOutput<typeof Term> = {};

const DeployYaml = v.looseObject({
  joint_ids_map: optional(v.array(v.number())),
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

export type Scale = number | readonly number[] | Readonly<Record<string, number>>;

export interface TrainedTerm {
  readonly name: string;
  readonly scale?: Scale;
  readonly clip?: readonly number[];
  readonly history?: number;
  /** The joints that it is of, as patterns or in their order. */
  readonly joints?: readonly string[];
  /** It has a scale of a form that is not known. */
  readonly isUnread?: true;
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
  /** Of each of the policy's joints, its number on the robot. */
  readonly jointIds?: readonly number[];
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
    ...(yaml.joint_ids_map ? { jointIds: yaml.joint_ids_map } : {}),
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
    const term = v.is(Term, entry) ? entry : undefined;
    const { scale, clip, history_length: history, joint_names: joints } = term ?? EMPTY_TERM;
    return [
      {
        name,
        ...(scale === undefined || scale === null ? {} : { scale }),
        ...(clip ? { clip } : {}),
        ...(history ? { history } : {}),
        ...(joints ? { joints } : {}),
        ...(term === undefined ? { isUnread: true as const } : {}),
      },
    ];
  });
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
