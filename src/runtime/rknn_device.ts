/**
 * What can be told about the NPU without its library: which SoC this is, and whether the driver's
 * device can be opened. It turns the library's one status for everything, -1, into a reason.
 */

import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
} from "node:fs";
import { basename, join } from "node:path";

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

/** The driver's nodes in the order in which the library looks for them. */
export function deviceNodes(root = "/"): string[] {
  const classes = join(root, "sys/class/drm");
  const cards = existsSync(classes) ? readdirSync(classes).filter((n) => /^card\d+$/.test(n)) : [];
  const inOrder = cards.sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
  const ofNpu = inOrder.filter((card) => /rknpu/i.test(driverOf(join(classes, card))));
  return [
    ...(existsSync(join(root, "dev/rknpu")) ? ["/dev/rknpu"] : []),
    ...ofNpu.map((card) => `/dev/dri/${card}`),
  ];
}

function driverOf(card: string): string {
  try {
    return basename(readlinkSync(join(card, "device/driver")));
  } catch {
    return "";
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
