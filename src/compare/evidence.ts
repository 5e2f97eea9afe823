/**
 * Evidence in plain words: on what a figure rests.
 */

import type { Arithmetic } from "../runtime/backend.ts";

const WORDS: Readonly<Record<Arithmetic, string>> = {
  npu: "measured on the NPU",
  double: "a test double of the NPU library, not an NPU",
  "toolkit-simulator": "rknn-toolkit2's simulator, not an NPU",
  emulation: "the NPU's arithmetic emulated on the CPU, not an NPU",
  cpu: "computed on the CPU in float32",
  unstated: "a service that does not say what computes",
};

export function describeEvidence(arithmetic: Arithmetic): string {
  return WORDS[arithmetic];
}
