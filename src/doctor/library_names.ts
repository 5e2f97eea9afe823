/** Names of librknnrt: where it is looked for and what is called in it. */

export const LIBRARY_DIRECTORIES = [
  "/usr/lib",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/local/lib",
] as const;
export const LIBRARY_NAME = "librknnrt.so";
export const LIBRARY_VARIABLE = "LITE3RL_LIBRKNNRT";

export const REQUIRED_SYMBOLS = {
  rknn_init: 0,
  rknn_destroy: 0,
  rknn_query: 0,
  rknn_inputs_set: 0,
  rknn_run: 0,
  rknn_outputs_get: 0,
  rknn_outputs_release: 0,
  rknn_create_mem: 0,
  rknn_destroy_mem: 0,
  rknn_set_io_mem: 0,
  rknn_set_core_mask: 0,
};

export const OPTIONAL_SYMBOLS = { rknn_mem_sync: 0, rknn_create_mem2: 0 };
