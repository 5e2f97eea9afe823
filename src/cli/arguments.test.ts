import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { checkArguments, gatherArguments, readArguments } from "./arguments.ts";
import { type Command, defineCommand, textValue } from "./command.ts";
import * as v from "valibot";

const directory = temporaryDirectory();

/** A verb of no program, with these positionals; the name is one that cac registers. */
const commandWith = (
  positionals: string,
  more: Pick<Command, "positionalsTogether"> = {},
): Command =>
  defineCommand({
    ...more,
    name: "inspect",
    positionals,
    summary: "For tests",
    example: "inspect x",
    flags: { mode: { value: "<m>", help: "m", schema: v.optional(textValue("a mode")) } },
    rivals: [["mode", "sets"]],
    unused: ([first]) => (first === "plain" ? ["mode"] : []),
    run: () => Promise.resolve(undefined),
  });

/** Positionals and flags with a configuration file of this content. */
function withFile(positionals: string | Command, yaml: string, ...argv: string[]): unknown {
  const command = typeof positionals === "string" ? commandWith(positionals) : positionals;
  const file = join(directory, "some.yaml");
  mkdirSync(directory, { recursive: true });
  writeFileSync(file, yaml);
  const words = ["inspect", ...argv, "--config-file", file];
  return checkArguments(command, gatherArguments(command, words, {}));
}

describe("positional arguments", () => {
  test("may be optional or open, and are refused when there are too few or too many", async () => {
    const read = async (positionals: string, ...argv: string[]): Promise<unknown> => {
      const words = ["inspect", ...argv];
      const refused = () => readArguments(commandWith(positionals), words);
      try {
        return refused().positionals;
      } catch {
        return (await refusalOf(refused)).message;
      }
    };
    const example = "for example: lite3rl inspect x";
    expect([
      await read("[dir]"),
      await read("[dir]", "a"),
      await read("[dir]", "a", "b"),
      await read("<one> [...more]"),
      await read("<one> [...more]", "a", "b", "c"),
    ]).toEqual([
      [],
      ["a"],
      `inspect takes [dir], and does not know what to do with "b", ${example}`,
      `inspect needs <one>, ${example}`,
      ["a", "b", "c"],
    ]);
  });

  test("come from the file where they are not written", () => {
    const yaml = "inspect: {a: 1.onnx, b: ./2.onnx}";
    const second = join(directory, "2.onnx");
    expect([
      withFile("<a> <b>", yaml),
      withFile("<a> <b>", yaml, "x"),
      withFile("<a> <b>", yaml, "x", "y"),
    ]).toEqual([
      { positionals: ["1.onnx", second], flags: {} },
      { positionals: ["x", second], flags: {} },
      { positionals: ["x", "y"], flags: {} },
    ]);
  });

  test("replace all that the file says where they are one thing", () => {
    const command = commandWith("<a> [b]", { positionalsTogether: true });
    const yaml = "inspect: {a: 1.onnx, b: two}";
    expect([withFile(command, yaml), withFile(command, yaml, "x")]).toEqual([
      { positionals: ["1.onnx", "two"], flags: {} },
      { positionals: ["x"], flags: {} },
    ]);
  });

  test("leave out what a file says and they have no use for, not what is written", () => {
    const yaml = "inspect: {mode: deep}";
    expect([
      withFile("[word]", yaml, "plain"),
      withFile("[word]", yaml, "plain", "--mode", "deep"),
      withFile("[word]", yaml, "other"),
    ]).toEqual([
      { positionals: ["plain"], flags: {} },
      { positionals: ["plain"], flags: { mode: "deep" } },
      { positionals: ["other"], flags: { mode: "deep" } },
    ]);
  });

  test("of any number come as a list, and displace a rival of the file", () => {
    const yaml = "inspect: {mode: deep}";
    expect([
      withFile("[...sets]", "inspect: {sets: [a, 5]}"),
      withFile("[...sets]", "inspect: {sets: a}"),
      withFile("[...sets]", yaml),
      withFile("[...sets]", yaml, "x", "y"),
    ]).toEqual([
      { positionals: ["a", "5"], flags: {} },
      { positionals: ["a"], flags: {} },
      { positionals: [], flags: { mode: "deep" } },
      { positionals: ["x", "y"], flags: {} },
    ]);
  });
});
