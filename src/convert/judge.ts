/**
 * What a conversion is held against: the policy's own actions on observations that the toolkit
 * never saw, computed in float32 by ONNX Runtime.
 */

import { describeSource } from "../base/errors.ts";
import { compareActions, type Comparison } from "../compare/statistics.ts";
import { outputNames } from "../policy/contract.ts";
import { type EmulationRecipe, openEmulated } from "../runtime/emulated.ts";
import { openOnnx } from "../runtime/onnx.ts";
import { runRows } from "../runtime/run_rows.ts";
import type { PreparedModel } from "./prepare_model.ts";

export interface Judge {
  /** Compares actions on the judge's rows, shape [rows, A], with the policy's own. */
  compare(actions: Float32Array): Promise<Comparison>;
  /** Compares an emulation of the policy. */
  compareEmulation(recipe: EmulationRecipe): Promise<Comparison>;
}

/** Begins with the policy's own actions at once, while others work. */
export function createJudge(
  { file, model, bytes, shape }: PreparedModel,
  rows: number,
  observations: Float32Array,
  signal: AbortSignal,
): Judge {
  const own = describeSource("Cannot run model", file.path, async () => {
    // The file as it is may take many rows at once, where the fixed one takes one.
    using backend = await openOnnx(shape.state.length === 0 ? file.bytes : bytes, file.model);
    return runRows(backend, observations, rows, { signal });
  });
  // Whoever compares first sees its failure; nobody may be there yet.
  own.catch(() => undefined);
  const names = outputNames(shape.actionSize);
  const compare = async (actions: Float32Array) => compareActions(actions, await own, names);
  return {
    compare,
    async compareEmulation(recipe) {
      using backend = await openEmulated(model, recipe);
      return compare(await runRows(backend, observations, rows, { signal }));
    },
  };
}
