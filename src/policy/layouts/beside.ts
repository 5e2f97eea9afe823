/**
 * What a checkpoint holds beside the state dict of the policy: a network or statistics that a
 * layout does not know could be part of the policy, and must not be left out without a word.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { asStateDict } from "./state_dict.ts";

/** What training loops call the statistics of observations that they keep beside the networks. */
const STATISTICS = /norm|rms|mean_std|obs_(?:mean|std|var|stat)/;
/** Never part of a policy: the value side, optimizers, bonuses, imitation, random generators. */
const OTHERS =
  /^(?:critic|value|vf|teacher|target|rnd|amp|disc|rng|random_state)|optim|sched|scaler|_rng/;

/** Refuses an entry of the root that may belong to the policy; `known` names the layout's own. */
export function checkBeside(root: ReadonlyMap<unknown, unknown>, known: RegExp): void {
  for (const [key, value] of root) {
    if (typeof key !== "string" || known.test(key) || OTHERS.test(key)) continue;
    const isObject = value instanceof Object;
    if (isObject && STATISTICS.test(key)) {
      throw new FormatError(
        `${quote(key)} beside the weights may be a normalizer of a form that is not known; ` +
          "export the weights alone, and give mean and std by --obs-stats obs_stats.npz",
        "UNSUPPORTED",
      );
    }
    if (
      (value as { kind?: unknown } | null)?.kind === "tensor" ||
      asStateDict(value) !== undefined
    ) {
      throw new FormatError(
        `${quote(key)} beside the weights may be a part of the policy; export a file without it ` +
          "if it is none",
        "UNSUPPORTED",
      );
    }
  }
}
