import { describe, expect, test } from "bun:test";
import { attitudeOf, describeFall, rotationOf, toBody } from "./attitude.ts";
import type { Rotation } from "./attitude.ts";

const DEGREE = Math.PI / 180;

/** R = Rz·Ry·Rx from angles in degrees, through the quaternion. */
function turned(roll: number, pitch: number, yaw: number): Rotation {
  const [sr, sp, sy] = [roll, pitch, yaw].map((angle) => Math.sin((angle * DEGREE) / 2)) as Triple;
  const [cr, cp, cy] = [roll, pitch, yaw].map((angle) => Math.cos((angle * DEGREE) / 2)) as Triple;
  return rotationOf(
    cr * cp * cy + sr * sp * sy,
    sr * cp * cy - cr * sp * sy,
    cr * sp * cy + sr * cp * sy,
    cr * cp * sy - sr * sp * cy,
  );
}

type Triple = [number, number, number];

test("attitudeOf() gives back the angles a rotation was made from", () => {
  const angles = attitudeOf(turned(12, -34, 156)).map((angle) => angle / DEGREE);
  for (const [index, angle] of [12, -34, 156].entries())
    expect(angles[index]).toBeCloseTo(angle, 9);
});

test("toBody() turns a world vector into the frame of a body that turned left", () => {
  const [x, y, z] = toBody(turned(0, 0, 90), 1, 2, 3);
  expect(x).toBeCloseTo(2, 12);
  expect(y).toBeCloseTo(-1, 12);
  expect(z).toBeCloseTo(3, 12);
});

describe("describeFall()", () => {
  const cases: readonly [string, Rotation, number, string | undefined][] = [
    ["stands", turned(0, 0, 0), 0.33, undefined],
    ["rolls within the limit", turned(29.9, 0, 70), 0.3, undefined],
    ["rolls over the limit", turned(-30.1, 0, 70), 0.3, "roll -30.1°, limit 30°"],
    ["pitches within the limit", turned(0, -44.9, 200), 0.3, undefined],
    ["pitches over the limit", turned(0, 45.1, 200), 0.3, "pitch 45.1°, limit 45°"],
    ["is on its back", turned(180, 0, 0), 0.3, "roll 180.0°, limit 30°"],
    ["is too low", turned(0, 0, 0), 0.169, "base 0.169 m over the ground, limit 0.17 m"],
    ["is nowhere", turned(0, 0, 0), Number.NaN, "the simulation diverged"],
  ];
  for (const [what, rotation, height, expected] of cases) {
    test(`says ${quoted(expected)} when the robot ${what}`, () => {
      expect(describeFall(rotation, height)).toBe(expected);
    });
  }
});

function quoted(text: string | undefined): string {
  return text === undefined ? "nothing" : `"${text}"`;
}
