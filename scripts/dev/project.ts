/** Places of the project, and running programs in it. */

import { join } from "node:path";

export const ROOT = join(import.meta.dir, "..", "..");
export const DIST = join(ROOT, "dist");
export const CACHE = join(
  process.env.XDG_CACHE_HOME || join(process.env.HOME ?? "/tmp", ".cache"),
  "lite3rl",
);

export const BINARIES = {
  x64: join(DIST, "lite3rl-linux-x64"),
  arm64: join(DIST, "lite3rl-linux-arm64"),
} as const;

/** The binary that runs on this machine without emulation. */
export const NATIVE_BINARY = BINARIES[process.arch === "arm64" ? "arm64" : "x64"];

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end and keeps what it said. */
export function run(
  command: readonly string[],
  options: { cwd?: string; env?: Record<string, string | undefined> } = {},
): Ran {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return { status: exitCode, stdout: String(stdout), stderr: String(stderr) };
}

/** Runs a program with this terminal; returns its status. */
export async function show(command: readonly string[], cwd = ROOT): Promise<number> {
  const child = Bun.spawn([...command], { cwd, stdio: ["inherit", "inherit", "inherit"] });
  return child.exited;
}
