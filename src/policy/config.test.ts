import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { readActorConfig } from "./config.ts";
import { DEMO_POLICY } from "./policy_fixture.ts";

const directory = temporaryDirectory();
let files = 0;

function yaml(text: string): string {
  const path = join(directory, `${++files}.yaml`);
  writeFileSync(path, text);
  return path;
}

describe("readActorConfig()", () => {
  test("reads the demo policy's", () => {
    expect(readActorConfig(DEMO_POLICY.config)).toEqual({
      path: DEMO_POLICY.config,
      observationSize: 45,
      actionSize: 12,
      hiddenSizes: [256, 128, 64],
      activation: "elu",
    });
  });

  test("leaves out what is not there", () => {
    const path = yaml("act_dim: 12 # joints\n");
    expect(readActorConfig(path)).toEqual({
      path,
      observationSize: undefined,
      actionSize: 12,
      hiddenSizes: undefined,
      activation: undefined,
    });
  });

  test("warns of a key that resembles a known one, and of no other", async () => {
    const path = yaml("obs_dims: 45\nhiden_size: []\nact_d: 12\nactive: elu\nrate: 1\n");
    expect(await linesDuring(() => readActorConfig(path))).toEqual([
      `warning: ${path}: "obs_dims" is not read, did you mean obs_dim?`,
      `warning: ${path}: "hiden_size" is not read, did you mean hidden_sizes?`,
      `warning: ${path}: "act_d" is not read, did you mean act_dim?`,
    ]);
  });

  const refused: readonly [what: string, text: string, reason: string][] = [
    [
      "a duplicate key",
      "obs_dim: 45\nobs_dim: 48\n",
      "Map keys must be unique at line 2, column 1",
    ],
    [
      "broken syntax",
      "hidden_sizes: [256, 128",
      "Flow sequence in block collection must be sufficiently indented and end with a ] " +
        "at line 1, column 24",
    ],
    [
      "several documents",
      "obs_dim: 45\n---\nobs_dim: 48\n",
      "Source contains multiple documents; please use YAML.parseAllDocuments() at line 2, column 1",
    ],
    [
      "an alias without an anchor",
      "obs_dim: *width\n",
      "Unresolved alias (the anchor must be set before the alias): width",
    ],
    [
      "an alias bomb",
      `a: &a [${"x,".repeat(20)}]\nb: &b [${"*a,".repeat(20)}]\nc: [${"*b,".repeat(20)}]\n`,
      "Excessive alias count indicates a resource exhaustion attack",
    ],
    ["an empty file", "", "the document is null, need Object"],
    ["a list", "- obs_dim\n", "the document is a list, need Object"],
    ["a word", "elu\n", 'the document is "elu", need Object'],
    ["text for a number", 'obs_dim: "45"\n', 'obs_dim is "45", need number'],
    ["a fraction", "obs_dim: 45.5\n", "obs_dim is 45.5, need a whole number"],
    ["a null", "act_dim:\n", "act_dim is null, need number"],
    ["zero", "act_dim: 0\n", "act_dim is 0, need >=1"],
    ["more than a policy's width", "obs_dim: 65537\n", "obs_dim is 65537, need <=65536"],
    ["a number for a list", "hidden_sizes: 256\n", "hidden_sizes is 256, need Array"],
    ["a word in a list", "hidden_sizes: [256, big]\n", 'hidden_sizes.1 is "big", need number'],
    ["a number for a name", "activation: 1\n", "activation is 1, need string"],
  ];
  for (const [what, text, reason] of refused) {
    test(`refuses ${what}`, async () => {
      const path = yaml(text);
      expect(await refusalOf(() => readActorConfig(path))).toEqual({
        code: "CONFIG",
        message: `Cannot use config "${path}": ${reason}`,
      });
    });
  }

  test("refuses an unknown activation with the nearest", async () => {
    const path = yaml("activation: eluu\n");
    const { code, message } = await refusalOf(() => readActorConfig(path));
    expect([code, message.split(", need")[0]]).toEqual([
      "CONFIG",
      `Cannot use activation "eluu" from "${path}": unknown, the nearest is elu`,
    ]);
  });

  test("refuses a file over the limit and one that is not there", async () => {
    const absent = join(directory, "absent.yaml");
    const large = yaml(`# ${"x".repeat(1 << 20)}\n`);
    expect([
      await refusalOf(() => readActorConfig(large)),
      await refusalOf(() => readActorConfig(absent)),
    ]).toEqual([
      {
        code: "TOO_LARGE",
        message: `Cannot read "${large}": it has 1048579 bytes, at most 1048576 are taken`,
      },
      { code: "NOT_FOUND", message: `Cannot read "${absent}": there is no such file, need a file` },
    ]);
  });
});
