/**
 * What runs a model. Every backend passes the cases of `backend_suite.ts`.
 */

import type { OnnxModel } from "../formats/onnx.ts";

/** On what the figures of a backend rest; printed wherever one of them is. */
export const ARITHMETICS = [
  "npu",
  "double",
  "toolkit-simulator",
  "emulation",
  "cpu",
  "unstated",
] as const;
export type Arithmetic = (typeof ARITHMETICS)[number];

export interface TensorSpec {
  readonly name: string;
  /** `null` marks a dynamic dimension (the batch). */
  readonly shape: readonly (number | null)[];
}

/** A spec that nobody can change: backends are asked once. */
export function tensorSpec(name: string, shape: readonly (number | null)[]): TensorSpec {
  return Object.freeze({ name, shape: Object.freeze([...shape]) });
}

/**
 * Recurrent state of one client; empty for a feed-forward policy. Some hold what should be given
 * back before the backend is: a service's is a connection.
 */
export interface PolicyState extends Partial<Disposable> {
  readonly tensors: readonly Float32Array[];
}

export interface Backend extends Disposable {
  readonly name: "onnx" | "mlp" | "rknn" | "emulated" | "toolkit" | "remote";
  readonly arithmetic: Arithmetic;
  /** Was this very file run, or something built again from its recipe? */
  readonly subject: "file" | "recipe";
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly observationSize: number;
  readonly actionSize: number;
  /** What ONNX Runtime runs, where that is it: its inner values can be asked for. */
  readonly graph?: OnnxModel;
  createState(): PolicyState;
  /**
   * Runs `rows` observations. Shapes: `observation` [rows, observationSize], `action`
   * [rows, actionSize]; the caller owns both, nothing is kept. Throws rather than leave a partial
   * or stale action.
   */
  infer(
    observation: Float32Array,
    action: Float32Array,
    state: PolicyState,
    rows: number,
  ): void | Promise<void>;
}
