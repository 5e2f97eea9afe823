// The ABI of librknnrt as ffi/rknn_api.ts declares it, in C: written from what is known of the
// library, not taken from the vendor's header. 64-bit Linux.
#ifndef LITE3RL_RKNN_ABI_H
#define LITE3RL_RKNN_ABI_H

#include <stdint.h>

typedef uint64_t rknn_context;

typedef struct {
  uint32_t n_input, n_output;
} rknn_input_output_num;

typedef struct {
  uint32_t index, n_dims, dims[16];
  char name[256];
  uint32_t n_elems, size;
  int32_t fmt, type, qnt_type;
  int8_t fl;
  int32_t zp;
  float scale;
  uint32_t w_stride, size_with_stride;
  uint8_t pass_through;
  uint32_t h_stride;
} rknn_tensor_attr;

typedef struct {
  uint32_t index;
  void *buf;
  uint32_t size;
  uint8_t pass_through;
  int32_t type, fmt;
} rknn_input;

typedef struct {
  uint8_t want_float, is_prealloc;
  uint32_t index;
  void *buf;
  uint32_t size;
} rknn_output;

typedef struct {
  void *virt_addr;
  uint64_t phys_addr;
  int32_t fd, offset;
  uint32_t size, flags;
  void *priv_data;
} rknn_tensor_mem;

typedef struct {
  char api_version[256], drv_version[256];
} rknn_sdk_version;

typedef struct {
  int64_t run_duration;
} rknn_perf_run;

enum { FLOAT32, FLOAT16, INT8 };
enum { NCHW, NHWC, NC1HWC2, UNDEFINED };
enum { IN_OUT_NUM, INPUT_ATTR, OUTPUT_ATTR, PERF_DETAIL, PERF_RUN, SDK_VERSION, MEM_SIZE,
       CUSTOM_STRING, NATIVE_INPUT_ATTR, NATIVE_OUTPUT_ATTR, NATIVE_NHWC_INPUT_ATTR,
       NATIVE_NHWC_OUTPUT_ATTR };
enum { QNT_NONE, QNT_DFP, QNT_AFFINE };
enum { FAIL = -1, MALLOC_FAIL = -4, PARAM_INVALID = -5, MODEL_INVALID = -6 };

#endif
