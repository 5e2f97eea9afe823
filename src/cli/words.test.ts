import { expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import { VERBS } from "./verbs.ts";
import { joinValues, nearest, spellSwitches, takeDenials, typedValue } from "./words.ts";

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

test("takeDenials() takes --no-… of flags with a value, and only before --", async () => {
  const command = await VERBS.find(({ name }) => name === "export")!.load();
  const argv = ["a.pt", "--no-obs-stats", "--no-check", "--no-config-file", "--", "--no-config"];
  expect(takeDenials(command, argv)).toEqual({
    words: ["a.pt", "--no-check", "--", "--no-config"],
    denied: ["obsStats", "configFile"],
  });
});

test("nearest() suggests what is near, and nothing else", () => {
  const known = ["serve", "export"];
  expect([nearest("exprot", known), nearest("zzzzzz", known), nearest("x", [])]).toEqual([
    ": did you mean export?",
    "",
    "",
  ]);
});

test("typedValue() gives the words as they were typed, up to --", () => {
  const words = ["x.onnx", "--toolkit", "1.0", "--env-timeout=1.50", "--", "--seed", "01"];
  expect(["toolkit", "envTimeout", "seed"].map((key) => typedValue(key, words))).toEqual([
    "1.0",
    "1.50",
    undefined,
  ]);
});
