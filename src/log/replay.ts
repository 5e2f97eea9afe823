/**
 * The observations of a log through a policy, and its actions beside the recorded ones.
 */

import { compareActions, type Comparison } from "../compare/statistics.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { present } from "../base/assert.ts";
import { outputNames } from "../policy/contract.ts";
import { openPolicy } from "../runtime/open.ts";
import type { NpuOptions } from "../runtime/open_rknn.ts";
import { readRunLog } from "../run_log/read_run_log.ts";
import type { RunStep } from "../run_log/run_step.ts";

export interface Replay {
  readonly comparison: Comparison;
  /** What the recorded actions were computed on, and what these were. */
  readonly recorded: string;
  readonly evidence: string;
}

/** Throws CHECK_FAILED when log and policy are of different sizes. */
export async function replayLog(
  path: string,
  model: string,
  obsStats: string | undefined,
  npu: NpuOptions,
): Promise<Replay> {
  const steps: Pick<RunStep, "episode" | "observation" | "action">[] = [];
  const { description } = readRunLog(path, ({ episode, observation, action }) => {
    steps.push({ episode, observation, action });
  });
  using policy = await openPolicy(model, obsStats, npu);
  const { observationSize, actionSize } = policy;
  const recorded = new Float32Array(steps.length * actionSize);
  const replayed = new Float32Array(steps.length * actionSize);
  let state = policy.backend.createState();
  for (const [row, { episode, observation, action }] of steps.entries()) {
    if (observation.length !== observationSize || action.length !== actionSize) {
      throw new Lite3Error(
        "CHECK_FAILED",
        `Cannot replay ${quote(path)} through ${quote(model)}: the log is ` +
          `${observation.length} → ${action.length}, the policy ${observationSize} → ` +
          `${actionSize}; name the --model of that run`,
      );
    }
    // A policy with a memory begins each episode without one.
    if (row > 0 && episode !== present(steps[row - 1]).episode) {
      state = policy.backend.createState();
    }
    recorded.set(action, row * actionSize);
    await policy.act(
      observation,
      replayed.subarray(row * actionSize, (row + 1) * actionSize),
      state,
    );
  }
  return {
    comparison: compareActions(recorded, replayed, outputNames(actionSize)),
    recorded: description.evidence ?? "unstated",
    evidence: policy.backend.arithmetic,
  };
}
