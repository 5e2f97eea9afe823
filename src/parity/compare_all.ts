/**
 * All comparisons of a run: each side with the first, and the toolkit's simulator, where it joins
 * by itself, with the model that its file is held against.
 */

import { Lite3Error } from "../base/errors.ts";
import { warn } from "../base/log.ts";
import type { ClosedLoopPlan } from "../closed_loop/plan.ts";
import type { Arithmetic } from "../runtime/backend.ts";
import { compareSides, type ParityResult, type SampleOptions } from "./compare_sides.ts";
import type { NamedSides } from "./project_files.ts";
import { isToolkit } from "./sides.ts";

export interface ComparedSides {
  readonly result: ParityResult;
  /** Evidence of other comparisons that speak of the same file and the same model. */
  readonly joined: readonly Arithmetic[];
}

export interface CompareAllOptions extends SampleOptions {
  readonly bisect?: number | undefined;
  readonly closedLoop?: ClosedLoopPlan | undefined;
}

/** At least two sides; throws as `compareSides()` does. */
export async function compareAll(
  { sides: [a = "", ...others], joins }: NamedSides,
  { closedLoop, ...options }: CompareAllOptions,
): Promise<ComparedSides[]> {
  const done: { readonly pair: readonly [string, string]; readonly result: ParityResult }[] = [];
  for (const b of others) {
    const isJoining = joins !== undefined && b === joins.side;
    if (isJoining && !done.some(({ result }) => isOfItsRecord(result))) {
      warn(`${joins.file}: its record is not of this model, the toolkit's simulator is left out`);
      continue;
    }
    const [model = a] = isJoining && a === joins.file ? others : [a];
    // A toolkit is no walker: its simulator takes seconds for a step.
    const walk = isToolkit(b) ? undefined : closedLoop;
    const compare = () =>
      compareSides({ ...options, a: model, b, closedLoop: walk, keepsNonFinite: true });
    const result = isJoining ? await unlessStale(joins.file, compare) : await compare();
    if (result === undefined) continue;
    done.push({ pair: [model, b], result });
  }
  const simulated = done.find(({ pair }) => pair[1] === joins?.side);
  return done.map(({ pair, result }) => {
    const isJoined =
      simulated !== undefined &&
      pair.includes(joins?.file ?? "") &&
      pair.includes(simulated.pair[0]);
    return { result, joined: isJoined ? [simulated.result.sides[1].evidence] : [] };
  });
}

/** Nobody named the simulator: what its recipe lacks leaves it out, and is no verdict. */
async function unlessStale<T>(file: string, compare: () => Promise<T>): Promise<T | undefined> {
  try {
    return await compare();
  } catch (error) {
    if (!(error instanceof Lite3Error) || !STALE.includes(error.code)) throw error;
    warn(`${file}: the toolkit's simulator is left out: ${error.message}`);
    return undefined;
  }
}

/** Codes of a recipe whose set, model or toolkit is not there as it was. */
const STALE: readonly string[] = ["CONFIG", "NOT_FOUND"];

/** Was a file compared whose record speaks of it and of this very ONNX? */
const isOfItsRecord = ({ sides }: ParityResult): boolean =>
  sides.some(({ emulatedFile }) => emulatedFile?.record.record === "own");
