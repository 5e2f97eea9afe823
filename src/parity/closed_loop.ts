/**
 * `parity --closed-loop`: both sides walk the same episodes, and b must walk as well as a.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { progress } from "../cli/output.ts";
import { compareWalks } from "../closed_loop/compare_walks.ts";
import { figureFailure } from "../closed_loop/describe.ts";
import type { ClosedLoopPlan } from "../closed_loop/plan.ts";
import { checkWalker, walk, type Walk } from "../closed_loop/walk.ts";
import type { ClosedLoop } from "../report/closed_loop_document.ts";
import type { ParityCheck } from "../report/parity_document.ts";
import type { Policy } from "../runtime/policy.ts";
import { isSaved } from "./saved_outputs.ts";
import { isToolkit, type Side } from "./sides.ts";

/** Throws USAGE for a side that cannot walk. */
export function checkSidesWalk(specs: readonly string[]): void {
  const unable = specs.find((spec) => isSaved(spec) || isToolkit(spec));
  if (unable === undefined) return;
  const why = isSaved(unable)
    ? "saved outputs answer no other observations"
    : "the toolkit's simulator builds anew for each observation";
  throw new Lite3Error(
    "USAGE",
    `Cannot walk with ${quote(unable)}: ${why}, name a side that runs: a model file, ` +
      "a service, onnx, mlp or emulated",
  );
}

/** Walks with a, then with b. */
export async function runClosedLoop(
  sides: readonly [Side, Side],
  plan: ClosedLoopPlan,
): Promise<ClosedLoop> {
  const walkers = sides.map(walkerOf);
  const { scenarios } = plan;
  const bar = progress("walking", 2 * scenarios.length);
  const walks: Walk[][] = [];
  try {
    for (const policy of walkers) {
      const before = walks.length * scenarios.length;
      walks.push(await walk(policy, scenarios, { onEpisode: (done) => bar.update(before + done) }));
    }
  } finally {
    bar.finish();
  }
  const [a = [], b = []] = walks;
  return compareWalks(plan, a, b);
}

function walkerOf({ label, policy }: Side): Policy {
  if (policy === undefined) throw new Lite3Error("USAGE", `Cannot walk with ${quote(label)}`);
  checkWalker(label, policy);
  return policy;
}

/** One check for each figure: the upper end of its interval against its margin. */
export function closedLoopChecks(closedLoop: ClosedLoop | undefined): ParityCheck[] {
  if (closedLoop === undefined) return [];
  return closedLoop.figures.map((figure) => {
    const failure = figureFailure(figure, closedLoop);
    const { name, worsening, margin } = figure;
    return {
      name: `walks as well: ${name}`,
      pass: failure === undefined,
      failures: failure === undefined ? [] : [failure],
      ...(worsening === null ? {} : { found: worsening.high }),
      limit: margin,
    };
  });
}
