/**
 * The reference backend: any ONNX policy in ONNX Runtime on the CPU.
 */

import { assert, present } from "../base/assert.ts";
import { FormatError, Lite3Error } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { Backend, PolicyState } from "./backend.ts";
import {
  type InferenceSession,
  loadOnnxRuntime,
  type Runtime,
  type Tensor,
} from "./onnx_runtime.ts";
import { type PolicyShape, policyShape, type StateSpec } from "./policy_shape.ts";

export interface OnnxBackendOptions {
  readonly name?: "onnx" | "emulated";
  readonly arithmetic?: "cpu" | "emulation";
  readonly subject?: "file" | "recipe";
  /** Off where the graph must run as it is written, as in emulation. */
  readonly optimize?: boolean;
}

/** Opens a model. Throws FormatError for one that is not a policy or that ORT refuses. */
export async function openOnnx(
  bytes: Uint8Array,
  model: OnnxModel,
  options: OnnxBackendOptions = {},
): Promise<Backend> {
  const shape = policyShape(model);
  const runtime = await loadOnnxRuntime();
  const session = await createSession(runtime, bytes, options.optimize ?? true);
  const runner = createRunner(runtime, session, shape);
  const { observationSize, actionSize } = shape;
  let open = true;
  return {
    name: options.name ?? "onnx",
    arithmetic: options.arithmetic ?? "cpu",
    subject: options.subject ?? "file",
    inputs: Object.freeze([shape.input]),
    outputs: Object.freeze([shape.output]),
    observationSize,
    actionSize,
    graph: model,
    createState: () => ({ tensors: shape.state.map((spec) => new Float32Array(count(spec))) }),
    async infer(observation, action, state, rows) {
      assert(open, "the backend is closed");
      assert(observation.length === rows * observationSize, "observation length");
      assert(action.length === rows * actionSize, "action length");
      assert(state.tensors.length === shape.state.length, "a state of another backend");
      assert(rows === 1 || shape.state.length === 0, "a recurrent policy acts one row at a time");
      if (rows === 1 || shape.dynamicBatch) return runner(observation, action, state, rows);
      for (let row = 0; row < rows; row++) {
        const input = observation.subarray(row * observationSize, (row + 1) * observationSize);
        const output = action.subarray(row * actionSize, (row + 1) * actionSize);
        await runner(input, output, state, 1);
      }
    },
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      void session.release();
    },
  };
}

type Runner = (
  observation: Float32Array,
  action: Float32Array,
  state: PolicyState,
  rows: number,
) => Promise<void>;

/** Runs a batch through tensors that are kept for the next batch of the same size. */
function createRunner(runtime: Runtime, session: InferenceSession, shape: PolicyShape): Runner {
  const { input, output, observationSize } = shape;
  let rowsKept = 0;
  let data = new Float32Array(0);
  const feeds: Record<string, Tensor> = {};
  return async (observation, action, state, rows) => {
    if (rows !== rowsKept) {
      data = new Float32Array(rows * observationSize);
      feeds[input.name] = new runtime.Tensor("float32", data, [rows, observationSize]);
      rowsKept = rows;
    }
    data.set(observation);
    for (const [i, spec] of shape.state.entries()) {
      feeds[spec.input] = new runtime.Tensor("float32", present(state.tensors[i]), spec.shape);
    }
    const results = await runSession(session, feeds);
    const actionOut = numbersOf(results, output.name, action.length);
    const next = shape.state.map((spec) => numbersOf(results, spec.output, count(spec)));
    action.set(actionOut);
    next.forEach((values, i) => present(state.tensors[i]).set(values));
  };
}

function count({ shape: [layers, rows, hidden] }: StateSpec): number {
  return layers * rows * hidden;
}

function numbersOf(
  results: Readonly<Record<string, Tensor>>,
  name: string,
  length: number,
): Float32Array {
  const data = present(results[name], name).data;
  if (data instanceof Float32Array && data.length === length) return data;
  throw new Lite3Error(
    "UNSUPPORTED",
    `Cannot run the model: output "${name}" has ${data.length} values, need ${length}`,
  );
}

export async function runSession(session: InferenceSession, feeds: Record<string, Tensor>) {
  try {
    return await session.run(feeds);
  } catch (error) {
    throw new Lite3Error("NATIVE", `Cannot run the model: ONNX Runtime says ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** The first line of what ONNX Runtime says, without the place in its own source. */
function reasonOf(error: unknown): string {
  const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
  return line.replaceAll(/\S*\/onnxruntime\/\S+:\d+ (?:\S+\(.*?\) )?/g, "");
}

export async function createSession(
  runtime: Runtime,
  bytes: Uint8Array,
  optimize: boolean,
): Promise<InferenceSession> {
  try {
    return await runtime.InferenceSession.create(bytes, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: optimize ? "all" : "disabled",
      logSeverityLevel: 3,
    });
  } catch (error) {
    throw new FormatError(`ONNX Runtime refuses it: ${reasonOf(error)}`, "UNSUPPORTED");
  }
}
