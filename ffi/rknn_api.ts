/**
 * The ABI of librknnrt: its functions, numbers and structs, as the vendor's header `rknn_api.h`
 * has them in versions 1.4.0 to 2.3.2. `ffi/stub/rknn_abi.h` says the same in C; a test compares
 * both with the offsets in `fixtures/rknn/layouts.json`.
 */

import type { FFIFunction } from "bun:ffi";
import { defineStruct, f32, i32, i64, i8, text, u32, u32Array, u64, u8 } from "./struct.ts";

/** Functions that every version has. */
export const REQUIRED_SYMBOLS = {
  rknn_init: { args: ["buffer", "buffer", "u32", "u32", "ptr"], returns: "i32" },
  rknn_destroy: { args: ["u64"], returns: "i32" },
  rknn_query: { args: ["u64", "i32", "buffer", "u32"], returns: "i32" },
  rknn_inputs_set: { args: ["u64", "u32", "buffer"], returns: "i32" },
  rknn_run: { args: ["u64", "ptr"], returns: "i32" },
  rknn_outputs_get: { args: ["u64", "u32", "buffer", "ptr"], returns: "i32" },
  rknn_outputs_release: { args: ["u64", "u32", "buffer"], returns: "i32" },
  rknn_create_mem: { args: ["u64", "u32"], returns: "ptr" },
  rknn_destroy_mem: { args: ["u64", "ptr"], returns: "i32" },
  rknn_set_io_mem: { args: ["u64", "ptr", "buffer"], returns: "i32" },
  rknn_set_core_mask: { args: ["u64", "i32"], returns: "i32" },
} as const satisfies Record<string, FFIFunction>;

/** Functions of later versions, with the first that has them; nothing here needs them. */
export const OPTIONAL_SYMBOLS = {
  rknn_mem_sync: { since: "1.6.0" },
  rknn_set_batch_core_num: { since: "1.5.2" },
  rknn_create_mem2: { since: "2.1.0" },
} as const satisfies Record<string, { since: string }>;

/** What only the test double of `ffi/stub/` exports. */
export const DOUBLE_SYMBOL = "lite3rl_double_version";

/** Flags of rknn_init. */
export const INIT_FLAG = {
  /** From 1.6.0: otherwise the library sets its process to nice -19. */
  DISABLE_PROC_HIGH_PRIORITY: 0x2000,
} as const;

export const QUERY = {
  IN_OUT_NUM: 0,
  INPUT_ATTR: 1,
  OUTPUT_ATTR: 2,
  PERF_RUN: 4,
  SDK_VERSION: 5,
  NATIVE_INPUT_ATTR: 8,
  NATIVE_OUTPUT_ATTR: 9,
} as const;

export const TENSOR_TYPE = { FLOAT32: 0, FLOAT16: 1, INT8: 2 } as const;
export const TENSOR_FORMAT = { NCHW: 0, NHWC: 1, NC1HWC2: 2, UNDEFINED: 3 } as const;

/** rknn_core_mask: one core at most, since a small network gains nothing from several. */
export const CORES = ["auto", "0", "1", "2"] as const;
export type Core = (typeof CORES)[number];
export const CORE_MASK: Readonly<Record<Core, number>> = { auto: 0, "0": 1, "1": 2, "2": 4 };

/** RKNN_MAX_DIMS and RKNN_MAX_NAME_LEN. */
const DIMS_MAX = 16;
const NAME_BYTES = 256;

export const InputOutputNum = defineStruct("rknn_input_output_num", 8, {
  n_input: u32(0),
  n_output: u32(4),
});

export const TensorAttr = defineStruct("rknn_tensor_attr", 376, {
  index: u32(0),
  n_dims: u32(4),
  dims: u32Array(8, DIMS_MAX),
  name: text(72, NAME_BYTES),
  n_elems: u32(328),
  size: u32(332),
  fmt: i32(336),
  type: i32(340),
  qnt_type: i32(344),
  fl: i8(348),
  zp: i32(352),
  scale: f32(356),
  w_stride: u32(360),
  size_with_stride: u32(364),
  pass_through: u8(368),
  h_stride: u32(372),
});

export const Input = defineStruct("rknn_input", 32, {
  index: u32(0),
  buf: u64(8),
  size: u32(16),
  pass_through: u8(20),
  type: i32(24),
  fmt: i32(28),
});

export const Output = defineStruct("rknn_output", 24, {
  want_float: u8(0),
  is_prealloc: u8(1),
  index: u32(4),
  buf: u64(8),
  size: u32(16),
});

export const TensorMem = defineStruct("rknn_tensor_mem", 40, {
  virt_addr: u64(0),
  phys_addr: u64(8),
  fd: i32(16),
  offset: i32(20),
  size: u32(24),
  flags: u32(28),
  priv_data: u64(32),
});

export const SdkVersion = defineStruct("rknn_sdk_version", 512, {
  api_version: text(0, NAME_BYTES),
  drv_version: text(256, NAME_BYTES),
});

export const PerfRun = defineStruct("rknn_perf_run", 8, { run_duration: i64(0) });

/** Every struct that passes between this program and the library. */
export const STRUCTS = [
  InputOutputNum,
  TensorAttr,
  Input,
  Output,
  TensorMem,
  SdkVersion,
  PerfRun,
] as const;

/** What the library returns, with what it means and what mends it. */
export const STATUS: Readonly<Record<number, { name: string; cause: string; cure: string }>> = {
  [-1]: {
    name: "FAIL",
    cause: "it failed without a reason of its own",
    cure: "RKNN_LOG_LEVEL=4 has it say more, lite3rl doctor checks driver, library and permissions",
  },
  [-2]: {
    name: "TIMEOUT",
    cause: "the NPU did not finish in time",
    cure: "look for rknpu in dmesg, and update the driver",
  },
  [-3]: {
    name: "DEVICE_UNAVAILABLE",
    cause: "there is no NPU to use",
    cure: "lite3rl doctor checks driver and permissions",
  },
  [-4]: {
    name: "MALLOC_FAIL",
    cause: "no NPU memory is left",
    cure: "end other users of the NPU, or start this program anew",
  },
  [-5]: {
    name: "PARAM_INVALID",
    cause: "a parameter is not what the library takes",
    cure: "a library of another version may be needed: lite3rl doctor",
  },
  [-6]: {
    name: "MODEL_INVALID",
    cause: "the library does not take this model: it is damaged, for another SoC, or newer",
    cure: "use a librknnrt at least as new as the toolkit that wrote the model",
  },
  [-7]: { name: "CTX_INVALID", cause: "the context is not valid", cure: "report it as a bug" },
  [-8]: { name: "INPUT_INVALID", cause: "an input is not valid", cure: "report it as a bug" },
  [-9]: { name: "OUTPUT_INVALID", cause: "an output is not valid", cure: "report it as a bug" },
  [-10]: {
    name: "DEVICE_UNMATCH",
    cause: "library and driver do not fit each other",
    cure: "update librknnrt and the rknpu driver",
  },
  [-11]: {
    name: "INCOMPATIBLE_PRE_COMPILE_MODEL",
    cause: "the model was compiled for another driver",
    cure: "convert it again: lite3rl convert",
  },
  [-12]: {
    name: "INCOMPATIBLE_OPTIMIZATION_LEVEL_VERSION",
    cause: "the model was optimised for another driver",
    cure: "update the driver, or convert the model again: lite3rl convert",
  },
  [-13]: {
    name: "TARGET_PLATFORM_UNMATCH",
    cause: "the model was converted for another SoC",
    cure: "convert it with --target of this board: lite3rl convert",
  },
};
