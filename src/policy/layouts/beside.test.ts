import { describe, expect, test } from "bun:test";
import { type Code, dict, int, real, text } from "../../formats/pickle_fixture.ts";
import { renamed, TINY_STATE } from "../checkpoint_fixture.ts";
import { readState, refuseState, unsupported } from "./layout_fixture.ts";

const runner =
  (more: Record<string, Code> = {}) =>
  (state: Code) =>
    dict({ model_state_dict: state, iter: int(3), infos: dict({}), ...more });
const plain =
  (more: Record<string, Code> = {}) =>
  (state: Code) =>
    dict({ state_dict: state, ...more });
const newRunner =
  (more: Record<string, Code> = {}) =>
  (state: Code) =>
    dict({ actor_state_dict: state, iter: int(3), infos: dict({}), ...more });
const RUNNER_STATE = renamed(TINY_STATE, (name) => (name === "log_std" ? "std" : name));
const MLP_STATE = renamed(RUNNER_STATE, (name) =>
  name.startsWith("critic") ? undefined : name.replace(/^actor\b/, "mlp"),
);

/** The state dict of one tensor: the tiny actor's own, under another name of the root. */
const again = (wrap: (more: Record<string, Code>) => (state: Code) => Code, key: string) => {
  return (state: Code) => wrap({ [key]: state })(state);
};

describe("checkBeside() refuses", () => {
  for (const [layout, state, wrap] of [
    ["rsl_rl_legacy", RUNNER_STATE, runner],
    ["rsl_rl", MLP_STATE, newRunner],
    ["actor_critic", TINY_STATE, plain],
  ] as const) {
    test(`a network of unknown use beside ${layout}`, async () => {
      for (const key of ["encoder_state_dict", "ema_state_dict", "estimator"]) {
        expect(await refuseState(state, undefined, again(wrap, key))).toEqual(
          unsupported(
            `"${key}" beside the weights may be a part of the policy; export a file without it ` +
              "if it is none",
          ),
        );
      }
    });

    test(`statistics of an unknown form beside ${layout}`, async () => {
      for (const key of ["obs_rms", "running_mean_std", "normalizer_state_dict"]) {
        const wrapped = wrap({ [key]: dict({ mean: real(0) }) });
        expect(await refuseState(state, undefined, wrapped)).toEqual(
          unsupported(
            `"${key}" beside the weights may be a normalizer of a form that is not known; export ` +
              "the weights alone, and give mean and std by --obs-stats obs_stats.npz",
          ),
        );
      }
    });

    test(`nothing of a training loop's own beside ${layout}`, async () => {
      const own = {
        optimizer_state_dict: dict({}),
        config: dict({ lr: real(1) }),
        name: text("a"),
      };
      expect(await readState(state, wrap(own))).toHaveLength(3);
      expect(await readState(state, again(wrap, "critic_state_dict"))).toHaveLength(3);
    });
  }
});
