import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { type CheckpointHints, readCheckpoint } from "./read_checkpoint.ts";

const FIXTURES = join(import.meta.dir, "../../fixtures/checkpoints");
const LSTM = join(FIXTURES, "rsl_rl_5_5_lstm.pt");
const PLAIN = join(FIXTURES, "rsl_rl_5_5.pt");
const OWN = join(FIXTURES, "actor_critic_elu_torch_2_15.pt");
const directory = temporaryDirectory();

const yaml = (text: string): string => {
  const path = join(directory, "agent.yaml");
  writeFileSync(path, text);
  return path;
};

const refuse = (checkpoint: string, config: string, more: CheckpointHints = {}) =>
  refusalOf(() =>
    readCheckpoint(checkpoint, { normalizerEpsilon: 0.01, ...more, config: yaml(config) }),
  );

const contradicts = (key: string, said: unknown, weights: unknown) => ({
  code: "CONFIG",
  message:
    `Cannot use config "${join(directory, "agent.yaml")}": its ${key} is ` +
    `${JSON.stringify(said)}, the weights of "${LSTM}" have ${JSON.stringify(weights)}; correct one of them`,
});

describe("readCheckpoint() refuses a config that contradicts the checkpoint", () => {
  test("in the RNN's kind, width and layers", async () => {
    const actor = "actor: {activation: elu, rnn_type: ";
    expect([
      await refuse(LSTM, `${actor}gru}`),
      await refuse(LSTM, `${actor}lstm, rnn_hidden_dim: 256}`),
      await refuse(LSTM, `${actor}lstm, rnn_hidden_dim: 6, rnn_num_layers: 2}`),
    ]).toEqual([
      contradicts("rnn_type", "gru", "lstm"),
      contradicts("rnn_hidden_dim", 256, 6),
      contradicts("rnn_num_layers", 2, 1),
    ] as never);
  });

  test("in whether observations were normalised", async () => {
    const config = "actor: {activation: elu, obs_normalization: false}";
    expect(await refuse(LSTM, config)).toEqual({
      code: "CONFIG",
      message:
        `Cannot use config "${join(directory, "agent.yaml")}": it says that observations were ` +
        `not normalised, "${LSTM}" has a normalizer; correct one of them`,
    });
  });

  test("in the activation after the last layer, said by a flag as well", async () => {
    const config = "activation: elu\noutput_activation: tanh";
    expect(
      await refuse(OWN, config, { normalizerEpsilon: undefined, outputActivation: "relu" }),
    ).toEqual({
      code: "CONFIG",
      message:
        `Cannot choose the last activation of "${OWN}": --output-activation says relu, ` +
        `"${join(directory, "agent.yaml")}" says tanh; make them agree`,
    });
  });
});

test("readCheckpoint() takes a last activation from YAML, RNN keys only for an RNN", async () => {
  const own = await readCheckpoint(OWN, {
    config: yaml("activation: elu\noutput_activation: tanh"),
  });
  expect(own.network.layers.at(-1)).toEqual({ kind: "activation", activation: "tanh" });
  const config = yaml("actor: {activation: mish, rnn_type: lstm, rnn_hidden_dim: 256}");
  expect((await readCheckpoint(PLAIN, { config })).activation).toBe("mish");
});
