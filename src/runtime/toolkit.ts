/**
 * rknn-toolkit2's own simulator as a backend. It runs in the process that built the model and
 * nowhere else, so every call builds anew from the recipe: what is run is never the file that was
 * shipped. A build and its start take half a second; give it all rows at once.
 */

import { assert } from "../base/assert.ts";
import { FormatError } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { InstalledToolkit } from "../rknn_toolkit/environment.ts";
import type { ToolkitJob } from "../rknn_toolkit/job.ts";
import { runToolkitJob } from "../rknn_toolkit/run_job.ts";
import type { Backend } from "./backend.ts";
import { policyShape } from "./policy_shape.ts";

/** What a .rknn was, or would be, built with. */
export interface ToolkitRecipe extends Pick<ToolkitJob, "target" | "quantization"> {
  /** Of one build with its rows (default: five minutes). */
  readonly timeoutMs?: number;
  /** Sees the bytes of every build, and may refuse them. */
  readonly onBuilt?: (rknn: Uint8Array) => void;
}

const TIMEOUT_MS = 300_000;

/**
 * Opens a policy of batch 1 in the simulator; nothing is built before the first call. Throws
 * FormatError for a dynamic batch and for a recurrent policy: a state would need one build a step.
 */
export function openToolkit(
  toolkit: InstalledToolkit,
  bytes: Uint8Array,
  model: OnnxModel,
  recipe: ToolkitRecipe,
): Backend {
  const { input, output, observationSize, actionSize, dynamicBatch, state } = policyShape(model);
  if (dynamicBatch) {
    throw new FormatError("it has a dynamic batch, the toolkit needs batch 1", "UNSUPPORTED");
  }
  if (state.length > 0) {
    const found = "it is recurrent, the toolkit's simulator would build it anew for every step";
    throw new FormatError(`${found}; compare it with backend emulated`, "UNSUPPORTED");
  }
  const { timeoutMs = TIMEOUT_MS, onBuilt, ...build } = recipe;
  let open = true;
  return {
    name: "toolkit",
    arithmetic: "toolkit-simulator",
    subject: "recipe",
    inputs: Object.freeze([input]),
    outputs: Object.freeze([output]),
    observationSize,
    actionSize,
    createState: () => ({ tensors: [] }),
    async infer(observation, action, given, rows) {
      assert(open, "the backend is closed");
      assert(observation.length === rows * observationSize, "observation length");
      assert(action.length === rows * actionSize, "action length");
      assert(given.tensors.length === 0, "a state of another backend");
      const io = { input: input.name, output: output.name, state: [] };
      const samples = { observations: observation, rows, ...io };
      const job = { model: bytes, ...build, samples };
      const { simulated, rknn } = await runToolkitJob(toolkit, job, { timeoutMs });
      onBuilt?.(rknn);
      assert(simulated?.length === action.length, "the simulator's answer");
      action.set(simulated);
    },
    [Symbol.dispose]() {
      open = false;
    },
  };
}
