import { describe, expect, test } from "bun:test";
import { linesDuring } from "../../base/log_fixture.ts";
import { call, type Code, dict, global, int, text } from "../../formats/pickle_fixture.ts";
import { bytesOf, tensorCode, writeTorch } from "../../formats/torch_fixture.ts";
import { renamed, TINY_STATE, writeCheckpoint } from "../checkpoint_fixture.ts";
import type { Layer } from "../network.ts";
import { TINY_NETWORK } from "../policy_fixture.ts";
import { readPlanned, readState, refuseState, type State, unsupported } from "./layout_fixture.ts";
import { refusalOf } from "../../base/refusal_fixture.ts";

/** The tiny actor by itself, its keys behind `prefix` instead of `actor.`. */
const actorAlone = (prefix: string): State =>
  renamed(TINY_STATE, (name) =>
    name.startsWith("actor.") ? name.replace("actor.", prefix) : undefined,
  );

/** The tiny actor's layers as they are called there. */
const layersAs = (prefix: string): Layer[] =>
  TINY_NETWORK.layers.map((layer) =>
    layer.kind === "linear" ? { ...layer, name: layer.name.replace("actor.", prefix) } : layer,
  );

/** Layers, and what was said of them. */
async function readAloud(state: State, wrap?: (code: Code) => Code) {
  const found: (readonly Layer[])[] = [];
  const lines = await linesDuring(async () => found.push(await readState(state, wrap)));
  return { layers: found[0], lines };
}

describe("a Sequential that is all there is", () => {
  test("is the actor, whatever it is called, and that is said", async () => {
    expect([
      await readAloud(actorAlone("")),
      await readAloud(actorAlone("net.")),
      await readAloud({ ...actorAlone("model.layers."), log_std: { shape: [1] } }),
      await readAloud(actorAlone("module._orig_mod."), (code) => dict({ model: code })),
    ]).toEqual([
      { layers: layersAs(""), lines: ["taking the Sequential as the actor: it is all there is"] },
      {
        layers: layersAs("net."),
        lines: ['taking "net" as the actor: it is the only network'],
      },
      {
        layers: layersAs("model.layers."),
        lines: ['taking "model.layers" as the actor: it is the only network'],
      },
      { layers: layersAs(""), lines: ["taking the Sequential as the actor: it is all there is"] },
    ]);
  });

  for (const word of ["critic", "value_net", "q_net", "qf1", "encoder", "discriminator", "vf"]) {
    test(`is no actor where its name is ${word}`, async () => {
      const { code, message } = await refuseState(actorAlone(`${word}.`));
      expect([code, message.split("\n")[0]]).toEqual([
        "UNSUPPORTED",
        "it holds 4 tensors, which is no layout known",
      ]);
    });
  }

  test("is not found where another tensor stands beside it", async () => {
    const { message } = await refuseState({ ...actorAlone("net."), offset: { shape: [1] } });
    expect(message).toStartWith("it holds 5 tensors, which is no layout known\n");
  });

  test("is refused where its root has more than its layers", async () => {
    expect(await refuseState({ ...actorAlone(""), "1.running_mean": { shape: [3] } })).toEqual(
      unsupported(
        '"1.running_mean" is in the actor, but no part of a Linear, LayerNorm, LSTM or GRU ' +
          "layer, so the policy is more than those; this is not supported",
      ),
    );
  });
});

test("a first word that all keys have says nothing: the actor is found below it", async () => {
  const below = (word: string): State => renamed(TINY_STATE, (name) => `${word}.${name}`);
  expect([await readState(below("agent")), await readState(below("policy"))]).toEqual([
    [...TINY_NETWORK.layers],
    [...TINY_NETWORK.layers],
  ]);
});

/** A checkpoint of several state dicts and other values. */
function nested(
  states: Readonly<Record<string, State>>,
  beside: Record<string, Code> = {},
  wrap: (code: Code) => Code = (code) => code,
) {
  const storages: Record<string, Uint8Array> = {};
  const codes = Object.entries(states).map(([key, state]) => {
    const tensors = Object.entries(state).map(([name, { shape, values }]) => {
      const count = shape.reduce((product, size) => product * size, 1);
      const storage = `${Object.keys(storages).length}`;
      storages[storage] = bytesOf(Float32Array.from(values ?? Array(count).fill(1)));
      return [name, tensorCode({ key: storage, shape })] as const;
    });
    return [key, dict(Object.fromEntries(tensors))] as const;
  });
  return writeTorch(wrap(dict({ ...Object.fromEntries(codes), ...beside })), storages);
}

describe("a dictionary of state dicts", () => {
  const critic: State = { "0.weight": { shape: [1, 2] }, "0.bias": { shape: [1] } };

  test("has its actor under a word for it", async () => {
    const beside = { actor_optimizer: dict({ state: dict({}) }), step: int(3) };
    const files = [
      nested({ actor: actorAlone(""), critic }, beside),
      nested({ actor_state_dict_: actorAlone(""), value_net: critic }),
      nested({ policy_net: actorAlone("net."), critic }),
    ];
    const layers = await Promise.all(files.map(async (bytes) => (await readPlanned(bytes)).layers));
    expect(layers).toEqual([
      layersAs("actor."),
      layersAs("actor_state_dict_."),
      layersAs("policy_net.net."),
    ]);
  });

  test("may stand under model", async () => {
    const wrap = (code: Code) => dict({ model: code, epoch: int(1) });
    const { layers } = await readPlanned(nested({ actor: actorAlone(""), critic }, {}, wrap));
    expect(layers).toEqual(layersAs("actor."));
  });

  test("is refused where statistics or a further network stand beside", async () => {
    const refuse = (key: string) =>
      refusalOf(() => readPlanned(nested({ actor: actorAlone(""), critic, [key]: critic })));
    expect([await refuse("obs_rms"), await refuse("encoder")]).toEqual([
      unsupported(
        '"obs_rms" beside the weights may be a normalizer of a form that is not known; export ' +
          "the weights alone, and give mean and std by --obs-stats obs_stats.npz",
      ),
      unsupported(
        '"encoder" beside the weights may be a part of the policy; export a file without it if ' +
          "it is none",
      ),
    ]);
  });

  test("asks which actor where there are two", async () => {
    const bytes = nested({ actor: actorAlone(""), actor_target: actorAlone("") });
    expect(await refusalOf(() => readPlanned(bytes))).toEqual(
      unsupported(
        'several networks could be the actor: "actor", "actor_target"; name one with --actor',
      ),
    );
    expect((await readPlanned(bytes, { actor: "actor" })).layers).toEqual(layersAs("actor."));
  });
});

test("asDictionaries() takes a defaultdict, or a subclass of dict, for what it is", async () => {
  /** SETITEMS on what `made` gives. */
  const filled = (made: Code) => (state: Code) => [...made, 0x28, ...text("model"), ...state, 0x75];
  const classes = [
    call(global("collections", "defaultdict"), global("builtins", "list")),
    call(global("__main__", "Checkpoint")),
  ];
  for (const made of classes) {
    const bytes = writeCheckpoint(TINY_STATE, filled(made));
    expect((await readPlanned(bytes)).layers).toEqual([...TINY_NETWORK.layers]);
  }
});
