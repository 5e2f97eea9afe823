/**
 * ONNX Runtime (its WebAssembly build), loaded once per process and only when a model is run:
 * compiling its 14 MB takes a third of a second.
 */

import type * as OnnxRuntime from "onnxruntime-web/wasm";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm" with { type: "file" };

export type InferenceSession = OnnxRuntime.InferenceSession;
export type Tensor = OnnxRuntime.Tensor;
export type Runtime = typeof OnnxRuntime;

let loading: Promise<Runtime> | undefined;

/** One thread: a policy is too small to share, and threads would be Workers. */
export function loadOnnxRuntime(): Promise<Runtime> {
  loading ??= (async () => {
    const runtime = await import("onnxruntime-web/wasm");
    runtime.env.wasm.numThreads = 1;
    runtime.env.logLevel = "error";
    runtime.env.wasm.wasmBinary = await Bun.file(wasm).arrayBuffer();
    return runtime;
  })();
  return loading;
}
