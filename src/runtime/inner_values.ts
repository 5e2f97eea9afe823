/**
 * Runs a model over rows and gives what its inner values become, chunk by chunk.
 */

import { assert, present } from "../base/assert.ts";
import { DATA_TYPE, encodeOnnx, type OnnxModel } from "../formats/onnx.ts";
import { createSession, runSession } from "./onnx.ts";
import { loadOnnxRuntime, type Tensor } from "./onnx_runtime.ts";
import { policyShape } from "./policy_shape.ts";

/** Rows of one run where the batch is free: bounds what all values take at once. */
const CHUNK_ROWS = 256;

/**
 * `rows` is [rows, N], in order: a recurrent model takes them as one sequence from a zero state.
 *
 * @param names inputs or node outputs of float32
 * @param take is given every value of one name for some rows; the array is not kept
 */
export async function runWithInnerValues(
  model: OnnxModel,
  rows: Float32Array,
  names: readonly string[],
  take: (name: string, values: Float32Array) => void,
): Promise<void> {
  const shape = policyShape(model);
  const { observationSize, state, dynamicBatch } = shape;
  assert(rows.length > 0 && rows.length % observationSize === 0, "rows of observations");
  const runtime = await loadOnnxRuntime();
  const session = await createSession(runtime, encodeOnnx(exposeValues(model, names)), false);
  const inputs = new Set(model.graph.input?.map(({ name }) => name));
  const chunk = dynamicBatch && state.length === 0 ? CHUNK_ROWS : 1;
  let memory = new Map(
    state.map(({ input, shape: [layers, one, hidden] }) => [
      input,
      new Float32Array(layers * one * hidden),
    ]),
  );
  try {
    for (let from = 0; from < rows.length; from += chunk * observationSize) {
      const observation = rows.slice(from, from + chunk * observationSize);
      const feeds: Record<string, Tensor> = {};
      const dims = [observation.length / observationSize, observationSize];
      feeds[shape.input.name] = new runtime.Tensor("float32", observation, dims);
      for (const spec of state) {
        feeds[spec.input] = new runtime.Tensor(
          "float32",
          present(memory.get(spec.input)),
          spec.shape,
        );
      }
      const results = await runSession(session, feeds);
      const valuesOf = (name: string) =>
        floats(present((inputs.has(name) ? feeds : results)[name]));
      for (const name of names) take(name, valuesOf(name));
      memory = new Map(state.map(({ input, output }) => [input, valuesOf(output).slice()]));
    }
  } finally {
    await session.release();
  }
}

/** The model with inner values as further outputs. */
function exposeValues(model: OnnxModel, names: readonly string[]): OnnxModel {
  const { graph } = model;
  const there = new Set([...(graph.input ?? []), ...(graph.output ?? [])].map(({ name }) => name));
  const inner = names
    .filter((name) => !there.has(name))
    .map((name) => ({ name, type: { tensorType: { elemType: DATA_TYPE.float32 } } }));
  return { ...model, graph: { ...graph, output: [...(graph.output ?? []), ...inner] } };
}

function floats(tensor: Tensor): Float32Array {
  assert(tensor.data instanceof Float32Array, "values of float32");
  return tensor.data;
}
