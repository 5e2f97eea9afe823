import { describe, expect, test } from "bun:test";
import { COMMAND_RANGE } from "../environment/drawn_commands.ts";
import { commandAt, drawScenarios } from "./scenarios.ts";

describe("drawScenarios()", () => {
  test("gives the same for the same seed, however many, and others for another", () => {
    const twelve = drawScenarios(12, 3);
    expect(drawScenarios(40, 3).slice(0, 12)).toEqual(twelve);
    expect(drawScenarios(12, 4)).not.toEqual(twelve);
  });

  test("has a push in each, a step in one of four, and forward commands toward that", () => {
    const all = drawScenarios(200, 0);
    const steps = all.filter(({ terrain }) => terrain.kind === "step");
    expect(steps).toHaveLength(50);
    for (const { commands } of steps) {
      const [first, second] = commands;
      expect(first).toEqual(second);
      expect(first?.[0]).toBeWithin(0.4, 0.8);
      expect(first?.slice(1)).toEqual([0, 0]);
    }
    for (const { commands, push } of all) {
      expect(commands).toHaveLength(4);
      const [low, high] = COMMAND_RANGE.vx;
      expect(commands.every(([vx]) => vx >= low && vx <= high)).toBe(true);
      expect(Math.hypot(push.x, push.y)).toBeWithin(0.3, 0.6);
      expect(push.atS).toBeWithin(2, 6);
    }
  });
});

test("commandAt() changes the command every two seconds, at any rate", () => {
  const [scenario] = drawScenarios(1, 0);
  if (scenario === undefined) throw new Error("no scenario");
  const changes = (steps: number, periodMs: number) =>
    Array.from({ length: steps }, (_, step) => [step, commandAt(scenario, step, periodMs)] as const)
      .filter(([, command]) => command !== undefined)
      .map(([step]) => step);
  expect(changes(400, 20)).toEqual([0, 100, 200, 300]);
  expect(changes(800, 10)).toEqual([0, 200, 400, 600]);
});
