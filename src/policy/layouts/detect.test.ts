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
    expect([code, message.split("\n")[0]]).toEqual([
      "UNSUPPORTED",
      'it holds 7 tensors, in which --actor "policy" names no policy',
    ]);
  });

  for (const key of ["rnn.weight", "obs_normalizer.std", "running_mean_std.mean"]) {
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

const HELP = [
  "--actor PREFIX names the network; layers outside of an nn.Sequential have no order here: save",
  "TorchScript (torch.jit.script) instead; lite3rl inspect lists every tensor",
];

describe("--layout", () => {
  test("takes the one that it names", async () => {
    const model = (state: Code) => dict({ model_state_dict: state, infos: NONE });
    expect(await readState(TINY_STATE, model, { layout: "actor_critic" })).toEqual([
      ...TINY_NETWORK.layers,
    ]);
  });

  test("refuses a file of another, saying what it would need", async () => {
    expect(await refuseState(TINY_STATE, { layout: "rsl_rl" })).toEqual(
      unsupported(
        [
          "it holds 7 tensors, which is no layout known",
          "actor: 4 tensors, such as actor.0.weight [3, 2]",
          "critic: 2 tensors, such as critic.0.weight [1, 2]",
          "log_std: 1 tensor, log_std [1]",
          "rsl_rl needs actor_state_dict, actor_state_dict.mlp.0.weight",
          ...HELP,
        ].join("\n  "),
      ),
    );
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

describe("detectLayout() of no layout", () => {
  test("tallies the tensors, and says what the nearest layouts would need", async () => {
    const layer = (name: string) => ({ [`${name}.weight`]: { shape: [1, 1] } });
    const encoders = { ...layer("encoder.0"), ...layer("encoder.1") };
    const heads = Object.fromEntries(
      Array.from({ length: 9 }, (_, i) => [`head${i}.weight`, { shape: [1, 1] }]),
    );
    const legged = (state: Code) => dict({ model_state_dict: state, infos: NONE, iter: int(1) });
    expect([
      await refuseState({ "critic.0.weight": { shape: [1, 2] }, ...encoders }),
      await refuseState(heads),
      await refuseState(encoders, {}, legged),
    ]).toEqual(
      [
        [
          "it holds 3 tensors, which is no layout known",
          "critic: 1 tensor, critic.0.weight [1, 2]",
          "encoder: 2 tensors, such as encoder.0.weight [1, 1]",
          "actor_critic needs actor.0.weight",
          "sb3 needs mlp_extractor.policy_net.0.weight, action_net.weight",
          ...HELP,
        ],
        [
          "it holds 9 tensors, which is no layout known",
          ...Array.from({ length: 8 }, (_, i) => `head${i}: 1 tensor, head${i}.weight [1, 1]`),
          "… and 1 more",
          "actor_critic needs actor.0.weight",
          "sb3 needs mlp_extractor.policy_net.0.weight, action_net.weight",
          ...HELP,
        ],
        [
          "it holds 3 entries, which is no layout known",
          "model_state_dict: 2 tensors, such as encoder.0.weight [1, 1]",
          "infos: no tensors",
          "iter: no tensors",
          "rsl_rl_legacy needs model_state_dict.actor.0.weight, beside model_state_dict, infos",
          "actor_critic needs actor.0.weight",
          ...HELP,
        ],
      ].map((lines) => unsupported(lines.join("\n  "))),
    );
  });

  test("names what is no dictionary, or an empty one", async () => {
    const refuseRoot = (root: Code) => refusalOf(() => readPlanned(writeTorch(root, {})));
    const need = "which is no layout known, need a state dict with an actor, or TorchScript";
    expect([
      await refuseRoot(dict({})),
      await refuseRoot(list(int(1))),
      await refuseRoot(call(global("__main__", "Policy"))),
    ]).toEqual([
      unsupported(`it holds an empty dictionary, ${need}`),
      unsupported(`it holds no dictionary, ${need}`),
      unsupported(
        `it holds a pickled object of __main__.Policy (save its state_dict() instead), ${need}`,
      ),
    ]);
  });
});
