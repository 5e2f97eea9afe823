/**
 * Do the .rknn and its .onnx act alike? As `parity` compares them, with its checks of the file.
 */

import { Lite3Error } from "../base/errors.ts";
import type { AcceptLimits, Measured } from "../report/accept_document.ts";
import { isRknnPath, type NpuOptions } from "../runtime/open_rknn.ts";
import { compareSides } from "../parity/compare_sides.ts";
import { judge } from "../parity/judge.ts";
import { RK3588 } from "../rknn_toolkit/target.ts";
import type { Subject } from "./subject.ts";

export interface ParityOptions {
  readonly model: string;
  readonly obsStats?: string | undefined;
  readonly dataset?: string | undefined;
  readonly service?: string | undefined;
  readonly seed: number;
  readonly timeoutMs: number;
  readonly npu: NpuOptions;
  readonly limits: AcceptLimits;
}

/** Errors that say that nothing could be compared, rather than that a comparison broke off. */
const NOTHING_COMPARED: readonly string[] = ["UNSUPPORTED", "USAGE", "NOT_FOUND"];

/** With a service that is given it is the other side: its model is the one that is accepted. */
export async function measureParity(
  options: ParityOptions,
  { onnx, policy, path }: Subject,
  endpoint: string | undefined,
): Promise<Measured["parity"]> {
  const { model, limits, service } = options;
  const other = isRknnPath(model) ? (service === undefined ? model : endpoint) : undefined;
  if (other === undefined) return missing(`${model} is no .rknn; lite3rl convert makes one`);
  if (onnx === undefined) {
    return missing(`the .onnx that ${model} was converted from is not known; name it with --onnx`);
  }
  try {
    const space = service === undefined ? undefined : ("raw" as const);
    const result = await compareSides({ ...options, model: undefined, a: onnx, b: other, space });
    const demands = { mae: limits.mae, target: RK3588 };
    const comparison = judge(result, demands);
    return { state: "measured", comparison: structuredClone(comparison) as Comparison };
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    const hasRun = policy !== undefined && path === model;
    const isMissing = NOTHING_COMPARED.includes(error.code) || (!hasRun && error.code === "NATIVE");
    return { state: isMissing ? "missing" : "failed", why: error.message };
  }
}

type Comparison = Extract<Measured["parity"], { state: "measured" }>["comparison"];

const missing = (why: string): Measured["parity"] => ({ state: "missing", why });
