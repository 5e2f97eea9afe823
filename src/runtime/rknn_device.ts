/**
 * What can be told about the NPU without its library: which SoC this is, and whether the driver's
 * device can be opened. It turns the library's one status for everything, -1, into a reason.
 */

import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { npuNodes } from "./npu_nodes.ts";

/** NPU cores per SoC; others have one, and refuse a core mask. */
const CORES: Readonly<Record<string, number>> = { rk3588: 3, rk3576: 2 };

export interface Soc {
  /** As .rknn files name it: `rk3588`, for its variants too. */
  readonly name: string;
  readonly cores: number;
}

/** The robot's SoC, which is assumed where the device tree names none. */
const DEFAULT_SOC = "rk3588";

export function readSoc(root = "/"): Soc {
  const path = join(root, "proc/device-tree/compatible");
  const compatible = existsSync(path) ? readFileSync(path, "latin1") : "";
  const name = /rockchip,(rk\d{4})/.exec(compatible)?.[1] ?? DEFAULT_SOC;
  return { name, cores: CORES[name] ?? 1 };
}

/** The driver's nodes that are there, in the order in which the library looks for them. */
export function deviceNodes(root = "/"): string[] {
  const files = {
    names: (path: string) => attempt(() => readdirSync(join(root, path))) ?? [],
    text: (path: string) => attempt(() => readFileSync(join(root, path), "utf8")),
  };
  return npuNodes(files).filter((node) => existsSync(join(root, node)));
}

/** Undefined for what is not there or not to be read. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

export interface DeviceFault {
  readonly because: string;
  readonly cure: string;
}

/** Why the device cannot be opened; undefined if it can, and the fault lies elsewhere. */
export function findDeviceFault(root = "/", canOpen = isWritable): DeviceFault | undefined {
  const nodes = deviceNodes(root);
  if (nodes.length === 0) {
    return {
      because:
        "no NPU driver is loaded, neither /dev/rknpu nor a DRM card of rknpu is on this machine",
      cure: "run on the board, with its rknpu driver loaded: lite3rl doctor",
    };
  }
  if (nodes.some((node) => canOpen(join(root, node)))) return undefined;
  return {
    because: `this user may not open ${nodes.join(" or ")}`,
    cure: `add the user to the group of ${nodes[0]}: lite3rl doctor --fix prints how`,
  };
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
