/**
 * The Python that a toolkit's environment is made with: one that its wheels exist for, and that
 * can make virtual environments.
 */

import { existsSync } from "node:fs";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { PYTHON_VERSIONS } from "../rknn_toolkit/locks.ts";

export interface Python {
  readonly path: string;
  /** `3.11` */
  readonly version: string;
  /** `x86_64`, `aarch64` */
  readonly machine: string;
  readonly hasVenv: boolean;
}

const QUESTION = `
import json, platform, sys
try:
    import ensurepip, venv
    has_venv = True
except ImportError:
    has_venv = False
print(json.dumps({"implementation": platform.python_implementation(),
  "version": "%d.%d" % sys.version_info[:2], "machine": platform.machine(), "hasVenv": has_venv}))
`;
const ANSWER = v.object({
  implementation: v.string(),
  version: v.string(),
  machine: v.string(),
  hasVenv: v.boolean(),
});
/** Starting Python takes a tenth of a second; one that asks a question takes for ever. */
const ANSWER_MS = 20_000;

const RANGE = `${PYTHON_VERSIONS[0]} to ${PYTHON_VERSIONS.at(-1)}`;

/** The named Python, or the first on PATH that will do. Throws saying what each one lacks. */
export function findPython(named: string | undefined): Python {
  const names = ["python3", ...PYTHON_VERSIONS.map((version) => `python${version}`).toReversed()];
  const paths =
    named === undefined
      ? names.flatMap((name) => Bun.which(name, { PATH: process.env.PATH ?? "" }) ?? [])
      : [named];
  const lacking = new Map<string, string>();
  for (const path of paths) {
    const found = askPython(path);
    const lack = typeof found === "string" ? found : lackOf(found);
    if (typeof found !== "string" && lack === undefined) return found;
    lacking.set(path, lack ?? "");
  }
  const found = [...lacking].map(([path, lack]) => `${quote(path)} ${lack}`).join(", ");
  throw new Lite3Error(
    named !== undefined && !existsSync(named) ? "NOT_FOUND" : "UNSUPPORTED",
    `Cannot install rknn-toolkit2: ${found || "no Python is on PATH"}, ` +
      `need CPython ${RANGE} with its venv module: install one, or name it with --python PATH`,
  );
}

/** What this Python is, or why it does not say. */
function askPython(path: string): Python | string {
  try {
    const { exitCode, stdout } = Bun.spawnSync([path, "-I", "-c", QUESTION], {
      stdio: ["ignore", "pipe", "ignore"],
      timeout: ANSWER_MS,
    });
    if (exitCode !== 0) return "does not run";
    const { implementation, ...python } = v.parse(ANSWER, JSON.parse(String(stdout)));
    return implementation === "CPython" ? { path, ...python } : `is ${implementation}`;
  } catch {
    return "does not run as a Python";
  }
}

function lackOf({ version, hasVenv }: Python): string | undefined {
  const isKnown = (PYTHON_VERSIONS as readonly string[]).includes(version);
  if (!isKnown) return `is ${version}`;
  return hasVenv ? undefined : `has no venv (Debian: apt-get install python${version}-venv)`;
}
