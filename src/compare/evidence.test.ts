import { expect, test } from "bun:test";
import type { Arithmetic } from "../runtime/backend.ts";
import { describeEvidence } from "./evidence.ts";

test("describeEvidence() calls nothing a measurement that did not run on the NPU", () => {
  const others: readonly Arithmetic[] = [
    "double",
    "toolkit-simulator",
    "emulation",
    "cpu",
    "unstated",
  ];
  expect([describeEvidence("npu"), ...others.map(describeEvidence)]).toEqual([
    "measured on the NPU",
    "a test double of the NPU library, not an NPU",
    "rknn-toolkit2's simulator, not an NPU",
    "the NPU's arithmetic emulated on the CPU, not an NPU",
    "computed on the CPU in float32",
    "a service that does not say what computes",
  ]);
});
