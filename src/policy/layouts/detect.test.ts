import { describe, expect, test } from "bun:test";
import { refusalOf } from "../../base/refusal_fixture.ts";
import { call, type Code, dict, global, int, list, NONE } from "../../formats/pickle_fixture.ts";
import { writeTorch } from "../../formats/torch_fixture.ts";
import { renamed, TINY_STATE } from "../checkpoint_fixture.ts";
import { TINY_NETWORK } from "../policy_fixture.ts";
import { actorAs, readPlanned, readState, refuseState, unsupported } from "./layout_fixture.ts";

describe("--actor", () => {
  const teacher = renamed(TINY_STATE, actorAs("policy.teacher"));
  const student = renamed(TINY_STATE, actorAs("policy.student"));
  const both = { ...teacher, ...student, "encoder.0.weight": { shape: [1, 1] } };
  const layersAs = (prefix: string) =>
    TINY_NETWORK.layers.map((layer) =>
      layer.kind === "linear" ? { ...layer, name: actorAs(prefix)(layer.name) } : layer,
    );

  test("names one of several, and what else there is does not matter", async () => {
    const named = (actor: string) => readState(both, undefined, { actor });
    expect([await named("policy.student"), await named("policy.teacher")]).toEqual([
      layersAs("policy.student"),
      layersAs("policy.teacher"),
    ]);
  });

  test("names one of a word that nobody expects", async () => {
    const state = { ...renamed(TINY_STATE, actorAs("brain")), "critic.0.bias": { shape: [1] } };
    expect(await readState(state, undefined, { actor: "brain" })).toEqual(layersAs("brain"));
  });

  test("lists the candidates that it leaves", async () => {
    expect(await refuseState(both, { actor: "policy" })).toEqual(
      unsupported(
        'several networks could be the actor: "policy.teacher", "policy.student"; ' +
          "name one with --actor",
      ),
    );
  });

  test("refuses a name that nothing has", async () => {
    const { code, message } = await refuseState(TINY_STATE, { actor: "policy" });
    expect([code, message.split(" (torchscript: ")[0]]).toEqual([
      "UNSUPPORTED",
      "it holds actor.0.weight [3, 2], actor.0.bias [3], actor.2.weight [1, 3], " +
        "actor.2.bias [1], critic.0.weight [1, 2], critic.0.bias [1], … (7 in all), " +
        'in which --actor "policy" names no policy',
    ]);
  });

  for (const key of ["memory_a.rnn.weight_ih_l0", "obs_normalizer.std", "running_mean_std.mean"]) {
    test(`does not say away ${key}`, async () => {
      const state = { ...TINY_STATE, [key]: { shape: [1, 1] } };
      const { message } = await refuseState(state, { actor: "actor" });
      expect(message).toStartWith(`"${key}" is neither of "actor" nor known to be of something`);
    });
  }

  test("goes before the layout that the keys tell", async () => {
    const model = (state: Code) => dict({ model_state_dict: state, infos: NONE });
    const state = { ...TINY_STATE, ...renamed(TINY_STATE, actorAs("student")) };
    const named = (name: string) => name.startsWith("actor") || name.startsWith("student");
    const pair = renamed(state, (name) => (named(name) ? name : undefined));
    expect(await readState(pair, model, { actor: "actor" })).toEqual([...TINY_NETWORK.layers]);
  });
});

describe("--layout", () => {
  test("takes the one that it names", async () => {
    const model = (state: Code) => dict({ model_state_dict: state, infos: NONE });
    expect(await readState(TINY_STATE, model, { layout: "actor_critic" })).toEqual([
      ...TINY_NETWORK.layers,
    ]);
  });

  test("refuses a file of another, saying what it would need", async () => {
    const { code, message } = await refuseState(TINY_STATE, { layout: "rsl_rl" });
    expect([code, message]).toEqual([
      "UNSUPPORTED",
      "it holds actor.0.weight [3, 2], actor.0.bias [3], actor.2.weight [1, 3], " +
        "actor.2.bias [1], critic.0.weight [1, 2], critic.0.bias [1], … (7 in all), " +
        "which is no layout known " +
        "(rsl_rl: actor_state_dict with mlp.0.weight, … (rsl_rl 4 and later))",
    ]);
  });

  test("refuses a name that is none", async () => {
    expect(await refuseState(TINY_STATE, { layout: "rsl" })).toEqual({
      code: "USAGE",
      message:
        '--layout "rsl" is not known, need one of torchscript, sb3, rsl_rl, rsl_rl_legacy, ' +
        "rl_games, actor_critic",
    });
  });
});

test("detectLayout() names the keys of a checkpoint without a state dict", async () => {
  const refuseRoot = async (root: Code) =>
    (await refusalOf(() => readPlanned(writeTorch(root, {})))).message.split(
      ", which is no layout",
    )[0];
  const nothing = int(1);
  expect([
    await refuseRoot(dict({ model_state_dict: dict({ a: nothing }), iter: nothing })),
    await refuseRoot(dict({ state_dict: dict({ "actor.0.weight": nothing }) })),
    await refuseRoot(dict({})),
    await refuseRoot(list(nothing)),
    await refuseRoot(call(global("__main__", "Policy"))),
  ]).toEqual([
    'it holds the keys "model_state_dict", "iter"',
    'it holds the keys "state_dict"',
    "it holds an empty dictionary",
    "it holds no dictionary",
    "it holds a pickled object of __main__.Policy (save its state_dict() instead)",
  ]);
});
