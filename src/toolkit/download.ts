/**
 * Fetches the wheels of a lock into a directory, for machines without a network: also for another
 * Python and another architecture than this machine's.
 */

import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { makeDirectory, makeTemporaryDirectory } from "../base/files.ts";
import { environmentName, requireLock, requireWheels } from "../rknn_toolkit/locks.ts";
import { makeEnvironment, runPip } from "./pip.ts";
import { findPython } from "./python.ts";

export interface DownloadOptions {
  readonly directory: string;
  readonly toolkit: string;
  readonly python?: string | undefined;
  /** `cp311-aarch64`; this machine's where it is not named. */
  readonly environment?: string | undefined;
  readonly signal?: AbortSignal;
}

export interface DownloadResult {
  readonly environment: string;
  readonly directory: string;
  readonly wheels: readonly string[];
}

export async function downloadWheels(options: DownloadOptions): Promise<DownloadResult> {
  const lock = requireLock(options.toolkit);
  const python = findPython(options.python);
  const environment = options.environment ?? environmentName(python.version, python.machine);
  const wheels = requireWheels(lock, environment);
  const directory = resolve(options.directory);
  const missing = wheels.filter((wheel) => !existsSync(join(directory, wheel)));
  if (missing.length > 0) {
    const cure = "name a directory that can be written";
    makeDirectory(directory, cure);
    const part = makeTemporaryDirectory(directory, ".part-", cure);
    try {
      const run = {
        action: `download rknn-toolkit2 ${options.toolkit} for ${environment}`,
        cure: "need a network, or a mirror named by PIP_INDEX_URL",
        signal: options.signal,
      };
      const own = await makeEnvironment(python.path, join(part, "venv"), run);
      const words = ["download", ...platformWords(environment), "--dest", join(part, "wheels")];
      await runPip(own, words, { ...run, lock, wheels: missing });
      for (const wheel of readdirSync(join(part, "wheels"))) {
        renameSync(join(part, "wheels", wheel), join(directory, wheel));
      }
    } finally {
      rmSync(part, { recursive: true, force: true });
    }
  }
  return { environment, directory, wheels };
}

/** `cp311-aarch64` → the words that make pip take wheels of that machine. */
function platformWords(environment: string): string[] {
  const [python = "", machine = ""] = environment.split("-");
  const version = `${python[2]}.${python.slice(3)}`;
  const glibc = ["manylinux2014", ...[17, 26, 27, 28].map((minor) => `manylinux_2_${minor}`)];
  const platforms = glibc.flatMap((tag) => ["--platform", `${tag}_${machine}`]);
  return ["--implementation", "cp", "--python-version", version, ...platforms];
}
