/**
 * The compiled `kernel.as`: what it exports, over a memory of the caller's.
 */

import { readFileSync } from "node:fs";
import wasm from "./kernel.wasm" with { type: "file" };

/** Addresses are bytes; a vector ends at `end`, which rounds up to groups of four floats. */
type Map = (x: number, y: number, end: number, a: number, b: number) => void;
type Combine = (left: number, right: number, y: number, end: number) => void;

/** Functions of one vector, with what `a` and `b` are. */
export interface Maps {
  /** alpha, gamma */
  readonly elu: Map;
  /** alpha */
  readonly leakyRelu: Map;
  /** low, high */
  readonly clip: Map;
  readonly tanh: Map;
  readonly sigmoid: Map;
  readonly softplus: Map;
  readonly erf: Map;
}

/** Functions of two vectors. */
export interface Combinations {
  readonly add: Combine;
  readonly sub: Combine;
  readonly mul: Combine;
  readonly div: Combine;
}

export interface Kernel extends Maps, Combinations {
  dense(x: number, inputs: number, weights: number, bias: number, y: number, outputs: number): void;
  dense4(
    x: number,
    inputs: number,
    weights: number,
    bias: number,
    y: number,
    outputs: number,
    xStep: number,
    yStep: number,
  ): void;
  standardize(x: number, y: number, width: number, epsilon: number): void;
}

/** Outputs of a whole panel of weights, and of the last one where that is enough. */
export const PANEL = 32;
export const HALF_PANEL = 16;

let compiled: WebAssembly.Module | undefined;

export function openKernel(memory: WebAssembly.Memory): Kernel {
  compiled ??= new WebAssembly.Module(readFileSync(wasm));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as Kernel;
}
