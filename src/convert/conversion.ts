/**
 * A conversion as its parts know it: what the user asked for, and what is settled before anything
 * is built.
 */

import type { ClosedLoopPlan } from "../closed_loop/plan.ts";
import type { PrecisionChoice, PrecisionFlags } from "./precision.ts";
import type { PreparedModel } from "./prepare_model.ts";
import type { Samples } from "./samples.ts";

export interface ConvertOptions extends PrecisionFlags {
  /** An .onnx file. */
  readonly model: string;
  readonly output: string;
  readonly target: string;
  readonly dataset?: string | undefined;
  readonly obsStats?: string | undefined;
  /** Largest mean absolute error that passes. */
  readonly mae: number;
  readonly seed: number;
  /** Version of the toolkit; the newest installed if absent. */
  readonly toolkit?: string | undefined;
  /** Of one run of the toolkit. */
  readonly timeoutMs: number;
  /** Where the emulation goes, as ONNX. */
  readonly emitOnnx?: string | undefined;
  /** Keep a file that did not pass under its name. */
  readonly force: boolean;
  /** What a candidate must walk as well as the policy, beside the MAE. */
  readonly closedLoop?: ClosedLoopPlan | undefined;
  /** Judge by emulation, without the toolkit. */
  readonly emulate: boolean;
}

export interface Conversion {
  readonly options: ConvertOptions;
  readonly choice: PrecisionChoice;
  readonly prepared: PreparedModel;
  readonly samples: Samples;
}
