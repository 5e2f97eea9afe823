/**
 * Where installed toolkits are: one directory for each version and Python under the user's cache,
 * each a virtual environment with a `toolkit.json` that was written last, after its self-test.
 */

import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { readFile } from "../base/files.ts";
import { findAbandoned } from "../base/owner.ts";
import { LIMITS } from "../base/limits.ts";
import { requireLock } from "./locks.ts";

export interface InstalledToolkit {
  readonly version: string;
  /** The environment's own interpreter. */
  readonly python: string;
  readonly home: string;
  /** With the minor: `3.11`. */
  readonly pythonVersion: string;
  readonly selfTest?: SelfTest;
  /** On disk. */
  readonly bytes?: number;
  /** SHA-256 of the requirements that it was made from. */
  readonly lock?: string;
}

/** Errors of the simulator against ONNX Runtime, for the network that the self-test converts. */
export interface SelfTest {
  readonly fp16: { readonly mae: number; readonly max: number };
  readonly w8a8: { readonly mae: number; readonly max: number };
}

/** Present once an environment is whole. */
export const TOOLKIT_MARK = "toolkit.json";

const ERRORS = v.object({ mae: v.number(), max: v.number() });
const MARK = v.object({
  version: v.string(),
  pythonVersion: v.string(),
  selfTest: v.exactOptional(v.object({ fp16: ERRORS, w8a8: ERRORS })),
  bytes: v.exactOptional(v.number()),
  lock: v.exactOptional(v.string()),
});

/** `~/.cache/lite3rl/toolkit`, or below XDG_CACHE_HOME where that is set. */
export function toolkitRoot(): string {
  const named = process.env.XDG_CACHE_HOME ?? "";
  // The XDG base directory specification: a relative path is to be ignored.
  const cache = isAbsolute(named) ? named : join(process.env.HOME || homedir(), ".cache");
  return join(cache, "lite3rl", "toolkit");
}

/** The name of a toolkit's directory: `2.5.0-cp311`. */
export function toolkitHome(version: string, pythonVersion: string): string {
  return join(toolkitRoot(), `${version}-cp${pythonVersion.replace(".", "")}`);
}

/** Every whole one, newest version first, then newest Python. */
export function installedToolkits(): InstalledToolkit[] {
  const root = toolkitRoot();
  if (!existsSync(root)) return [];
  const found = readdirSync(root).flatMap((name) => readInstalled(join(root, name)) ?? []);
  return found.toSorted(
    (a, b) =>
      Bun.semver.order(b.version, a.version) ||
      Bun.semver.order(`${b.pythonVersion}.0`, `${a.pythonVersion}.0`),
  );
}

/** The newest installed toolkit, or the newest Python's of that version. */
export function findToolkit(version?: string): InstalledToolkit | undefined {
  return installedToolkits().find((one) => version === undefined || one.version === version);
}

/** Throws NOT_FOUND with the command that installs it. */
export function requireToolkit(version?: string): InstalledToolkit {
  const found = findToolkit(version);
  if (found !== undefined) return found;
  const others = installedToolkits().map((one) => one.version);
  const which = version === undefined ? "" : ` ${version}`;
  const there = others.length === 0 ? "none is" : `${[...new Set(others)].join(", ")} is`;
  if (version !== undefined) requireLock(version);
  const command = `lite3rl toolkit install${version === undefined ? "" : ` --toolkit ${version}`}`;
  throw new Lite3Error(
    "NOT_FOUND",
    `Cannot find rknn-toolkit2${which}: ${there} installed in ${quote(toolkitRoot())}, ` +
      `need it for this: ${command}`,
  );
}

/** Environments that no install finished: of one that was killed, or without a mark. */
export function unfinishedToolkits(): string[] {
  const root = toolkitRoot();
  if (!existsSync(root)) return [];
  const whole = new Set(installedToolkits().map(({ home }) => home));
  const isHome = (name: string): boolean => /^\d+\.\d+\.\d+-cp\d+$/.test(name);
  const unmarked = readdirSync(root).filter((name) => isHome(name) && !whole.has(join(root, name)));
  return [
    ...findAbandoned(root, (name) => name.endsWith(".part")),
    ...unmarked.map((name) => join(root, name)),
  ];
}

/** A directory that is not whole, or of somebody else, is no toolkit. */
function readInstalled(home: string): InstalledToolkit | undefined {
  const [mark, python] = [join(home, TOOLKIT_MARK), join(home, "bin", "python")];
  if (!existsSync(mark) || !existsSync(python)) return undefined;
  try {
    const text = new TextDecoder().decode(readFile(mark, LIMITS.configBytes));
    return { ...v.parse(MARK, JSON.parse(text)), home, python };
  } catch {
    return undefined;
  }
}
