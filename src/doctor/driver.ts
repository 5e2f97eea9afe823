/**
 * The NPU's kernel driver: bound or why not, and its version.
 *
 * Names and places are those of the vendor's kernel (drivers/rknpu): module `rknpu`, platform
 * driver `RKNPU`, device `fdab0000.npu`; the version is the module's and so readable by all in
 * /sys/module, also where the driver is built in, and in debugfs for root alone.
 */

import { boundDevices, NPU_DRIVER } from "../runtime/npu_nodes.ts";
import { kernelRelease } from "./board.ts";
import { filesOf, type Machine, namesLike, textOf, valueOf, whyUnknown } from "./machine.ts";
import { parseRelease } from "./release.ts";
import { fails, notChecked, ok, type Row, type Subject, warning } from "./row.ts";

export const NPU_DEVICE = "fdab0000.npu";
const DRIVERS = "/sys/bus/platform/drivers";
const NODE_STATUS = "/proc/device-tree/npu@fdab0000/status";
/** The driver of the mainline kernel (6.18 and later), which librknnrt does not know. */
const MAINLINE_DRIVER = `${DRIVERS}/rocket`;
const VERSIONS = ["/sys/module/rknpu/version", "/sys/kernel/debug/rknpu/version"] as const;
/** librknnrt 1.5.2, 1.6.0 and 2.3.0 are reported to run with 0.8.2 and to recommend this. */
const VERSION_MIN = "0.8.8";

export function checkDriver({ machine }: Subject): Row[] {
  return [checkBound(machine), checkVersion(machine)];
}

/** Why nothing is said of drivers and devices: a file system that no kernel is running on. */
export const NO_DRIVERS = "there is no /sys of a running kernel";

export function hasDrivers(machine: Machine): boolean {
  const reading = machine.stat(DRIVERS);
  return !("missing" in reading) || reading.missing !== "absent";
}

function checkBound(machine: Machine): Row {
  const devices = boundDevices(filesOf(machine));
  if (devices.length > 0) return ok("driver", `rknpu has ${devices.join(", ")}`);
  const unknown = hasDrivers(machine) ? whyUnknown(machine.names(NPU_DRIVER)) : NO_DRIVERS;
  if (unknown !== undefined) return notChecked("driver", unknown);
  const needed = "Rockchip's driver rknpu, bound to the NPU";
  if (namesLike(machine, MAINLINE_DRIVER, /\.npu$/).length > 0) {
    const found = "the mainline driver rocket has the NPU, which librknnrt cannot use";
    return fails("driver", found, needed, "boot the vendor's kernel", "driver");
  }
  const isLoaded = valueOf(machine.stat("/sys/module/rknpu")) !== undefined;
  const status = textOf(machine, NODE_STATUS);
  if (status === "disabled") {
    const found = `the NPU is ${isLoaded ? "" : "without driver and "}disabled in the device tree`;
    const mend = "enable the board's NPU overlay and start again";
    return fails("driver", found, needed, mend, "driver");
  }
  if (isLoaded) {
    const found = `rknpu is there, but no device ${NPU_DEVICE} is bound to it`;
    return fails("driver", found, needed, "sudo dmesg | grep -i rknpu", "driver");
  }
  const release = kernelRelease(machine);
  const index = release && textOf(machine, `/lib/modules/${release}/modules.dep`);
  if (index?.includes("rknpu.ko")) {
    return fails(
      "driver",
      "rknpu is installed, not loaded",
      needed,
      "sudo modprobe rknpu",
      "driver",
    );
  }
  return fails(
    "driver",
    "this kernel has no rknpu",
    needed,
    "install the vendor's kernel, or build rknpu for this one",
    "driver",
  );
}

function checkVersion(machine: Machine): Row {
  const text = VERSIONS.map((path) => textOf(machine, path)).find((found) => found !== undefined);
  const version = parseRelease(text);
  if (version === undefined) {
    const isDenied = VERSIONS.some((path) => {
      const reading = machine.bytes(path);
      return "missing" in reading && reading.missing === "denied";
    });
    return isDenied
      ? notChecked("driver version", `only root may read ${VERSIONS[1]}`, "sudo lite3rl doctor")
      : notChecked("driver version", "nothing tells it");
  }
  if (version.isAtLeast(VERSION_MIN)) return ok("driver version", version.text);
  return warning(
    "driver version",
    version.text,
    `${VERSION_MIN} or later, as librknnrt recommends`,
    "install the vendor's newer kernel, which has the driver in it",
    "driver",
  );
}
