/**
 * What a conversion is held against: the policy's own actions on observations that the toolkit
 * never saw, computed in float32 by ONNX Runtime.
 */

import { describeSource, Lite3Error, quote } from "../base/errors.ts";
import { compareActions, type Comparison } from "../compare/statistics.ts";
import { outputNames } from "../policy/contract.ts";
import { type EmulationRecipe, openEmulated } from "../runtime/emulated.ts";
import { openOnnx } from "../runtime/onnx.ts";
import { runRows } from "../runtime/run_rows.ts";
import type { PreparedModel } from "./prepare_model.ts";

export interface Judge {
  /** The policy's own actions, shape [rows, A], computed when they are first asked for. */
  ownActions(): Promise<Float32Array>;
  /** Compares actions on the judge's rows, shape [rows, A], with the policy's own. */
  compare(actions: Float32Array): Promise<Comparison>;
  /** Compares an emulation of the policy. */
  compareEmulation(recipe: EmulationRecipe): Promise<Comparison>;
}

/** `observations` [rows, N], in the space that the network sees. */
export function createJudge(
  { file, model, shape }: PreparedModel,
  observations: Float32Array,
  rows: number,
  signal: AbortSignal,
): Judge {
  const names = outputNames(shape.actionSize);
  let own: Promise<Float32Array> | undefined;
  const ownActions = (): Promise<Float32Array> =>
    (own ??= describeSource("Cannot run model", file.path, async () => {
      // The file as it is: it may take many rows at once, where the fixed one takes one.
      using backend = await openOnnx(file.bytes, file.model);
      return await runRows(backend, observations, rows, { signal });
    }));
  const compare = async (actions: Float32Array) =>
    compareActions(actions, await ownActions(), names);
  return {
    ownActions,
    compare,
    async compareEmulation(recipe) {
      using backend = await openEmulated(model, recipe);
      const actions = await runRows(backend, observations, rows, { signal });
      checkFinite(actions, recipe, file.path, names);
      return await compare(actions);
    },
  };
}

/** float16 has no number above 65504: what overflows within the network ends as NaN. */
function checkFinite(
  actions: Float32Array,
  { precision }: EmulationRecipe,
  path: string,
  names: readonly string[],
): void {
  const at = actions.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const width = names.length;
  throw new Lite3Error(
    "CHECK_FAILED",
    `Cannot convert ${quote(path)}: in ${precision}, emulated, ${names[at % width]} is ` +
      `${actions[at]} for observation ${Math.floor(at / width)}: values inside of the network ` +
      "exceed 65504, where float16 ends; need weights and observations of ordinary size, " +
      "a normalizer (export --obs-stats) gives the latter",
  );
}
