import { describe, expect, test } from "bun:test";
import { memorySource } from "../../base/files.ts";
import { refusalOf } from "../../base/refusal_fixture.ts";
import { type Code, dict, int, list } from "../../formats/pickle_fixture.ts";
import { readTorch } from "../../formats/torch.ts";
import { bytesOf, tensorCode, writeTorch } from "../../formats/torch_fixture.ts";
import { renamed, type SavedTensor, TINY_STATE, writeCheckpoint } from "../checkpoint_fixture.ts";
import { linear, TINY_NETWORK } from "../policy_fixture.ts";
import { findStateDict, readActorCritic } from "./actor_critic.ts";

async function read(bytes: Uint8Array) {
  const file = await readTorch(memorySource(bytes));
  return readActorCritic(file, findStateDict(file.root), "elu");
}

const readState = (state: Record<string, SavedTensor>, wrap?: (code: Code) => Code) =>
  read(writeCheckpoint(state, wrap));
const refuseState = (state: Record<string, SavedTensor>) => refusalOf(() => readState(state));
const unsupported = (message: string) => ({ code: "UNSUPPORTED", message }) as const;
const malformed = (message: string) => ({ code: "MALFORMED", message }) as const;

/** The tiny actor's keys with another word for `actor`. */
const actorAs = (prefix: string) => (name: string) => name.replace(/^actor\b/, prefix);

describe("readActorCritic()", () => {
  test("reads the actor and leaves critic and noise alone", async () => {
    expect(await readState(TINY_STATE)).toEqual([...TINY_NETWORK.layers]);
  });

  test("reads it under state_dict, beside anything else", async () => {
    const nested = (state: Code) => dict({ iteration: int(300), state_dict: state });
    expect(await readState(TINY_STATE, nested)).toEqual([...TINY_NETWORK.layers]);
  });

  test("does not depend on the order of the keys", async () => {
    const reversed = Object.fromEntries(Object.entries(TINY_STATE).reverse());
    expect(await readState(reversed)).toEqual([...TINY_NETWORK.layers]);
  });

  for (const prefix of ["pi", "policy", "actor.mlp", "policy.actor"]) {
    test(`reads an actor called ${prefix}`, async () => {
      const layers = await readState(renamed(TINY_STATE, actorAs(prefix)));
      expect(layers).toEqual(
        TINY_NETWORK.layers.map((layer) =>
          layer.kind === "linear" ? { ...layer, name: actorAs(prefix)(layer.name) } : layer,
        ),
      );
    });
  }

  test("orders layers by number, not by letter", async () => {
    const indices = [0, 2, 4, 6, 8, 10];
    const state = Object.fromEntries(
      indices.flatMap((i) => [
        [`actor.${i}.weight`, { shape: [1, 1], values: [i] }],
        [`actor.${i}.bias`, { shape: [1], values: [-i] }],
      ]),
    );
    const layers = await readState(state);
    expect(layers.filter((layer) => layer.kind === "linear")).toEqual(
      indices.map((i) => linear(`actor.${i}`, [[i]], [-i])),
    );
  });

  test("takes layers that all have no bias, and those without an activation between", async () => {
    const layers = await readState({
      "actor.0.weight": { shape: [2, 1], values: [1, 2] },
      "actor.1.weight": { shape: [1, 2], values: [3, 4] },
    });
    expect(layers).toEqual([
      linear("actor.0", [[1], [2]], [0, 0]),
      linear("actor.1", [[3, 4]], [0]),
    ]);
  });

  test("reads weights of other types as float32", async () => {
    const weight = { key: "0", shape: [1, 2] };
    const bias = { key: "1", shape: [1], storage: "DoubleStorage" };
    const bytes = writeTorch(
      dict({
        "actor.0.weight": tensorCode({ ...weight, storage: "HalfStorage" }),
        "actor.0.bias": tensorCode(bias),
      }),
      { "0": bytesOf(Float16Array.of(0.5, -2)), "1": bytesOf(Float64Array.of(0.1)) },
    );
    expect(await read(bytes)).toEqual([linear("actor.0", [[0.5, -2]], [0.1])]);
  });

  test("takes noise beside the actor or in it, under each of its names", async () => {
    for (const noise of ["std", "log_std", "logstd", "actor.log_std"]) {
      const state = renamed(TINY_STATE, (name) => (name === "log_std" ? noise : name));
      expect(await readState(state)).toEqual([...TINY_NETWORK.layers]);
    }
  });
});

describe("readActorCritic() refuses", () => {
  test("a state dict without an actor, naming what it has", async () => {
    const encoder = Object.fromEntries(
      Array.from({ length: 7 }, (_, i) => [`encoder.${i}.weight`, { shape: [1, 1] }]),
    );
    expect([
      await refuseState(encoder),
      await refuseState({ "critic.0.weight": { shape: [1, 2] } }),
    ]).toEqual([
      unsupported(
        "no actor found among encoder.0.weight [1, 1], encoder.1.weight [1, 1], " +
          "encoder.2.weight [1, 1], encoder.3.weight [1, 1], encoder.4.weight [1, 1], " +
          "encoder.5.weight [1, 1], … (7 in all), need actor.0.weight, actor.0.bias, …",
      ),
      unsupported(
        "no actor found among critic.0.weight [1, 2], need actor.0.weight, actor.0.bias, …",
      ),
    ]);
  });

  test("several actors", async () => {
    const both = { ...TINY_STATE, ...renamed(TINY_STATE, actorAs("pi")) };
    expect(await refuseState(both)).toEqual(
      unsupported('several networks could be the actor: "actor", "pi"'),
    );
  });

  const odd: readonly [what: string, key: string][] = [
    ["an encoder", "encoder.0.weight"],
    ["a normalizer's mean", "obs_normalizer.mean"],
    ["a normalizer's std, which is no noise", "obs_normalizer.std"],
    ["a head of another name in the actor", "actor.mean.weight"],
    ["a normalizer in the actor", "actor.norm.running_mean"],
    ["a recurrent memory", "memory_a.rnn.weight_ih_l0"],
  ];
  for (const [what, key] of odd) {
    test(`${what} that the policy may need`, async () => {
      expect(await refuseState({ ...TINY_STATE, [key]: { shape: [1, 1] } })).toEqual(
        unsupported(
          `"${key}" is neither actor, critic nor noise, so the policy could be more than ` +
            '"actor"; this layout is not supported',
        ),
      );
    });
  }

  test("a missing bias and a missing weight", async () => {
    const without = (key: string) =>
      renamed(TINY_STATE, (name) => (name === key ? undefined : name));
    const found = (...skip: string[]) =>
      Object.entries(TINY_STATE)
        .filter(([name]) => !skip.includes(name))
        .map(([name, { shape }]) => `${name} [${shape.join(", ")}]`)
        .join(", ");
    expect([
      await refuseState(without("actor.2.bias")),
      await refuseState(without("actor.0.weight")),
    ]).toEqual([
      malformed(`it has no "actor.2.bias", found ${found("actor.2.bias")}`),
      malformed(`it has no "actor.0.weight", found ${found("actor.0.weight")}`),
    ]);
  });

  test("layers that do not fit each other", async () => {
    expect(await refuseState({ ...TINY_STATE, "actor.2.weight": { shape: [1, 4] } })).toEqual(
      malformed("actor.0 gives 3 values, actor.2 takes 4"),
    );
  });

  for (const index of [3, 4]) {
    test(`a layer ${index} after layer 0: something unknown is between them`, async () => {
      const state = renamed(TINY_STATE, (name) => name.replace("actor.2", `actor.${index}`));
      expect(await refuseState(state)).toEqual(
        malformed(
          `actor goes from layer 0 to layer ${index}, ` +
            "need a Linear layer and an activation in turn (actor.2.weight)",
        ),
      );
    });
  }

  test("something unknown before the first layer", async () => {
    const state = renamed(TINY_STATE, (name) =>
      name.replace("actor.2", "actor.3").replace("actor.0", "actor.1"),
    );
    expect(await refuseState(state)).toEqual(
      unsupported("actor begins with layer 1, need a Linear layer first (actor.0.weight)"),
    );
  });

  test("layers that are not Linear", async () => {
    const conv = { ...TINY_STATE, "actor.0.weight": { shape: [3, 2, 1] } };
    const norm = {
      ...TINY_STATE,
      "actor.1.weight": { shape: [3] },
      "actor.1.bias": { shape: [3] },
    };
    const need = "need [outputs, inputs] of a Linear layer";
    expect([await refuseState(conv), await refuseState(norm)]).toEqual([
      unsupported(`"actor.0.weight" has shape [3, 2, 1], ${need}`),
      unsupported(`"actor.1.weight" has shape [3], ${need}`),
    ]);
  });

  test("a bias of another length", async () => {
    expect(await refuseState({ ...TINY_STATE, "actor.0.bias": { shape: [2] } })).toEqual(
      malformed('"actor.0.bias" has shape [2], its weight needs [3]'),
    );
  });

  test("weights and biases that are no numbers", async () => {
    const values = [1, 2, Number.NaN, 4, 5, 6];
    expect([
      await refuseState({ ...TINY_STATE, "actor.0.weight": { shape: [3, 2], values } }),
      await refuseState({ ...TINY_STATE, "actor.2.bias": { shape: [1], values: [-Infinity] } }),
    ]).toEqual([
      malformed('"actor.0.weight" holds NaN at element 2, need numbers'),
      malformed('"actor.2.bias" holds -Infinity at element 0, need numbers'),
    ]);
  });
});

describe("findStateDict()", () => {
  const refuseRoot = (root: Code) => refusalOf(() => read(writeTorch(root, {})));
  const need = 'need an ActorCritic state dict, plain or under "state_dict"';

  test("refuses a checkpoint of another layout, naming its keys", async () => {
    const nothing = int(1);
    expect([
      await refuseRoot(dict({ model_state_dict: dict({ a: nothing }), iter: nothing })),
      await refuseRoot(dict({ state_dict: dict({ "actor.0.weight": nothing }) })),
      await refuseRoot(dict({})),
      await refuseRoot(list(nothing)),
    ]).toEqual([
      unsupported(`it holds the keys "model_state_dict", "iter", ${need}`),
      unsupported(`it holds the keys "state_dict", ${need}`),
      unsupported(`it holds an empty dictionary, ${need}`),
      unsupported(`it holds no dictionary, ${need}`),
    ]);
  });
});
