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
    // By its address it is compiled as a stream, which peaks 20 MB lower than from an array.
    const module = Bun.file(wasm, { type: "application/wasm" });
    runtime.env.wasm.wasmPaths = { wasm: URL.createObjectURL(module) };
    return runtime;
  })();
  return loading;
}
