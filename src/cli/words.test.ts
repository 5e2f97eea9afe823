import { expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import { VERBS } from "./verbs.ts";
import { joinValues, spellSwitches } from "./words.ts";

test("joinValues() joins a value with a minus to its flag, and nothing else", () => {
  const join = (text: string): string => joinValues(text.split(" ")).join(" ");
  const cases = {
    "agent --command -0.5,0,0 --fast": "agent --command=-0.5,0,0 --fast",
    "agent --command -.5,0,0": "agent --command=-.5,0,0",
    "agent --command=1,0,0 -5": "agent --command=1,0,0 -5",
    "agent -5": "agent -5",
    "agent --fast -h": "agent --fast -h",
    "agent --command -x": "agent --command -x",
  };
  expect(Object.keys(cases).map(join)).toEqual(Object.values(cases));
});

test("joinValues() refuses empty values, which would count as 0", async () => {
  const refusals = [["--env", ""], ["--env="], ["agent", ""]].map((argv) =>
    refusalOf(() => joinValues(argv)),
  );
  expect(await Promise.all(refusals)).toEqual([
    { code: "USAGE", message: "--env needs a value, got an empty one" },
    { code: "USAGE", message: "--env needs a value, got an empty one" },
    { code: "USAGE", message: 'Cannot use argument "": it is empty' },
  ]);
});

test("spellSwitches() spells switches of two words as cac knows them", async () => {
  const command = await VERBS.find(({ name }) => name === "export")?.load();
  expect(command && spellSwitches(command, ["--dynamic-batch", "a.pt", "--obs-stats"])).toEqual([
    "--dynamicBatch",
    "a.pt",
    "--obs-stats",
  ]);
});
