/**
 * What is walked in a closed loop, and by what it is judged: the flags of the verbs that have one.
 */

import * as v from "valibot";
import { Lite3Error } from "../base/errors.ts";
import { integerValue, pathValue } from "../cli/command.ts";
import { type Margins, MARGINS, readMargins } from "./figures.ts";
import { drawScenarios, type Scenario } from "./scenarios.ts";

/**
 * Episodes where nothing else is said. Of none falling in 80 the interval ends at 4.6 %, within the
 * margin of 5 %; the other figures of the demo policy need fewer. Half a minute on two cores.
 */
export const EPISODES = 80;
/** A day of walking. */
export const EPISODES_MAX = 100_000;

/**
 * MAE that passes where the walk judges and `--mae` is not said: a tenth of an action's unit, which
 * is 25 mrad of a knee's target. What is further off is broken, however it walks.
 */
export const CLOSED_LOOP_MAE = 0.1;

export interface ClosedLoopPlan {
  readonly seed: number;
  readonly margins: Margins;
  readonly scenarios: readonly Scenario[];
}

/** Beside `--closed-loop`, whose help is the verb's. */
export const CLOSED_LOOP_FLAGS = {
  episodes: {
    value: "<n>",
    help: `Pairs of episodes for --closed-loop (default: ${EPISODES})`,
    schema: v.optional(integerValue(2, EPISODES_MAX)),
  },
  margins: {
    value: "<yaml>",
    help: "For --closed-loop: by how much a figure may be worse, where other than the usual",
    schema: v.optional(pathValue()),
  },
};

export interface ClosedLoopFlags {
  readonly closedLoop: boolean;
  readonly episodes?: number | undefined;
  readonly margins?: string | undefined;
  readonly seed: number;
}

/** The plan of the flags; undefined where none is asked for. */
export function planClosedLoop(flags: ClosedLoopFlags): ClosedLoopPlan | undefined {
  const { closedLoop, episodes, margins, seed } = flags;
  if (closedLoop) {
    return {
      seed,
      margins: margins === undefined ? MARGINS : readMargins(margins),
      scenarios: drawScenarios(episodes ?? EPISODES, seed),
    };
  }
  if ((episodes ?? margins) === undefined) return undefined;
  throw new Lite3Error("USAGE", "--episodes and --margins are for --closed-loop: give it too");
}

/** Flags that mean nothing without `--closed-loop`, for a verb's `unused`. */
export const unusedOfClosedLoop = (valueOf: (key: string) => unknown): string[] =>
  valueOf("closedLoop") === true ? [] : Object.keys(CLOSED_LOOP_FLAGS);
