/**
 * Environments and policies of the user's own: how they are named, and how it is said that one
 * failed. `module.path:name` and `file.py:name` are Python, `file.ts` and `file.ts:name` run in
 * this process.
 */

import { basename, extname } from "node:path";
import { type ErrorCode, Lite3Error, quote } from "../base/errors.ts";
import { notice } from "../base/log.ts";

export interface PythonProgram {
  readonly kind: "python";
  readonly module: string;
  /** Where the module is not found by its name but is this file. */
  readonly path?: string;
  readonly name: string;
}

export interface ModuleProgram {
  readonly kind: "module";
  readonly path: string;
  /** An export; the default one where there is no name. */
  readonly name?: string;
}

export interface ProgramOptions {
  /** The interpreter; otherwise LITE3RL_PYTHON, VIRTUAL_ENV's, or python3 on the PATH. */
  readonly python?: string | undefined;
  /** Longest wait for one step or action; a start may take four times as long. */
  readonly timeoutMs: number;
  /** Show a traceback of any length, not only its end. */
  readonly wholeTraceback: boolean;
  /** Did a signal ask to stop? Then a step is not waited for to its end. */
  readonly isInterrupted?: () => boolean;
}

export const PROGRAM_DEFAULTS: ProgramOptions = { timeoutMs: 30_000, wholeTraceback: false };

/** Lines of a traceback that are shown unless all are asked for. */
const TRACEBACK_LINES = 12;

const MODULE_FILE = /^(.+\.(?:ts|mts|js|mjs))(?::([A-Za-z_$][\w$]*))?$/;
const PYTHON_FILE = /^(.+\.py)(?::([A-Za-z_][\w.]*))?$/;
const PYTHON_NAME = /^([A-Za-z_]\w*(?:\.\w+)*):([A-Za-z_][\w.]*)$/;

/** The program that `spec` names; undefined where it has another form. */
export function parseProgram(spec: string): PythonProgram | ModuleProgram | undefined {
  const module = MODULE_FILE.exec(spec);
  if (module !== null) {
    const [, path = "", name] = module;
    return { kind: "module", path, ...(name === undefined ? {} : { name }) };
  }
  const file = PYTHON_FILE.exec(spec);
  if (file !== null) {
    const [, path = "", name] = file;
    if (name === undefined) {
      throw new Lite3Error(
        "USAGE",
        `Cannot use ${quote(spec)}: a Python file needs the name of a function or class in it, ` +
          `for example ${path}:make_env`,
      );
    }
    return { kind: "python", module: basename(path, extname(path)), path, name };
  }
  const [, name, member] = PYTHON_NAME.exec(spec) ?? [];
  if (name === undefined || member === undefined) return undefined;
  return { kind: "python", module: name, name: member };
}

/** The error of a user's program; shows its traceback, which does not fit into a message. */
export function programError(
  action: string,
  reason: string,
  traceback?: string,
  options: { readonly wholeTraceback: boolean; readonly code?: ErrorCode } = PROGRAM_DEFAULTS,
): Lite3Error {
  const lines = traceback?.trimEnd().split("\n") ?? [];
  if (lines.length > TRACEBACK_LINES && !options.wholeTraceback) {
    const left = lines.length - TRACEBACK_LINES;
    lines.splice(0, left, `… ${left} lines before, shown with --traceback`);
  }
  for (const line of lines) notice(line);
  return new Lite3Error(options.code ?? "PROGRAM", `${action}: ${reason}`);
}
