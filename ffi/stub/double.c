// A test double of librknnrt: the same functions and structs, no NPU. README.md lists where it
// behaves as the real library was seen to, and the faults that it can be told to have.
#include "rknn_abi.h"
#include "faults.h"
#include "network.h"
#include "numbers.h"

#define EXPORT __attribute__((visibility("default")))
#define VERSION_NAME "lite3rl double 1"

typedef struct {
  int loaded, has_run;
  network net;
  rknn_tensor_mem *in_mem[TENSORS_MAX], *out_mem[TENSORS_MAX];
  int in_type[TENSORS_MAX], out_type[TENSORS_MAX];
  int64_t last_us;
} context;

// Contexts are no addresses and larger than 2^53: who takes them for a double gets another.
enum { CONTEXTS_MAX = 64 };
static const uint64_t CONTEXT_BASE = 0xC0DE000000000001u;
static context *contexts[CONTEXTS_MAX];

static void crash(void) { *(volatile int *)0 = 0; }

// The real library looks at nothing before it uses a context.
static context *open_context(rknn_context handle) {
  uint64_t index = handle - CONTEXT_BASE;
  if (index >= CONTEXTS_MAX || !contexts[index]) crash();
  return contexts[index];
}

static context *loaded_context(rknn_context handle) {
  context *c = open_context(handle);
  if (!c->loaded) crash();
  return c;
}

static void complain(const char *text) { fprintf(stderr, "E RKNN: %s\n", text); }

EXPORT const char *lite3rl_double_version(void) { return VERSION_NAME; }

// --- loading ---

static int load(context *c, const uint8_t *bytes, uint64_t length) {
  if (length < 72 || memcmp(bytes, "RKNN\0\0\0\0", 8)) {
    complain("parseRKNN: invalid RKNN_MAGIC!");
    return MODEL_INVALID;
  }
  uint64_t version, payload, tail;
  memcpy(&version, bytes + 8, 8);
  memcpy(&payload, bytes + 16, 8);
  double api = setting("API") ? atof(setting("API")) : 2.3;
  if (version != 6 || api < 1.5) {
    fprintf(stderr, "E RKNN: Invalid RKNN model version %d\n", (int)version);
    return version == 6 ? FAIL : MODEL_INVALID;
  }
  if (payload > length - 64) {
    complain("parseRKNN: the model is truncated");
    return MODEL_INVALID;
  }
  const uint8_t *end = bytes + 64 + payload;
  if (length - 64 - payload < 8) abort();  // As the real library without its JSON.
  memcpy(&tail, end, 8);
  if (tail != length - 72 - payload) abort();
  const char *soc = setting("SOC") ? setting("SOC") : "rk3588";
  char *json = calloc(1, tail + 1), quoted[64];
  memcpy(json, end + 8, tail);
  snprintf(quoted, sizeof quoted, "\"%s\"", soc);
  int is_ours = strstr(json, quoted) != NULL;
  free(json);
  if (!is_ours) {
    fprintf(stderr, "E RKNN: This rknn model is for another platform, this is %s\n", soc);
    return MODEL_INVALID;
  }
  if (payload < 20 || memcmp(bytes + 68, "RKNNLITE3DBL", 12)) {
    complain("this is no model of the double, bun run double writes one");
    return MODEL_INVALID;
  }
  uint32_t hash = 2166136261u, expected;
  memcpy(&expected, bytes + 80, 4);
  for (const uint8_t *p = bytes + 84; p < end; p++) hash = (hash ^ *p) * 16777619u;
  if (hash != expected || !read_network(&c->net, bytes + 84, end - bytes - 84)) {
    complain("parseRKNN: the model is damaged");
    return MODEL_INVALID;
  }
  c->loaded = 1;
  return 0;
}

static int load_file(context *c, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    complain("open model file failed");
    return MODEL_INVALID;
  }
  fseek(file, 0, SEEK_END);
  long length = ftell(file);
  rewind(file);
  uint8_t *bytes = malloc(length + 1);
  int status = fread(bytes, 1, length, file) == (size_t)length ? load(c, bytes, length) : FAIL;
  free(bytes);
  fclose(file);
  return status;
}

EXPORT int rknn_init(rknn_context *out, void *model, uint32_t size, uint32_t flag, void *extend) {
  (void)flag, (void)extend;
  *out = 0;
  const char *wanted = getenv("LITE3RL_DOUBLE");
  if (!wanted || strcmp(wanted, "1")) {
    complain("this is the test double of lite3rl, not an NPU: it needs LITE3RL_DOUBLE=1");
    return FAIL;
  }
  const char *level = getenv("RKNN_LOG_LEVEL");
  if (level && atoi(level) >= 3) printf("I RKNN: loading %u bytes\n", size), fflush(stdout);
  int status = fault(CALL_INIT);
  if (status) return status;
  if (setting("NO_DEVICE")) {
    sleep_ns(110000000);
    complain("failed to open rknpu module, need to insmod rknpu dirver!");
    complain("failed to open rknn device!");
    return FAIL;
  }
  int slot = 0;
  while (slot < CONTEXTS_MAX && contexts[slot]) slot++;
  if (slot == CONTEXTS_MAX) return MALLOC_FAIL;
  context *c = contexts[slot] = calloc(1, sizeof *c);
  *out = CONTEXT_BASE + slot;  // Also when loading fails: it is the caller's to destroy.
  return size ? load(c, model, size) : load_file(c, model);
}

EXPORT int rknn_destroy(rknn_context handle) {
  context *c = open_context(handle);
  contexts[handle - CONTEXT_BASE] = NULL;
  free_network(&c->net);
  free(c);
  return 0;
}

// --- asking ---

static int describe(rknn_tensor_attr *a, const tensor *all, uint32_t count, int native) {
  uint32_t index = a->index;
  if (index >= count) return PARAM_INVALID;
  const tensor *t = all + index;
  memset(a, 0, sizeof *a);
  a->index = index;
  a->type = native_type(t);
  a->qnt_type = QNT_AFFINE;
  a->scale = t->round.kind == ROUND_INT8 ? t->round.scale : 1;
  a->zp = t->round.kind == ROUND_INT8 ? t->round.zero : 0;
  a->n_elems = t->count;
  a->fmt = UNDEFINED;
  a->n_dims = t->n_dims;
  for (uint32_t i = 0; i < t->n_dims; i++) a->dims[i] = t->dims[i];
  snprintf(a->name, sizeof a->name, "%s", t->name);
  uint32_t item = item_bytes(a->type), group = 16 / item, groups = (t->count + group - 1) / group;
  a->size = t->count * item;
  a->size_with_stride = groups * 16;
  if (native) {
    uint32_t dims[5] = {1, groups, 1, 1, group};
    a->fmt = NC1HWC2;
    a->n_dims = 5;
    memcpy(a->dims, dims, sizeof dims);
    a->n_elems = groups * group;
    a->size = a->size_with_stride;
  }
  return 0;
}

EXPORT int rknn_query(rknn_context handle, int command, void *info, uint32_t size) {
  int status = fault(CALL_QUERY);
  if (status) return status;
  context *c = loaded_context(handle);
  int is_native = command == NATIVE_INPUT_ATTR || command == NATIVE_OUTPUT_ATTR;
  switch (command) {
  case IN_OUT_NUM: {
    rknn_input_output_num found = {c->net.n_inputs, c->net.n_outputs};
    if (size < sizeof found) return PARAM_INVALID;
    memcpy(info, &found, sizeof found);
    return 0;
  }
  case INPUT_ATTR: case NATIVE_INPUT_ATTR: case NATIVE_NHWC_INPUT_ATTR:
    if (size < sizeof(rknn_tensor_attr)) return PARAM_INVALID;
    return describe(info, c->net.in, c->net.n_inputs, is_native);
  case OUTPUT_ATTR: case NATIVE_OUTPUT_ATTR: case NATIVE_NHWC_OUTPUT_ATTR:
    if (size < sizeof(rknn_tensor_attr)) return PARAM_INVALID;
    return describe(info, c->net.out, c->net.n_outputs, is_native);
  case PERF_RUN:
    if (size < 8) return PARAM_INVALID;
    memcpy(info, &c->last_us, 8);
    return 0;
  case SDK_VERSION: {
    if (size < sizeof(rknn_sdk_version)) return PARAM_INVALID;
    rknn_sdk_version *v = info;
    const char *api = setting("API"), *driver = setting("DRIVER");
    // Whatever version it pretends, it says what it is.
    snprintf(v->api_version, 256, "%s (" VERSION_NAME ")", api ? api : "2.3.2");
    snprintf(v->drv_version, 256, "%s", driver ? driver : "0.9.8");
    return 0;
  }
  }
  return PARAM_INVALID;
}

EXPORT int rknn_set_core_mask(rknn_context handle, int mask) {
  int status = fault(CALL_MASK);
  if (status) return status;
  loaded_context(handle);
  return (mask >= 0 && mask <= 4) || mask == 7 ? 0 : FAIL;
}

// --- numbers in and out ---

EXPORT int rknn_inputs_set(rknn_context handle, uint32_t count, rknn_input *inputs) {
  int status = fault(CALL_SET);
  if (status) return status;
  context *c = loaded_context(handle);
  for (uint32_t i = 0; i < count; i++) {
    rknn_input *given = inputs + i;
    if (given->index >= c->net.n_inputs) return PARAM_INVALID;
    tensor *t = c->net.in + given->index;
    int type = given->pass_through ? native_type(t) : given->type;
    if (type != FLOAT32 && type != native_type(t)) {
      complain("rknn_inputs_set, unsupported input dtype");  // And goes on, with status 0.
      continue;
    }
    uint32_t needed = t->count * item_bytes(type);
    if (given->size < needed) {
      fprintf(stderr, "E RKNN: rknn_inputs_set, param input size(%u) < model input size(%u)\n",
              given->size, needed);
      return PARAM_INVALID;
    }
    if (!given->buf) crash();
    put_in(t, given->buf, type);
  }
  return 0;
}

EXPORT int rknn_run(rknn_context handle, void *extend) {
  (void)extend;
  int64_t started = now_ns();
  int status = fault(CALL_RUN);
  if (status) complain("failed to submit!, op id: 1, op name: Conv:fail");
  if (status) return status;  // Outputs keep what the last run left in them.
  context *c = loaded_context(handle);
  long count = call_count[CALL_RUN];
  static int is_broken;
  if (is_triggered("nan")) is_broken = 1;
  if ((is_due(setting("CRASH_AT"), count) && is_first("crash")) || is_triggered("crash")) {
    complain("failed to submit!, op id: 1, op name: Conv:crash");
    crash();
  }
  if (is_due(setting("ABORT_AT"), count) && is_first("abort")) abort();
  if ((is_due(setting("HANG_AT"), count) && is_first("hang")) || is_triggered("hang")) {
    complain("failed to wait for the NPU");
    for (;;) pause();
  }
  for (long left = number("NOISE"); left > 0; left -= 64)
    fprintf(stderr, "W RKNN: %-55s", "this is one of many lines that nobody asked for\n");
  network *n = &c->net;
  for (uint32_t i = 0; i < n->n_inputs; i++)
    if (c->in_mem[i]) put_in(n->in + i, c->in_mem[i]->virt_addr, c->in_type[i]);
  run_network(n);
  if (is_due(setting("NAN_AT"), count) || is_broken) n->out[0].values[0] = NAN;
  for (uint32_t i = 0; i < n->n_outputs; i++)
    if (c->out_mem[i]) put_out(n->out + i, c->out_mem[i]->virt_addr, c->out_type[i]);
  slow_down(count, started);
  c->last_us = (now_ns() - started) / 1000;
  c->has_run = 1;
  return 0;
}

EXPORT int rknn_outputs_get(rknn_context handle, uint32_t count, rknn_output *outputs, void *x) {
  (void)x;
  int status = fault(CALL_GET);
  if (status) return status;
  context *c = loaded_context(handle);
  if (!outputs) crash();
  for (uint32_t i = 0; i < count; i++) {
    rknn_output *wanted = outputs + i;
    uint32_t index = wanted->is_prealloc ? wanted->index : i;
    if (index >= c->net.n_outputs) return PARAM_INVALID;
    tensor *t = c->net.out + index;
    int type = wanted->want_float ? FLOAT32 : native_type(t);
    uint32_t needed = t->count * item_bytes(type);
    if (!wanted->is_prealloc) wanted->buf = malloc(needed), wanted->size = needed;
    else if (wanted->size < needed) {
      complain("rknn_outputs_get, the buffer is too small");  // And goes on, with status 0.
      continue;
    }
    if (!wanted->buf) crash();
    put_out(t, wanted->buf, type);
  }
  return 0;
}

EXPORT int rknn_outputs_release(rknn_context handle, uint32_t count, rknn_output *outputs) {
  loaded_context(handle);
  for (uint32_t i = 0; i < count; i++) {
    if (outputs[i].is_prealloc) continue;
    free(outputs[i].buf);
    outputs[i].buf = NULL;
  }
  return 0;
}

// --- memory of the NPU's ---

EXPORT rknn_tensor_mem *rknn_create_mem(rknn_context handle, uint32_t size) {
  if (fault(CALL_MEM)) return NULL;
  loaded_context(handle);
  rknn_tensor_mem *memory = calloc(1, sizeof *memory);
  memory->virt_addr = malloc(size + 64);
  memset(memory->virt_addr, 0xff, size + 64);  // Nobody promises zeros.
  memory->size = size;
  memory->fd = -1;
  return memory;
}

EXPORT int rknn_set_io_mem(rknn_context handle, rknn_tensor_mem *memory, rknn_tensor_attr *a) {
  context *c = loaded_context(handle);
  for (uint32_t i = 0; i < c->net.n_inputs + c->net.n_outputs; i++) {
    int is_input = i < c->net.n_inputs;
    uint32_t at = is_input ? i : i - c->net.n_inputs;
    tensor *t = is_input ? c->net.in + at : c->net.out + at;
    if (strcmp(t->name, a->name)) continue;
    int type = a->pass_through ? native_type(t) : a->type;
    if (type != FLOAT32 && type != native_type(t)) return PARAM_INVALID;
    if (memory->size < t->count * item_bytes(type)) return PARAM_INVALID;
    (is_input ? c->in_mem : c->out_mem)[at] = memory;
    (is_input ? c->in_type : c->out_type)[at] = type;
    return 0;
  }
  return PARAM_INVALID;
}

EXPORT int rknn_destroy_mem(rknn_context handle, rknn_tensor_mem *memory) {
  context *c = open_context(handle);
  for (int i = 0; i < TENSORS_MAX; i++) {
    if (c->in_mem[i] == memory) c->in_mem[i] = NULL;
    if (c->out_mem[i] == memory) c->out_mem[i] = NULL;
  }
  free(memory->virt_addr);
  free(memory);
  return 0;
}

#ifndef WITHOUT_OPTIONAL
EXPORT int rknn_mem_sync(rknn_context handle, rknn_tensor_mem *memory, int mode) {
  (void)memory, (void)mode;
  loaded_context(handle);
  return 0;
}
#endif
