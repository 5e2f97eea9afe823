import { expect, test } from "bun:test";
import { layoutOf, statusOf } from "./status.ts";
import { TERMS_SHOWN, termNames } from "./terms.ts";
import { filledView } from "./view_fixture.ts";

test("statusOf() survives JSON, with what is not a number as null", () => {
  using view = filledView();
  view.answer(100);
  view.page.observation[0] = NaN;
  view.page.action[11] = -Infinity;
  const status = statusOf(view);
  expect(JSON.parse(JSON.stringify(status))).toEqual(status);
  const { observation, action, outside, boundsUs, service } = status;
  expect([observation[0], action[11]]).toEqual([null, null]);
  expect([observation.length, action.length, outside.length]).toEqual([45, 12, 45]);
  expect(service.length).toBe(boundsUs.length + 1);
  expect(service.reduce((sum, count) => sum + count, 0)).toBe(100);
});

test("statusOf() has another layout for other terms or service, none without an engine", () => {
  using view = filledView();
  const { layout } = statusOf(view);
  view.answer(1);
  expect(statusOf(view).layout).toBe(layout);
  expect(statusOf({ ...view, startedMs: 0 }).layout).not.toBe(layout);
  view.change({ actionNames: ["a"] });
  expect(statusOf(view).layout).not.toBe(layout);
  view.change({ engine: undefined });
  expect(statusOf(view).layout).toBeNull();
});

test("layoutOf() names twelve actions by their joints where the model does not", () => {
  using view = filledView();
  view.change({ observationNames: [], actionNames: [] });
  const { observations, actions } = layoutOf(view, view.snapshot());
  expect([observations[44], actions[11]]).toEqual(["observation 44", "HR_Knee"]);
});

test("statusOf() puts the newest event first", () => {
  using view = filledView();
  const event = (name: string) => ({ at: "", level: "info", name, message: "" }) as const;
  view.change({ events: [event("old"), event("new")] });
  expect(statusOf(view).events.map(({ name }) => name)).toEqual(["new", "old"]);
});

test("termNames() numbers what has no name, and ends at its limit", () => {
  expect(termNames(["a"], 3, "action")).toEqual(["a", "action 1", "action 2"]);
  expect(termNames([], 70_000, "observation").length).toBe(TERMS_SHOWN);
});
