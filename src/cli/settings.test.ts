import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import { type Command, positionalsOf } from "./command.ts";
import {
  describeSources,
  mergeSettings,
  readSettings,
  type Setting,
  type Settings,
  settablesOf,
} from "./settings.ts";
import { SHARED_KEYS } from "./config_file.ts";
import { VERBS } from "./verbs.ts";

const load = (verb: string): Promise<Command> => VERBS.find(({ name }) => name === verb)!.load();

/** The values that variables give, by layer. */
async function variables(verb: string, env: Record<string, string>): Promise<unknown> {
  const layers = readSettings(await load(verb), { env, configFile: false });
  return layers.map((layer) =>
    Object.fromEntries([...layer].map(([key, { value, origin }]) => [key, [value, origin]])),
  );
}

describe("readSettings()", () => {
  test("takes a verb's own variables before those of all, and empty ones not at all", async () => {
    const env = {
      LITE3RL_MODEL: "a.onnx",
      LITE3RL_SERVE_MODEL: "b.onnx",
      LITE3RL_OBS_STATS: "",
      LITE3RL_AGENT_MODEL: "c.onnx",
      LITE3RL_TEST_PYTHON: "python",
      lite3rl_warmup: "5",
    };
    expect(await variables("serve", env)).toEqual([
      { model: ["b.onnx", "LITE3RL_SERVE_MODEL"] },
      { model: ["a.onnx", "LITE3RL_MODEL"] },
    ]);
  });

  test("types variables as cac types words", async () => {
    const env = {
      LITE3RL_WARMUP: "16",
      LITE3RL_SOCKET: "1e3",
      LITE3RL_MODEL: " ",
      LITE3RL_INSECURE_NETWORK: "TRUE",
      LITE3RL_STOP_WITH_STDIN: "0",
    };
    const tcp = ["true", "false", "80", "::1"].map(async (LITE3RL_TCP) => {
      const [, layer] = readSettings(await load("serve"), {
        env: { LITE3RL_TCP },
        configFile: false,
      });
      return layer?.get("tcp")?.value;
    });
    expect(await Promise.all(tcp)).toEqual([true, undefined, 80, "::1"]);
    expect(await variables("serve", env)).toEqual([
      {},
      {
        warmup: [16, "LITE3RL_WARMUP"],
        socket: [1000, "LITE3RL_SOCKET"],
        model: [" ", "LITE3RL_MODEL"],
        insecureNetwork: [true, "LITE3RL_INSECURE_NETWORK"],
        stopWithStdin: [false, "LITE3RL_STOP_WITH_STDIN"],
      },
    ]);
  });

  test("takes what verbs mean differently from their own variables alone", async () => {
    const env = {
      LITE3RL_LOG: "run.mcap",
      LITE3RL_SERVE_LOG: "json",
      LITE3RL_AGENT_LOG: "walk.mcap",
    };
    expect(await Promise.all(["serve", "agent"].map((verb) => variables(verb, env)))).toEqual([
      [{ log: ["json", "LITE3RL_SERVE_LOG"] }, {}],
      [{ log: ["walk.mcap", "LITE3RL_AGENT_LOG"] }, {}],
    ]);
  });

  test("takes positionals, and refuses what is no switch", async () => {
    expect(await variables("parity", { LITE3RL_PARITY_A: "7.onnx", LITE3RL_B: "5" })).toEqual([
      { a: ["7.onnx", "LITE3RL_PARITY_A"] },
      { b: ["5", "LITE3RL_B"] },
    ]);
    expect(await refusalOf(() => variables("agent", { LITE3RL_FAST: "quick" }))).toEqual({
      code: "CONFIG",
      message: 'LITE3RL_FAST needs true or false, got "quick"',
    });
  });
});

const layer = (source: string, values: Record<string, unknown>): Settings =>
  new Map(
    Object.entries(values).map(([name, value]): [string, Setting] => [
      name,
      { name, value, source, origin: `${source}:${name}`, subject: name },
    ]),
  );

describe("mergeSettings()", () => {
  test("takes each value from the strongest layer, which may take it back", () => {
    const layers = [
      layer("command line", { a: 1, denied: undefined }),
      layer("environment", { a: 2, b: 2 }),
      layer("lite3rl.yaml", { a: 3, b: 3, c: 3, denied: 3 }),
    ];
    const merged = mergeSettings(layers);
    const values = Object.fromEntries([...merged].map(([key, { value }]) => [key, value]));
    expect(values).toEqual({ a: 1, denied: undefined, b: 2, c: 3 });
    expect(describeSources(merged)).toEqual([
      "using the environment: environment:b",
      "using lite3rl.yaml: c",
    ]);
  });

  test("drops a rival of a weaker layer, and keeps both of the same", () => {
    const rivals = [["model", "connect"]] as const;
    const keys = (...layers: Settings[]): string[] => [...mergeSettings(layers, rivals).keys()];
    const model = layer("file", { model: "m", seed: 1 });
    expect(keys(layer("command line", { connect: "unix:x" }), model)).toEqual(["connect", "seed"]);
    expect(keys(model, layer("etc", { connect: "unix:x" }))).toEqual(["model", "seed"]);
    expect(keys(layer("file", { model: "m", connect: "x" }))).toEqual(["model", "connect"]);
  });
});

describe("the verbs", () => {
  for (const { name, load: loadVerb } of VERBS) {
    test(`${name} has one name per setting, and its rivals are among them`, async () => {
      const command = await loadVerb();
      const count = Object.keys(command.flags).length + positionalsOf(command).length;
      expect(settablesOf(command).size).toBe(count);
      const keys = [...settablesOf(command).values()].map(({ key }) => key);
      const rivals = (command.rivals ?? []).flat();
      expect(rivals.filter((key) => !keys.includes(key))).toEqual([]);
    });
  }

  test("a verb's name is no shared key, and no verb's variables are those of another", async () => {
    const names = VERBS.map(({ name }) => name);
    expect(SHARED_KEYS.filter((key) => names.includes(key))).toEqual([]);
    const variables = await Promise.all(
      VERBS.map(async (verb) => Array.from(settablesOf(await verb.load()).keys())),
    );
    const ambiguous = variables
      .flat()
      .filter((name) => names.some((verb) => name.startsWith(`${verb}-`)));
    expect(ambiguous).toEqual([]);
  });
});
