/**
 * One way to write the network's numbers, and what it would cost on the NPU.
 */

import type { EmulationRecipe } from "../runtime/emulated.ts";
import type { PrecisionChoice } from "./precision.ts";

/** A layer that can be int8 or float16: a product and its bias, with the activation behind it. */
export interface Layer {
  /** The ONNX value that the product gives. */
  readonly output: string;
  readonly op: string;
  /** How many weights it has. */
  readonly weights: number;
}

export interface Candidate {
  readonly precision: "fp16" | "w8a8" | "hybrid";
  /** Outputs of the layers that stay float16; empty unless hybrid. */
  readonly float16Layers: readonly string[];
}

export const FP16: Candidate = { precision: "fp16", float16Layers: [] };
export const W8A8: Candidate = { precision: "w8a8", float16Layers: [] };

/** `hybrid, first/Gemm float16`. */
export function describeCandidate({ precision, float16Layers }: Candidate): string {
  if (precision !== "hybrid") return precision;
  return `hybrid, float16 in ${float16Layers.join(", ") || "nothing"}`;
}

/** How `runtime/emulated.ts` computes it. */
export function recipeOf(
  candidate: Candidate,
  choice: PrecisionChoice,
  calibration: Float32Array,
): EmulationRecipe {
  const { precision, float16Layers } = candidate;
  const { algorithm, method } = choice;
  if (precision === "fp16") return { precision };
  return {
    precision,
    ...(algorithm === "mmse" ? {} : { algorithm }),
    method,
    calibration,
    ...(precision === "hybrid" ? { float16Layers } : {}),
  };
}

/**
 * What toolkit 2.5.0 itself reckons with for an rk3588 (the table of `verbose=True`, layers of
 * 45-512-256-128-12): 23.6 bytes of weights from memory in a cycle, and for one observation 32
 * products of float16 or 64 of int8. At the NPU's 1 GHz a thousand cycles are a microsecond.
 */
const BYTES_PER_CYCLE = 23.6;
const PRODUCTS_PER_CYCLE = { float16: 32, int8: 64 } as const;
const BYTES = { float16: 2, int8: 1 } as const;
const CYCLES_PER_US = 1000;

/**
 * Microseconds of the layers by that reckoning: of each the longer of reading its weights and
 * computing. It ranks candidates and is no measurement; what every candidate has alike, such as
 * the call itself, is left out.
 */
export function estimateUs(candidate: Candidate, layers: readonly Layer[]): number {
  const cycles = layers.map(({ output, weights }) => {
    const dtype = isFloat16(candidate, output) ? "float16" : "int8";
    const reading = (weights * BYTES[dtype]) / BYTES_PER_CYCLE;
    return Math.max(reading, weights / PRODUCTS_PER_CYCLE[dtype]);
  });
  return cycles.reduce((sum, one) => sum + one, 0) / CYCLES_PER_US;
}

/** Bytes of the weights alone. */
export function weightBytes(candidate: Candidate, layers: readonly Layer[]): number {
  return layers.reduce(
    (sum, { output, weights }) =>
      sum + weights * BYTES[isFloat16(candidate, output) ? "float16" : "int8"],
    0,
  );
}

function isFloat16({ precision, float16Layers }: Candidate, output: string): boolean {
  return precision === "fp16" || (precision === "hybrid" && float16Layers.includes(output));
}
