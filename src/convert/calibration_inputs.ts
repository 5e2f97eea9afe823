/**
 * The calibration set as the toolkit takes it: one array for each input of the model. A recurrent
 * policy's state is what the policy itself computes along the rows, from zeros.
 */

import { present } from "../base/assert.ts";
import type { CalibrationInput } from "../rknn_toolkit/job.ts";
import { openOnnx } from "../runtime/onnx.ts";
import type { PreparedModel } from "./prepare_model.ts";
import type { Samples } from "./samples.ts";

/** In the order of the model's inputs. */
export async function calibrationInputs(
  prepared: PreparedModel,
  { calibration, calibrationRows }: Samples,
): Promise<CalibrationInput[]> {
  const { model, shape } = prepared;
  const { input, observationSize } = shape;
  const observations = { name: input.name, shape: [1, observationSize], data: calibration };
  if (shape.state.length === 0) return [observations];
  const states = await statesAlong(prepared, calibration, calibrationRows);
  const inputs = [
    observations,
    ...shape.state.map((spec, i) => ({
      name: spec.input,

      shape: spec.shape,
      data: present(states[i]),
    })),
  ];
  const order = (model.graph.input ?? []).map(({ name }) => name);
  return inputs.toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
}

/** Of each state tensor the values that go in with every row, [rows, ...shape]. */
async function statesAlong(
  { bytes, model, shape }: PreparedModel,
  observations: Float32Array,
  rows: number,
): Promise<Float32Array[]> {
  using backend = await openOnnx(bytes, model);
  const { observationSize: width, actionSize } = shape;
  const state = backend.createState();
  const along = state.tensors.map(({ length }) => new Float32Array(rows * length));
  const action = new Float32Array(actionSize);
  for (let row = 0; row < rows; row++) {
    state.tensors.forEach((tensor, i) => present(along[i]).set(tensor, row * tensor.length));
    await backend.infer(observations.subarray(row * width, (row + 1) * width), action, state, 1);
  }
  return along;
}
