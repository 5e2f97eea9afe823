/**
 * The reference backend: any feed-forward ONNX policy in ONNX Runtime on the CPU.
 */

import { assert, present } from "../base/assert.ts";
import { FormatError, Lite3Error } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { Backend, PolicyState, TensorSpec } from "./backend.ts";
import {
  type InferenceSession,
  loadOnnxRuntime,
  type Runtime,
  type Tensor,
} from "./onnx_runtime.ts";
import { policyShape } from "./policy_shape.ts";

export interface OnnxBackendOptions {
  readonly name?: "onnx" | "emulated";
  readonly arithmetic?: "cpu" | "emulation";
  readonly subject?: "file" | "recipe";
  /** Off where the graph must run as it is written, as in emulation. */
  readonly optimize?: boolean;
}

const STATELESS: PolicyState = { tensors: [] };

/** Opens a model. Throws FormatError for one that is not a policy or that ORT refuses. */
export async function openOnnx(
  bytes: Uint8Array,
  model: OnnxModel,
  options: OnnxBackendOptions = {},
): Promise<Backend> {
  const shape = policyShape(model);
  const runtime = await loadOnnxRuntime();
  const session = await createSession(runtime, bytes, options.optimize ?? true);
  const batches = new Map<number, Batch>();
  const batchFor = (rows: number): Batch => {
    let batch = batches.get(rows);
    if (batch === undefined) {
      batches.clear();
      batch = createBatch(runtime, shape.input.name, rows, shape.observationSize);
      batches.set(rows, batch);
    }
    return batch;
  };
  let open = true;
  return {
    name: options.name ?? "onnx",
    arithmetic: options.arithmetic ?? "cpu",
    subject: options.subject ?? "file",
    inputs: Object.freeze([shape.input]),
    outputs: Object.freeze([shape.output]),
    observationSize: shape.observationSize,
    actionSize: shape.actionSize,
    createState: () => STATELESS,
    async infer(observation, action, _state, rows) {
      assert(open, "the backend is closed");
      assert(observation.length === rows * shape.observationSize, "observation length");
      assert(action.length === rows * shape.actionSize, "action length");
      if (rows === 1 || shape.dynamicBatch) {
        await runBatch(session, batchFor(rows), observation, action, shape.output.name);
        return;
      }
      const batch = batchFor(1);
      for (let row = 0; row < rows; row++) {
        const from = row * shape.observationSize;
        const to = row * shape.actionSize;
        await runBatch(
          session,
          batch,
          observation.subarray(from, from + shape.observationSize),
          action.subarray(to, to + shape.actionSize),
          shape.output.name,
        );
      }
    },
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      void session.release();
    },
  };
}

interface Batch {
  readonly data: Float32Array;
  readonly feeds: Record<string, Tensor>;
}

function createBatch(runtime: Runtime, name: string, rows: number, width: number): Batch {
  const data = new Float32Array(rows * width);
  return { data, feeds: { [name]: new runtime.Tensor("float32", data, [rows, width]) } };
}

async function runBatch(
  session: InferenceSession,
  batch: Batch,
  observation: Float32Array,
  action: Float32Array,
  output: string,
): Promise<void> {
  batch.data.set(observation);
  const results = await runSession(session, batch.feeds);
  const data = present(results[output], output).data;
  if (!(data instanceof Float32Array) || data.length !== action.length) {
    throw new Lite3Error(
      "UNSUPPORTED",
      `Cannot run the model: output "${output}" has ${data.length} values, need ${action.length}`,
    );
  }
  action.set(data);
}

async function runSession(session: InferenceSession, feeds: Record<string, Tensor>) {
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

async function createSession(
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

export type { TensorSpec };
