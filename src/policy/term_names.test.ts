import { expect, test } from "bun:test";
import { termNames } from "./term_names.ts";

const sizes = { observationSize: 9, actionSize: 2 };
const joints = ["FL_HipX", "FL_HipY"];
const observation = [
  { name: "base_ang_vel", scale: 0.25 },
  { name: "joint_pos_rel", scale: 1 },
  { name: "joint_vel_rel", joints: [".*"] },
  { name: "last_action", scale: [1, 1] },
];
const observed = (of: (i: number) => string | number): string[] => [
  ...[0, 1, 2].map((i) => `base_ang_vel[${i}]`),
  ...["joint_pos_rel", "joint_vel_rel", "last_action"].flatMap((name) =>
    [0, 1].map((i) => `${name}[${of(i)}]`),
  ),
];

test("termNames() names joints where the contract does, and numbers them elsewhere", () => {
  expect(termNames({ observation, action: [{ name: "pos", joints }] }, sizes)).toEqual({
    actionNames: joints,
    observationNames: observed((i) => joints[i]!),
  });
  expect(termNames({ observation, action: [{ name: "pos", joints: [".*"] }] }, sizes)).toEqual({
    observationNames: observed((i) => i),
  });
});

test("termNames() takes a history into account", () => {
  const contract = { observation: [{ name: "projected_gravity", history: 3 }] };
  expect(termNames(contract, sizes).observationNames).toEqual(
    Array.from({ length: 9 }, (_, i) => `projected_gravity[${i}]`),
  );
});

test("termNames() gives no names where the terms do not make up the whole", () => {
  for (const contract of [
    null,
    "text",
    { rateHz: 50 },
    { observation: "all" },
    { observation, action: [{ name: "pos", joints: ["only one"] }, { name: 3 }] },
    { observation: observation.slice(1), action: [{ name: "pos", joints: joints.slice(1) }] },
    { observation: [...observation, { name: "height_scan", scale: [1] }] },
    { observation: [{ name: "base_ang_vel", history: 1e9 }] },
  ]) {
    expect(termNames(contract, sizes)).toEqual({});
  }
});
