/**
 * For tests: .rknn files of our own networks, with their ONNX, their observations and what the
 * toolkit's simulator answered; see fixtures/rknn/README.md.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../base/assert.ts";
import { decodeOnnx, makeTensor, type OnnxModel, tensorFloats } from "../formats/onnx.ts";
import { readNpy } from "../formats/npy.ts";
import { toFloat32 } from "../formats/tensor.ts";
import { demoNetwork, modelOf } from "../policy/policy_fixture.ts";
import type { Backend } from "./backend.ts";

export const RKNN_FIXTURES = join(import.meta.dir, "../../fixtures/rknn");

export const readFloats = (path: string): Float32Array => toFloat32(readNpy(readFileSync(path)));

/** `small.fp16` → the file's bytes. */
export const readRknnFixture = (name: string): Uint8Array =>
  readFileSync(join(RKNN_FIXTURES, `${name}.rknn`));

/** The ONNX model that the files of a network were made from. */
export async function readRknnModel(network: string): Promise<OnnxModel> {
  if (network === "demo") return modelOf(await demoNetwork());
  return decodeOnnx(readFileSync(join(RKNN_FIXTURES, `${network}.onnx`)));
}

export const readCalibration = (): Float32Array =>
  readFloats(join(RKNN_FIXTURES, "small.calibration.npy"));

export interface Agreement {
  /** Share of actions that are the simulator's, up to float32's own rounding. */
  readonly equal: number;
  readonly mean: number;
}

/** Runs a backend on recorded observations beside what the simulator answered. */
export async function agreement(
  backend: Backend,
  observations: Float32Array,
  simulated: Float32Array,
): Promise<Agreement> {
  const rows = observations.length / backend.observationSize;
  const actions = new Float32Array(rows * backend.actionSize);
  await backend.infer(observations, actions, backend.createState(), rows);
  if (rows < 64 || simulated.length !== actions.length) throw new Error("nothing to compare");
  const errors = actions.map((x, i) => Math.abs(x - present(simulated[i])));
  const isEqual = (error: number, i: number) =>
    error <= 2.5e-7 * Math.max(1, Math.abs(present(simulated[i])));
  return {
    equal: errors.filter(isEqual).length / errors.length,
    mean: errors.reduce((sum, error) => sum + error, 0) / errors.length,
  };
}

/** Of a backend with a fixture, `small.w8a8`. */
export function agreementOf(backend: Backend, name: string): Promise<Agreement> {
  const [network = ""] = name.split(".");
  const at = (file: string) => readFloats(join(RKNN_FIXTURES, file));
  return agreement(backend, at(`${network}.observations.npy`), at(`${name}.simulator.npy`));
}

/** The model with one number of one initializer changed. */
export function withChange(
  model: OnnxModel,
  name: string,
  index: number,
  change: (value: number) => number,
): OnnxModel {
  const initializer = (model.graph.initializer ?? []).map((tensor) => {
    if (tensor.name !== name) return tensor;
    const values = tensorFloats(tensor).slice();
    values[index] = change(present(values[index]));
    return makeTensor(name, (tensor.dims ?? []).map(Number), values);
  });
  return { ...model, graph: { ...model.graph, initializer } };
}

/** The model with another operator in the place of its activations, or of the one at `index`. */
export function withActivation(
  model: OnnxModel,
  from: string,
  to: string,
  index?: number,
): OnnxModel {
  let seen = 0;
  const node = (model.graph.node ?? []).map((one) =>
    one.opType === from && (index === undefined || seen++ === index)
      ? { ...one, opType: to, attribute: [] }
      : one,
  );
  return { ...model, graph: { ...model.graph, node } };
}

/** The next float16 above. */
export function nextFloat16(value: number): number {
  const bits = new Uint16Array(Float16Array.of(value).buffer);
  bits[0] = present(bits[0]) + (value < 0 ? -1 : 1);
  return present(new Float16Array(bits.buffer)[0]);
}
