/**
 * What a policy expects of its robot: observation terms and scales, action scale, default pose,
 * gains, rate. The one built in is the Lite3's.
 */

export interface ObservationTerm {
  readonly name: string;
  readonly size: number;
  readonly scale: number;
}

export interface Contract {
  readonly robot: string;
  readonly observation: readonly ObservationTerm[];
  /** Joint names, in the order of actions and joint observations. */
  readonly joints: readonly string[];
  /** Target = defaultPose + action · actionScale, radians, one per joint. */
  readonly actionScale: readonly number[];
  /** Radians, one per joint. */
  readonly defaultPose: readonly number[];
  /** Position gain, Nm/rad, and damping, Nm·s/rad. */
  readonly kp: number;
  readonly kd: number;
  /** Policy steps per second in training. */
  readonly rateHz: number;
}

const LEGS = ["FL", "FR", "HL", "HR"] as const;
const JOINTS = ["HipX", "HipY", "Knee"] as const;
const perLeg = (values: readonly number[]): number[] => LEGS.flatMap(() => [...values]);

/**
 * The Lite3 contract: 45 observations, 12 actions. Source: DeepRoboticsLab/Lite3_rl_deploy
 * (scales, pose, gains) and DeepRoboticsLab/rl_training (50 Hz).
 */
export const LITE3_CONTRACT: Contract = {
  robot: "lite3",
  observation: [
    { name: "base_angular_velocity", size: 3, scale: 0.25 },
    { name: "projected_gravity", size: 3, scale: 1 },
    { name: "command", size: 3, scale: 1 },
    { name: "joint_position", size: 12, scale: 1 },
    { name: "joint_velocity", size: 12, scale: 0.05 },
    { name: "last_action", size: 12, scale: 1 },
  ],
  joints: LEGS.flatMap((leg) => JOINTS.map((joint) => `${leg}_${joint}`)),
  actionScale: perLeg([0.125, 0.25, 0.25]),
  defaultPose: perLeg([0, -0.65, 1.3]),
  kp: 30,
  kd: 1,
  rateHz: 50,
};

/** Width of the observation a contract describes. */
export function observationSize(contract: Contract): number {
  return contract.observation.reduce((sum, term) => sum + term.size, 0);
}

/** Joint names where the actions are as many as the Lite3's, else their indices. */
export function outputNames(actionSize: number): string[] {
  const { joints } = LITE3_CONTRACT;
  if (joints.length === actionSize) return [...joints];
  return Array.from({ length: actionSize }, (_, i) => `action[${i}]`);
}
