import { describe, expect, test } from "bun:test";
import { LYING_POSE, legPose, STAND_UP_S, standUpTargets } from "./stand_up.ts";

function targetsAt(timeS: number): Float64Array {
  const targets = new Float64Array(12);
  standUpTargets(new Float64Array(12).fill(1), timeS, targets);
  return targets;
}

describe("legPose()", () => {
  test("puts the foot straight under the hip, at the height asked for", () => {
    for (const height of [0.05, 0.12, 0.25, 0.33, 0.4]) {
      const [hipX, hipY, knee] = legPose(height);
      expect(hipX).toBe(0);
      expect(0.2 * Math.cos(hipY) + 0.21 * Math.cos(hipY + knee)).toBeCloseTo(height, 5);
      expect(0.2 * Math.sin(hipY) + 0.21 * Math.sin(hipY + knee)).toBeCloseTo(0, 5);
    }
  });

  test("gives angles of at most six decimals, the same with every math library", () => {
    expect(legPose(0.12)).toEqual([0, -1.354531, 2.549477]);
    expect(legPose(0.33)).toEqual([0, -0.653535, 1.271092]);
  });

  test("asserts that the leg is long enough", () => {
    expect(() => legPose(0.42)).toThrow("the leg reaches that height");
  });
});

describe("standUpTargets()", () => {
  test("goes from the start through the folded legs to the stretched ones, and stays", () => {
    expect([...targetsAt(0)]).toEqual(Array(12).fill(1));
    expect([...targetsAt(1.5)]).toEqual(Array(4).fill(legPose(0.12)).flat());
    expect([...targetsAt(STAND_UP_S)]).toEqual(Array(4).fill(legPose(0.33)).flat());
    expect(targetsAt(STAND_UP_S + 1)).toEqual(targetsAt(STAND_UP_S));
  });

  test("never jumps: a millisecond moves a joint by less than 3 mrad", () => {
    for (let timeMs = 1; timeMs <= 3000; timeMs++) {
      const before = targetsAt((timeMs - 1) / 1000);
      const after = targetsAt(timeMs / 1000);
      for (let joint = 0; joint < 12; joint++) {
        expect(Math.abs(after[joint]! - before[joint]!)).toBeLessThan(0.003);
      }
    }
  });

  test("folds the legs as they are when lying", () => {
    for (const [joint, angle] of LYING_POSE.entries()) {
      expect(targetsAt(1.5)[joint]).toBeCloseTo(angle, 4);
    }
  });
});
