/**
 * Does what a conversion makes walk as well as the policy? Each candidate walks by emulation, a
 * file with its own weights; the policy itself walks once, in float32.
 */

import { progress } from "../cli/output.ts";
import { compareWalks } from "../closed_loop/compare_walks.ts";
import { figureFailure } from "../closed_loop/describe.ts";
import type { ClosedLoopPlan } from "../closed_loop/plan.ts";
import { checkWalker, walk, type Walk } from "../closed_loop/walk.ts";
import type { ClosedLoop } from "../report/closed_loop_document.ts";
import type { Backend } from "../runtime/backend.ts";
import { chooseNormalizer, openModel } from "../runtime/open.ts";
import { createPolicy } from "../runtime/policy.ts";
import type { Candidate } from "./candidate.ts";
import type { PreparedModel } from "./prepare_model.ts";

export interface WalkJudge {
  /** Opens a candidate, walks with it and closes it. */
  judge(open: () => Promise<Backend>): Promise<ClosedLoop>;
}

/** Throws CONFIG for a policy that is none of the built-in environment's robot. */
export async function createWalkJudge(
  { file, shape }: PreparedModel,
  plan: ClosedLoopPlan,
  obsStats: string | undefined,
  signal: AbortSignal,
): Promise<WalkJudge> {
  checkWalker(file.path, shape);
  const normalizer = await chooseNormalizer(file, shape.observationSize, obsStats);
  const { scenarios } = plan;
  const walkWith = async (open: () => Promise<Backend>): Promise<Walk[]> => {
    using policy = createPolicy(await open(), normalizer);
    const bar = progress("walking", scenarios.length);
    return await walk(policy, scenarios, { onEpisode: bar.update, signal }).finally(bar.finish);
  };
  let own: Promise<Walk[]> | undefined;
  return {
    async judge(open) {
      own ??= walkWith(() => openModel(file, "auto"));
      return compareWalks(plan, await own, await walkWith(open));
    },
  };
}

/** Walks with what has no problems so far: the cheap questions come first. */
export async function walkUnless(
  problems: readonly string[],
  judge: WalkJudge | undefined,
  open: () => Promise<Backend>,
): Promise<ClosedLoop | null> {
  return judge === undefined || problems.length > 0 ? null : await judge.judge(open);
}

export interface Walked {
  readonly candidate: Candidate;
  readonly closedLoop: ClosedLoop;
}

/** One entry where it walked, none where it did not. */
export function walkedBy(one: {
  readonly candidate: Candidate;
  readonly closedLoop: ClosedLoop | null;
}): Walked[] {
  const { candidate, closedLoop } = one;
  return closedLoop === null ? [] : [{ candidate, closedLoop }];
}

/** Why it does not walk as well; nothing where it does, or where nobody asked. */
export function walkProblems(closedLoop: ClosedLoop | null): string[] {
  return (closedLoop?.figures ?? []).flatMap(
    (figure) => figureFailure(figure, closedLoop as ClosedLoop) ?? [],
  );
}
