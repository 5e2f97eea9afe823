// Prints size and offsets of every struct, as the C compiler places them, as one JSON document.
#include "rknn_abi.h"
#include <stddef.h>
#include <stdio.h>

#define BEGIN(t) printf("%s\"%s\": {\"bytes\": %zu, \"offsets\": {", sep, #t, sizeof(t)), comma = ""
#define F(t, f) printf("%s\"%s\": %zu", comma, #f, offsetof(t, f)), comma = ", "
#define END() printf("}}"), sep = ",\n"

int main(void) {
  const char *sep = "", *comma = "";
  printf("{");
  BEGIN(rknn_input_output_num);
  F(rknn_input_output_num, n_input); F(rknn_input_output_num, n_output);
  END();
  BEGIN(rknn_tensor_attr);
  F(rknn_tensor_attr, index); F(rknn_tensor_attr, n_dims); F(rknn_tensor_attr, dims);
  F(rknn_tensor_attr, name); F(rknn_tensor_attr, n_elems); F(rknn_tensor_attr, size);
  F(rknn_tensor_attr, fmt); F(rknn_tensor_attr, type); F(rknn_tensor_attr, qnt_type);
  F(rknn_tensor_attr, fl); F(rknn_tensor_attr, zp); F(rknn_tensor_attr, scale);
  F(rknn_tensor_attr, w_stride); F(rknn_tensor_attr, size_with_stride);
  F(rknn_tensor_attr, pass_through); F(rknn_tensor_attr, h_stride);
  END();
  BEGIN(rknn_input);
  F(rknn_input, index); F(rknn_input, buf); F(rknn_input, size); F(rknn_input, pass_through);
  F(rknn_input, type); F(rknn_input, fmt);
  END();
  BEGIN(rknn_output);
  F(rknn_output, want_float); F(rknn_output, is_prealloc); F(rknn_output, index);
  F(rknn_output, buf); F(rknn_output, size);
  END();
  BEGIN(rknn_tensor_mem);
  F(rknn_tensor_mem, virt_addr); F(rknn_tensor_mem, phys_addr); F(rknn_tensor_mem, fd);
  F(rknn_tensor_mem, offset); F(rknn_tensor_mem, size); F(rknn_tensor_mem, flags);
  F(rknn_tensor_mem, priv_data);
  END();
  BEGIN(rknn_sdk_version);
  F(rknn_sdk_version, api_version); F(rknn_sdk_version, drv_version);
  END();
  BEGIN(rknn_perf_run);
  F(rknn_perf_run, run_duration);
  END();
  printf("}\n");
  return 0;
}
