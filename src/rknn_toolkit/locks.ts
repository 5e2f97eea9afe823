/**
 * Which wheels make a toolkit, one set for each Python and architecture, by name and SHA-256. The
 * files of `locks/` are written by `bun scripts/dev.ts locks`; torch is left out on purpose, since
 * conversion from ONNX does without (570 MB instead of 5.7 GB).
 */

import { Lite3Error, quote } from "../base/errors.ts";
import lock220 from "./locks/2.2.0.json" with { type: "json" };
import lock232 from "./locks/2.3.2.json" with { type: "json" };
import lock250 from "./locks/2.5.0.json" with { type: "json" };

export interface ToolkitLock {
  readonly toolkit: string;
  /** `cp311-x86_64` → file names of its wheels. */
  readonly environments: Readonly<Record<string, readonly string[]>>;
  /** Combinations that the package index has no wheels for, with what pip said. */
  readonly missing: Readonly<Record<string, string>>;
  /** File name → SHA-256. */
  readonly wheels: Readonly<Record<string, string>>;
}

/** Newest first. */
export const TOOLKIT_LOCKS: readonly ToolkitLock[] = [lock250, lock232, lock220];

export const DEFAULT_TOOLKIT = "2.5.0";
export const PYTHON_VERSIONS = ["3.8", "3.9", "3.10", "3.11", "3.12"] as const;

/** Python 3.11 on x86_64 → `cp311-x86_64`. */
export function environmentName(pythonVersion: string, machine: string): string {
  return `cp${pythonVersion.replace(".", "")}-${machine}`;
}

/** Throws UNSUPPORTED naming the versions that there are. */
export function requireLock(toolkit: string): ToolkitLock {
  const found = TOOLKIT_LOCKS.find((lock) => lock.toolkit === toolkit);
  if (found !== undefined) return found;
  const known = TOOLKIT_LOCKS.map((lock) => lock.toolkit).join(", ");
  throw new Lite3Error(
    "UNSUPPORTED",
    `Cannot use rknn-toolkit2 ${quote(toolkit)}: there is no lock for it, need one of ${known}`,
  );
}

/** The wheels' names for one environment. Throws UNSUPPORTED where there are none. */
export function requireWheels(lock: ToolkitLock, environment: string): readonly string[] {
  const wheels = lock.environments[environment];
  if (wheels !== undefined) return wheels;
  const known = Object.keys(lock.environments).join(", ");
  throw new Lite3Error(
    "UNSUPPORTED",
    `Cannot install rknn-toolkit2 ${lock.toolkit} for ${quote(environment)}: ` +
      `there are no wheels for it, need one of ${known}`,
  );
}

/** The wheels as pip's `--require-hashes` takes them. */
export function requirementsText(lock: ToolkitLock, wheels: readonly string[]): string {
  const lines = wheels.map((wheel) => {
    const [name, version] = wheel.split("-");
    return `${name}==${version} --hash=sha256:${lock.wheels[wheel]}\n`;
  });
  return lines.join("");
}
