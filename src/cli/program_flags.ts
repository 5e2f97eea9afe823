/**
 * Flags of the verbs that run an environment or policy of the user's.
 */

import * as v from "valibot";
import { PROGRAM_DEFAULTS, type ProgramOptions } from "../environment/program.ts";
import { durationValue, pathValue, switchValue } from "./command.ts";

export const ENVIRONMENT_HELP =
  "lite3, lite3:terrain=step,height=0.1, module.path:function or ./my_env.ts (default: lite3)";

export const PROGRAM_FLAGS = {
  python: {
    value: "<path>",
    help: "Interpreter of your Python (default: LITE3RL_PYTHON, VIRTUAL_ENV's, python3)",
    schema: v.optional(pathValue()),
  },
  envTimeout: {
    value: "<time>",
    help: "Longest wait for a step of your program; its start gets four times that (default: 30s)",
    schema: v.optional(durationValue()),
  },
  traceback: { help: "Show the whole traceback of your program", schema: switchValue() },
} as const;

export function programOptions(flags: {
  readonly python: string | undefined;
  readonly envTimeout: number | undefined;
  readonly traceback: boolean;
}): ProgramOptions {
  const { python, envTimeout, traceback } = flags;
  const timeoutMs = envTimeout === undefined ? PROGRAM_DEFAULTS.timeoutMs : envTimeout * 1000;
  return { python, timeoutMs, wholeTraceback: traceback };
}
