/**
 * What is accepted: a model file, opened where its latency counts, on the NPU. Where there is none,
 * its .onnx stands in on the CPU, and every figure says so.
 */

import { existsSync } from "node:fs";
import { Lite3Error } from "../base/errors.ts";
import { warn } from "../base/log.ts";
import { isRknnPath, type NpuOptions } from "../runtime/open_rknn.ts";
import { openPolicy } from "../runtime/open.ts";
import type { Policy } from "../runtime/policy.ts";

export interface Subject extends Disposable {
  /** The file that runs: the model, or the .onnx in its place. */
  readonly path: string;
  /** Undefined where nothing of it runs here. */
  readonly policy: Policy | undefined;
  /** The .onnx that the model was converted from, or the model itself. */
  readonly onnx: string | undefined;
  /** Why no NPU computes; null where one does. */
  readonly noNpu: string | null;
}

export interface SubjectOptions {
  readonly model: string;
  readonly onnx?: string | undefined;
  readonly obsStats?: string | undefined;
  readonly npu: NpuOptions;
}

/** What says that the model does not run here, rather than that it is broken. */
const ELSEWHERE: readonly string[] = ["UNSUPPORTED", "NATIVE", "DEADLINE"];

export async function openSubject(options: SubjectOptions): Promise<Subject> {
  const { model, obsStats, npu } = options;
  const onnx = options.onnx ?? onnxOf(model);
  if (!isRknnPath(model)) {
    const policy = await openPolicy(model, obsStats, { backend: "auto" });
    return subjectOf(
      model,
      policy,
      model,
      "an .onnx runs on the CPU; lite3rl convert makes a .rknn",
    );
  }
  try {
    const policy = await openPolicy(model, obsStats, npu);
    const { arithmetic } = policy.backend;
    const noNpu = arithmetic === "npu" ? null : "a test double of the NPU library, not an NPU";
    return subjectOf(model, policy, onnx, noNpu);
  } catch (error) {
    if (!(error instanceof Lite3Error) || !ELSEWHERE.includes(error.code)) throw error;
    const reason = error.message.replace(/^Cannot run "[^"]*": /, "");
    // What mends it is said once, by the warning; the rows name what was found.
    const noNpu = `no NPU: ${reason.replace(/(?:, need |; ).*$/s, "")}`;
    if (onnx === undefined) return subjectOf(model, undefined, undefined, noNpu);
    warn(`${model} does not run here, ${onnx} stands in on the CPU: ${reason}`);
    return subjectOf(onnx, await openPolicy(onnx, obsStats, { backend: "auto" }), onnx, noNpu);
  }
}

function onnxOf(model: string): string | undefined {
  const beside = model.replace(/\.rknn$/i, ".onnx");
  return existsSync(beside) ? beside : undefined;
}

function subjectOf(
  path: string,
  policy: Policy | undefined,
  onnx: string | undefined,
  noNpu: string | null,
): Subject {
  return { path, policy, onnx, noNpu, [Symbol.dispose]: () => policy?.[Symbol.dispose]() };
}
