/**
 * The Lite3 and the ground under it as MJCF, written from numbers and primitive shapes.
 *
 * Every number of the robot is one that DeepRoboticsLab publishes in deep_robotics_model@b452a1f,
 * unless its comment says otherwise; the text, the structure and the shapes of the shanks are ours.
 * There are no meshes: boxes, cylinders, capsules and spheres collide, with the ground only.
 *
 * Units are metres, kilograms, radians, newtons. x is forward, y left, z up. Legs are FL, FR, HL,
 * HR (front or hind, left or right), each HipX, HipY, Knee: the order of policy and robot.
 */

import { LITE3_CONTRACT } from "../policy/contract.ts";

/** What the robot stands on. The step goes up at `STEP_X_M` and stays up; it runs along y. */
export type Terrain =
  { readonly kind: "flat" } | { readonly kind: "step"; readonly heightM: number };

/** One physics step, seconds: the robot's own control loop runs at 1 kHz. */
export const TIMESTEP_S = 0.001;

/** Joints of the robot, and numbers of an action. */
export const JOINT_COUNT = LITE3_CONTRACT.joints.length;

/** Radius of the ball the robot stands on, metres. */
export const FOOT_RADIUS_M = 0.022;

/**
 * Where the step's edge is, metres ahead of the start. Our choice: the front feet, 0.17 m ahead of
 * the base, have four strides of run-up, and are there 2 s after the start at 0.5 m/s.
 */
export const STEP_X_M = 1;

/** The step's length and breadth, metres: minutes of walking. Our choice. */
const STEP_EXTENT_M = 200;

const TORSO = { massKg: 5.6056, inertia: "0.02456 0.05518 0.07016" };
const HIP_MASS_KG = 0.55;
const HIP_INERTIA = "0.0003949 0.0004028 0.0004472";
const THIGH = { massKg: 0.86, inertia: "0.005736 0.00496 0.001436" };
const SHANK = { massKg: 0.153, inertia: "0.00089039 0.00090672 0.000031266" };
const FOOT_MASS_KG = 0.02;

/** Hip axis from the base (x, y), and from there to the leg's plane (y), thigh and shank (z). */
const HIP_X = 0.1745;
const HIP_Y = 0.062;
const THIGH_Y = 0.09735;
const THIGH_LENGTH = 0.2;
const SHANK_LENGTH = 0.21012;

/** Axes, limits and the greatest torque of a leg's joints. Their greatest speed is not modelled. */
const JOINTS = [
  { name: "HipX", axis: "-1 0 0", range: "-0.523 0.523", torqueNm: 24 },
  { name: "HipY", axis: "0 -1 0", range: "-2.67 0.314", torqueNm: 24 },
  { name: "Knee", axis: "0 -1 0", range: "0.524 2.792", torqueNm: 36 },
] as const;

interface Leg {
  readonly name: string;
  /** 1 front, −1 hind. */
  readonly front: number;
  /** 1 left, −1 right. */
  readonly left: number;
  readonly hipCentre: string;
  readonly hipInertia: string;
}

const LEGS: readonly Leg[] = [
  {
    name: "FL",
    front: 1,
    left: 1,
    hipCentre: "-0.00601 -0.0066532 0.00034295",
    hipInertia: HIP_INERTIA,
  },
  {
    name: "FR",
    front: 1,
    left: -1,
    hipCentre: "-0.010579 0.011358 0.00048546",
    // First and third are the other way round on this leg, in the source too.
    hipInertia: "0.0004472 0.0004028 0.0003949",
  },
  {
    name: "HL",
    front: -1,
    left: 1,
    hipCentre: "0.010905 -0.012636 0.001051",
    hipInertia: HIP_INERTIA,
  },
  {
    name: "HR",
    front: -1,
    left: -1,
    hipCentre: "0.010354 0.011423 0.00049498",
    hipInertia: HIP_INERTIA,
  },
];

export const LEG_COUNT = LEGS.length;

/**
 * The whole model. Joints, actuators, foot sites and touch sensors come in the order of `LEGS`.
 *
 * An actuator's force is ctrl − kp·q − kd·q̇ within ±torque, with kp and kd set at run time in
 * `actuator_biasprm`; ctrl = kp·q* + kd·q̇* + τ makes it the joint command of the real robot. The
 * gains being known to the integrator (implicitfast) keeps them stable at this and larger steps.
 * MuJoCo must not restart by itself what has diverged: the environment reports it.
 *
 * The ground is MuJoCo's default one, friction 1; contact stiffness is the mean of it and the feet.
 */
export function lite3Mjcf(options: { readonly terrain: Terrain }): string {
  return `<mujoco model="lite3">
<compiler angle="radian" autolimits="true"/>
<option timestep="${TIMESTEP_S}" integrator="implicitfast"><flag autoreset="disable"/></option>
<default>
  <default class="robot">
    <geom condim="3" contype="0" conaffinity="1" friction="1 0.01 0.01" solref="0.005 1"/>
  </default>
</default>
<worldbody>
${groundMjcf(options.terrain)}
<body name="TORSO" childclass="robot">
  <freejoint/>
  <inertial pos="0 0 0" mass="${TORSO.massKg}" diaginertia="${TORSO.inertia}"/>
  <geom type="box" size="0.25 0.05 0.06" pos="0 0 0.01"/>
  <geom type="box" size="0.125 0.1 0.06" pos="0 0 0.01"/>
${LEGS.map(legMjcf).join("\n")}
</body>
</worldbody>
<actuator>
${LEGS.flatMap((leg) => JOINTS.map((joint) => actuatorMjcf(leg, joint))).join("\n")}
</actuator>
<sensor>
${LEGS.map((leg) => `<touch site="${leg.name}_FOOT"/>`).join("\n")}
</sensor>
</mujoco>
`;
}

/** Height of the ground at `x`, metres. */
export function groundHeight(terrain: Terrain, x: number): number {
  return terrain.kind === "step" && x >= STEP_X_M ? terrain.heightM : 0;
}

function groundMjcf(terrain: Terrain): string {
  const floor = `<geom type="plane" size="10 10 1"/>`; // A plane has no end, whatever its size.
  if (terrain.kind === "flat") return floor;
  const half = STEP_EXTENT_M / 2;
  const halfHeight = terrain.heightM / 2;
  return `${floor}
<geom type="box" size="${half} ${half} ${halfHeight}"
  pos="${STEP_X_M + half} 0 ${halfHeight}"/>`;
}

function legMjcf({ name, front, left, hipCentre, hipInertia }: Leg): string {
  const joint = JOINTS.map(
    ({ name: part, axis, range }) =>
      `<joint name="${name}_${part}" type="hinge" axis="${axis}" range="${range}"/>`,
  );
  return `<body name="${name}_HIP" pos="${front * HIP_X} ${left * HIP_Y} 0">
  ${joint[0]}
  <inertial pos="${hipCentre}" mass="${HIP_MASS_KG}" diaginertia="${hipInertia}"/>
  <geom type="cylinder" size="0.04" fromto="0 ${left * -0.025} 0 0 ${left * 0.125} 0"/>
  <body name="${name}_THIGH" pos="0 ${left * THIGH_Y} 0">
    ${joint[1]}
    <inertial pos="-0.0039245 ${left * -0.014632} -0.025146" mass="${THIGH.massKg}"
      diaginertia="${THIGH.inertia}"/>
    <geom type="box" size="0.02 0.0225 0.1" pos="-0.015 0 -0.08"/>
    <body name="${name}_SHANK" pos="0 0 ${-THIGH_LENGTH}">
      ${joint[2]}
      <inertial pos="0.0064794 0 -0.12157" mass="${SHANK.massKg}"
        diaginertia="${SHANK.inertia}"/>
      <geom type="capsule" size="0.015" fromto="-0.004 0 -0.074 0.014 0 0.014"/>
      <geom type="capsule" size="0.015" fromto="0.015 0 -0.105 0.005 0 -0.175"/>
      <body name="${name}_FOOT" pos="0 0 ${-SHANK_LENGTH}">
        <geom type="sphere" size="${FOOT_RADIUS_M}" mass="${FOOT_MASS_KG}"/>
        <site name="${name}_FOOT" size="${FOOT_RADIUS_M + 0.003}"/>
      </body>
    </body>
  </body>
</body>`;
}

function actuatorMjcf(leg: Leg, { name, torqueNm }: (typeof JOINTS)[number]): string {
  return (
    `<general joint="${leg.name}_${name}" gaintype="fixed" gainprm="1" biastype="affine" ` +
    `forcerange="${-torqueNm} ${torqueNm}"/>`
  );
}
