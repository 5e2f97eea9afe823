import { describe, expect, test } from "bun:test";
import { LITE3_CONTRACT } from "./contract.ts";
import type { TrainedContract } from "./contract_yaml.ts";
import { contradictions } from "./contradictions.ts";

describe("contradictions()", () => {
  const LITE3 = { observationSize: 45, actionSize: 12 };
  /** What the robot's controller does, but for the rate: 83.3 Hz and 50 Hz cannot both be. */
  const same: TrainedContract = {
    path: "env.yaml",
    rateHz: 50,
    observation: [{ name: "base_ang_vel", scale: 0.25, history: 1 }],
    action: [],
    defaultPose: { ".*HipX_joint": 0, ".*HipY_joint": -0.65, ".*Knee_joint": 1.3 },
    kp: 30,
    kd: { ".*": 1 },
  };
  const VENDOR = "trained at 50 Hz, the vendor's controller asks 83.3 times a second";
  const scaled = "actions were scaled otherwise in training than on the robot: ";
  const hip = (leg: string) => `${leg}_HipX 0.25 against 0.125`;
  const SWAPPED = LITE3_CONTRACT.joints.toReversed().map((name) => `${name}_joint`);
  const pose = "trained around another default pose than the robot's: ";
  const CASES: readonly [what: string, change: Partial<TrainedContract>, said: string[]][] = [
    ["nothing but the vendor's rate", {}, [VENDOR]],
    [
      "another rate",
      { rateHz: 1000 / 12 },
      ["trained at 83.33 Hz, run at 50 Hz unless --rate says"],
    ],
    [
      "two rates",
      { rateHz: 100 },
      [
        "trained at 100 Hz, run at 50 Hz unless --rate says",
        "trained at 100 Hz, the vendor's controller asks 83.3 times a second",
      ],
    ],
    [
      "a pose by name",
      { defaultPose: { ".*HipX.*": 0, "F[L,R]_HipY_joint": -0.65, "H.*_HipY_joint": -0.8 } },
      [VENDOR, `${pose}HL_HipY -0.8 against -0.65, HR_HipY -0.8 against -0.65`],
    ],
    [
      "a pose as a list, of which it shows three joints",
      { defaultPose: [0, -0.8, 1.6, 0, -0.8, 1.6, 0, -0.65, 1.3, 0, -0.65, 1.3] },
      [
        VENDOR,
        `${pose}FL_HipY -0.8 against -0.65, FL_Knee 1.6 against 1.3, FR_HipY -0.8 against -0.65, ` +
          "… (4 joints)",
      ],
    ],
    ["a pose of another number of joints, which it cannot compare", { defaultPose: [1] }, [VENDOR]],
    [
      "gains, one for all, a list and by name",
      { kp: [30, 30, 40], kd: { hip: 0.5, knee: 1 } },
      [
        VENDOR,
        "kp was 30, 40 in training, the controller uses 30",
        "kd was 0.5, 1 in training, the controller uses 1",
      ],
    ],
    [
      "scales of observations, the unwritten one is 1",
      { observation: [{ name: "base_ang_vel", scale: [0.2, 0.2] }, { name: "joint_vel_rel" }] },
      [
        VENDOR,
        "base_ang_vel was scaled by 0.2 in training, the robot scales it by 0.25",
        "joint_vel_rel was scaled by 1 in training, the robot scales it by 0.05",
      ],
    ],
    [
      "no scale of a form that it cannot read",
      { observation: [{ name: "joint_vel", isUnread: true }] },
      [VENDOR],
    ],
    [
      "an action scale, one for all",
      { action: [{ name: "joint_pos", scale: 0.25 }] },
      [VENDOR, `${scaled}${["FL", "FR", "HL"].map(hip).join(", ")}, … (4 joints)`],
    ],
    [
      "an action scale by name, and none where it is the robot's",
      { action: [{ name: "joint_pos", scale: { "^(?!.*HipX).*": 0.25, ".*HipX.*": 0.125 } }] },
      [VENDOR],
    ],
    [
      "another order of what is observed",
      {
        observation: [
          { name: "projected_gravity" },
          { name: "base_ang_vel", scale: 0.25 },
          { name: "velocity_commands" },
          { name: "joint_pos_rel" },
          { name: "joint_vel_rel", scale: 0.05 },
          { name: "last_action" },
        ],
      },
      [
        VENDOR,
        "it observed projected_gravity, base_ang_vel, velocity_commands, joint_pos_rel, " +
          "joint_vel_rel, last_action in training, the robot gives base_angular_velocity, " +
          "projected_gravity, command, joint_position, joint_velocity, last_action",
      ],
    ],
    [
      "another order of joints, by name and by number",
      {
        action: [{ name: "a", scale: [...LITE3_CONTRACT.actionScale], joints: SWAPPED }],
        jointIds: [3, 4, 5, 0, 1, 2, 6, 7, 8, 9, 10, 11],
      },
      [
        VENDOR,
        `its joints are ${SWAPPED.join(", ")} in training, the robot's are ` +
          LITE3_CONTRACT.joints.join(", "),
        "joint_ids_map is 3, 4, 5, 0, 1, 2, 6, 7, 8, 9, 10, 11, the robot takes its joints as " +
          "they come, 0 to 11",
      ],
    ],
    ["one gain", { kp: 25 }, [VENDOR, "kp was 25 in training, the controller uses 30"]],
    [
      "a history",
      { observation: [{ name: "joint_pos", history: 5 }] },
      [VENDOR, "joint_pos has a history of 5, the environment gives none"],
    ],
  ];
  for (const [what, change, said] of CASES) {
    test(`says ${what}`, () => {
      expect(contradictions({ ...same, ...change }, LITE3)).toEqual(said);
    });
  }

  test("says nothing of another robot", () => {
    const other = { ...same, rateHz: 200, kp: 25 };
    const sizes = [
      { observationSize: 48, actionSize: 12 },
      { observationSize: 45, actionSize: 8 },
    ];
    expect(sizes.map((size) => contradictions(other, size, LITE3_CONTRACT))).toEqual([[], []]);
  });
});
