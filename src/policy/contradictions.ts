/**
 * What a training run's contract says and the robot's controller does otherwise: rate, pose, gains,
 * scales and orders, which nobody else would notice before the robot moves.
 */

import { type Contract, LITE3_CONTRACT, observationSize } from "./contract.ts";
import type { Scale, TrainedContract } from "./contract_yaml.ts";

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
  const pose = differing(robot, robot.defaultPose, byJoint(trained.defaultPose, robot));
  if (pose !== undefined)
    found.push(`trained around another default pose than the robot's: ${pose}`);
  for (const [name, theirs, ours] of [
    ["kp", trained.kp, robot.kp],
    ["kd", trained.kd, robot.kd],
  ] as const) {
    const others = [...new Set(numbersIn(theirs))];
    if (others.some((value) => value !== ours)) {
      found.push(`${name} was ${others.join(", ")} in training, the controller uses ${ours}`);
    }
  }
  found.push(...scaleContradictions(trained, robot), ...orderContradictions(trained, robot));
  const history = trained.observation.find((term) => (term.history ?? 0) > 1);
  if (history !== undefined) {
    found.push(`${history.name} has a history of ${history.history}, the environment gives none`);
  }
  return found;
}

/** How training environments call the robot's observation terms. */
const TERM_NAMES: Readonly<Record<string, RegExp>> = {
  base_angular_velocity: /ang_vel|angular_velocity|gyro/,
  projected_gravity: /gravity/,
  command: /command/,
  joint_position: /(?:joint|dof)_pos/,
  joint_velocity: /(?:joint|dof)_vel/,
  last_action: /action/,
};

/** Scales of observations and actions; one that is not written is 1. */
function scaleContradictions(trained: TrainedContract, robot: Contract): string[] {
  const observed = robot.observation.flatMap(({ name, scale }) => {
    const terms = trained.observation.filter((term) => TERM_NAMES[name]?.test(term.name) === true);
    const [term] = terms;
    if (term === undefined || terms.length > 1 || term.isUnread === true) return [];
    const others = [...new Set(numbersIn(term.scale ?? 1))].filter((value) => value !== scale);
    return others.length === 0
      ? []
      : `${term.name} was scaled by ${others.join(", ")} in training, ` +
          `the robot scales it by ${scale}`;
  });
  const [action] = trained.action;
  if (action === undefined || trained.action.length > 1 || action.isUnread === true)
    return observed;
  const scales =
    typeof action.scale === "object"
      ? byJoint(action.scale, robot)
      : robot.joints.map(() => (action.scale as number | undefined) ?? 1);
  const moved = differing(robot, robot.actionScale, scales);
  return moved === undefined
    ? observed
    : [...observed, `actions were scaled otherwise in training than on the robot: ${moved}`];
}

/** Terms, joints and their numbers in another order: nothing else would tell. */
function orderContradictions(trained: TrainedContract, robot: Contract): string[] {
  const found: string[] = [];
  const ours = trained.observation.map(({ name }) =>
    robot.observation.findIndex((term) => TERM_NAMES[term.name]?.test(name) === true),
  );
  const isWhole = ours.length === robot.observation.length && !ours.includes(-1);
  if (isWhole && ours.some((place, i) => place !== i)) {
    const names = trained.observation.map(({ name }) => name);
    found.push(
      `it observed ${names.join(", ")} in training, the robot gives ` +
        robot.observation.map(({ name }) => name).join(", "),
    );
  }
  const joints = trained.action.find((term) => term.joints?.length === robot.joints.length)?.joints;
  const isOther = joints?.some((name, i) => name.replace(/_joint$/, "") !== robot.joints[i]);
  if (joints !== undefined && isOther === true) {
    found.push(
      `its joints are ${joints.join(", ")} in training, the robot's are ${robot.joints.join(", ")}`,
    );
  }
  const { jointIds } = trained;
  if (jointIds?.some((id, i) => id !== i) === true) {
    found.push(
      `joint_ids_map is ${jointIds.join(", ")}, the robot takes its joints as they come, ` +
        `0 to ${robot.joints.length - 1}`,
    );
  }
  return found;
}

/** `FL_HipX 0.25 against 0.125, …`: the first three of those that differ. */
function differing(
  robot: Contract,
  ours: readonly number[],
  theirs: readonly (number | undefined)[] | undefined,
): string | undefined {
  const moved = robot.joints.flatMap((joint, i) => {
    const [own = 0, other = own] = [ours[i], theirs?.[i]];
    return Math.abs(other - own) > 1e-3 ? [`${joint} ${other} against ${own}`] : [];
  });
  if (moved.length === 0) return undefined;
  const more = moved.length > 3 ? `, … (${moved.length} joints)` : "";
  return `${moved.slice(0, 3).join(", ")}${more}`;
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
  values: Exclude<Scale, number> | undefined,
  robot: Contract,
): (number | undefined)[] | undefined {
  if (values === undefined) return undefined;
  if (Array.isArray(values)) return values.length === robot.joints.length ? [...values] : undefined;
  return robot.joints.map((joint) => {
    const match = Object.entries(values).find(([pattern]) => matches(pattern, joint));
    return match?.[1];
  });
}

/** A pattern over names of some 15 characters; longer ones are no joint's. */
const PATTERN_LENGTH_MAX = 100;

/** Isaac Lab names joints by regular expressions, which have to match the whole name. */
function matches(pattern: string, joint: string): boolean {
  if (pattern.length > PATTERN_LENGTH_MAX) return false;
  try {
    const whole = new RegExp(`^(?:${pattern})$`);
    return whole.test(joint) || whole.test(`${joint}_joint`);
  } catch {
    return false; // Python's regular expressions have more than these.
  }
}
