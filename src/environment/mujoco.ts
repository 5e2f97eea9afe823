/**
 * MuJoCo, compiled to WebAssembly by its authors: loaded once per process, and only when asked for,
 * since compiling 4 to 10 MB of code costs a quarter of a second.
 *
 * The wasm travels inside the compiled binary as a file of its own. The build puts a copy without
 * debug sections in its place, so this import must stay the only one of `mujoco.wasm`.
 */

import type { MainModule, MjData, MjModel } from "@mujoco/mujoco";
import wasmPath from "@mujoco/mujoco/mujoco.wasm" with { type: "file" };
import { Lite3Error } from "../base/errors.ts";
import { warn } from "../base/log.ts";

export type { MjData, MjModel };
export type Mujoco = MainModule;

let loading: Promise<Mujoco> | undefined;

/** The process' MuJoCo; the first call compiles it. */
export function loadMujoco(): Promise<Mujoco> {
  return (loading ??= compileMujoco());
}

async function compileMujoco(): Promise<Mujoco> {
  try {
    const { default: load } = await import("@mujoco/mujoco");
    const wasmBinary = await Bun.file(wasmPath).arrayBuffer();
    return await load({ wasmBinary, print: warn, printErr: warn });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Lite3Error("NATIVE", `Cannot load MuJoCo: ${reason}`, { cause: error });
  }
}
