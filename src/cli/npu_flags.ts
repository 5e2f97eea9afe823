/**
 * Flags of every verb that can run a `.rknn`, `NpuOptions` of runtime/open_rknn.ts as words, and of
 * those that run one policy, `PolicyOptions` of runtime/open.ts.
 */

import * as v from "valibot";
import { type Core, CORES } from "../../ffi/rknn_api.ts";
import { RUN_BACKENDS } from "../runtime/open.ts";
import { IO_KINDS } from "../runtime/rknn.ts";
import { type Flags, pathValue, textValue, wordValue } from "./command.ts";

const coreValue = (): v.GenericSchema<unknown, Core> =>
  v.pipe(
    textValue("an NPU core"),
    v.check(
      (text) => CORES.some((core) => core === text),
      (issue) => `needs one of ${CORES.join(", ")}, got ${issue.input}`,
    ),
    v.transform((text) => text as Core),
  );

export const NPU_FLAGS = {
  librknnrt: {
    value: "<path>",
    help: "The NPU library for a .rknn (default: LITE3RL_LIBRKNNRT, then /usr/lib …)",
    schema: v.optional(pathValue()),
  },
  core: {
    value: "<core>",
    help: "NPU core for a .rknn: 0, 1, 2 or auto (default: auto)",
    schema: v.optional(coreValue(), "auto"),
  },
  io: {
    value: "<how>",
    help: "Into the NPU by float, zero-copy, or auto: the faster (default: auto)",
    schema: v.optional(wordValue(IO_KINDS), "auto"),
  },
} as const satisfies Flags;

export const POLICY_FLAGS = {
  backend: {
    value: "<backend>",
    help: "What runs it: mlp, onnx, rknn, or auto: the NPU for a .rknn, else the fastest that fits",
    schema: v.optional(wordValue(RUN_BACKENDS), "auto"),
  },
  ...NPU_FLAGS,
} as const satisfies Flags;
