/**
 * Installs a toolkit: a virtual environment from a lock, proven by a conversion, and only then put
 * in its place. What fails or is interrupted leaves nothing, and never harms one that works.
 */

import { existsSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Lite3Error, quote } from "../base/errors.ts";
import { makeDirectory, sha256 } from "../base/files.ts";
import { ownerMark, removeAbandoned } from "../base/owner.ts";
import { notice } from "../base/log.ts";
import { plural, shellWord } from "../base/text.ts";
import {
  findToolkit,
  type InstalledToolkit,
  TOOLKIT_MARK,
  toolkitHome,
  toolkitRoot,
} from "../rknn_toolkit/environment.ts";
import {
  environmentName,
  requirementsText,
  requireLock,
  requireWheels,
  type ToolkitLock,
} from "../rknn_toolkit/locks.ts";
import { makeEnvironment, runPip } from "./pip.ts";
import { findPython, type Python } from "./python.ts";
import { tryToolkit } from "./try_toolkit.ts";

export interface InstallOptions {
  readonly toolkit: string;
  readonly python?: string | undefined;
  readonly wheelhouse?: string | undefined;
  readonly signal?: AbortSignal;
}

export interface InstallResult {
  readonly toolkit: InstalledToolkit;
  /** Was it there already, and has passed its self-test again? */
  readonly wasThere: boolean;
}

export async function installToolkit(options: InstallOptions): Promise<InstallResult> {
  const { signal } = options;
  const lock = requireLock(options.toolkit);
  const there = options.python === undefined ? findToolkit(options.toolkit) : undefined;
  if (there !== undefined && isOfLock(there, lock) && (await stillWorks(there, signal))) {
    return { toolkit: there, wasThere: true };
  }
  const python = findPython(options.python);
  const wheels = requireWheels(lock, environmentName(python.version, python.machine));
  const wheelhouse = options.wheelhouse === undefined ? undefined : resolve(options.wheelhouse);
  if (wheelhouse !== undefined) checkWheelhouse(wheelhouse, wheels, options.toolkit);
  const home = toolkitHome(options.toolkit, python.version);
  const part = `${home}.${ownerMark()}.part`;
  removeAbandoned(toolkitRoot(), (name) => name.endsWith(".part"));
  makeDirectory(toolkitRoot(), "name another cache with XDG_CACHE_HOME");
  try {
    const run = {
      action: `install rknn-toolkit2 ${options.toolkit}`,
      cure: "without a network: lite3rl toolkit download DIR elsewhere, then --wheelhouse DIR",
      signal,
    };
    notice(`rknn-toolkit2 ${options.toolkit} for Python ${python.version} (${python.path})`);
    const own = await makeEnvironment(python.path, part, run);
    const source = wheelhouse === undefined ? [] : ["--no-index", "--find-links", wheelhouse];
    await runPip(own, ["install", ...source], { ...run, lock, wheels });
    const digest = lockDigest(lock, wheels);
    const toolkit = await prove(options.toolkit, python, part, digest, signal);
    replace(part, home);
    return { toolkit: { ...toolkit, home, python: join(home, "bin", "python") }, wasThere: false };
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

/** Converts with the new environment and writes down that it works. */
async function prove(
  version: string,
  { version: pythonVersion }: Python,
  home: string,
  lock: string,
  signal: AbortSignal | undefined,
): Promise<InstalledToolkit> {
  const toolkit = { version, pythonVersion, home, python: join(home, "bin", "python") };
  const mark = {
    version,
    pythonVersion,
    selfTest: await tryToolkit(toolkit, signal),
    bytes: sizeOf(home),
    lock,
  };
  writeFileSync(join(home, TOOLKIT_MARK), `${JSON.stringify(mark, null, 2)}\n`);
  return { ...toolkit, ...mark };
}

function lockDigest(lock: ToolkitLock, wheels: readonly string[]): string {
  return sha256(new TextEncoder().encode(requirementsText(lock, wheels)));
}

/** Was it made from the wheels that its lock names today? */
function isOfLock(toolkit: InstalledToolkit, lock: ToolkitLock): boolean {
  const python = toolkit.pythonVersion.replace(".", "");
  const names = Object.keys(lock.environments).filter((name) => name.startsWith(`cp${python}-`));
  const isOne = names.some(
    (name) => lockDigest(lock, lock.environments[name] ?? []) === toolkit.lock,
  );
  if (!isOne) notice(`rknn-toolkit2 ${toolkit.version} is there, made from other wheels`);
  return isOne;
}

async function stillWorks(
  toolkit: InstalledToolkit,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await tryToolkit(toolkit, signal);
    return true;
  } catch (error) {
    if (!(error instanceof Lite3Error) || signal?.aborted === true) throw error;
    notice(`rknn-toolkit2 ${toolkit.version} is there and does not work: ${error.message}`);
    return false;
  }
}

/**
 * The old one is moved aside first, since a directory with something in it cannot be renamed over,
 * and back where the new one cannot take its place.
 */
function replace(part: string, home: string): void {
  const old = `${home}.${ownerMark()}.old.part`;
  if (existsSync(home)) renameSync(home, old);
  try {
    renameSync(part, home);
  } catch (error) {
    if (existsSync(old) && !existsSync(home)) renameSync(old, home);
    throw error;
  }
  rmSync(old, { recursive: true, force: true });
}

function checkWheelhouse(directory: string, wheels: readonly string[], toolkit: string): void {
  const missing = wheels.filter((wheel) => !existsSync(join(directory, wheel)));
  const [first] = missing;
  if (first === undefined) return;
  const environment = /-(cp\d+)-cp.*_(x86_64|aarch64)\.whl$/.exec(
    wheels.find((wheel) => wheel.startsWith("rknn_toolkit2-")) ?? "",
  );
  const command =
    `lite3rl toolkit download ${shellWord(directory)} --toolkit ${toolkit} ` +
    `--for ${environment?.[1]}-${environment?.[2]}`;
  throw new Lite3Error(
    "NOT_FOUND",
    `Cannot install from wheelhouse ${quote(directory)}: it lacks ${missing.length} of ` +
      `${plural(wheels.length, "wheel")} (${first}), need all: ${command}`,
  );
}

/** Bytes of a directory's files, without what links lead to. */
function sizeOf(directory: string): number {
  const entries = readdirSync(directory, { withFileTypes: true });
  return entries.reduce((bytes, entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return bytes + sizeOf(path);
    return bytes + (entry.isFile() ? statSync(path).size : 0);
  }, 0);
}
