/**
 * The board itself: SoC, kernel, memory, cores.
 *
 * The base line is the blueprint's chapter 3: RK3588, kernel 5.10 or later, 8 GB. That cores 4–7
 * are the fast ones (Cortex-A76) is the RK3588's numbering, as go-rknnlite pins them.
 */

import { plain } from "../base/text.ts";
import { fieldOf, type Machine, textOf, whyUnknown } from "./machine.ts";
import { parseRelease } from "./release.ts";
import { fails, notChecked, ok, type Row, type Subject, warning } from "./row.ts";

const COMPATIBLE = "/proc/device-tree/compatible";
const KERNEL_RELEASE = "/proc/sys/kernel/osrelease";
const KERNEL_MIN = "5.10.0";
/** Of a board with 8 GB, what the kernel leaves: 7.5 GiB and more on those reported. */
const MEMORY_MIN_MIB = 7_000;
/** What supervisor and engine are allowed to take, twice. */
const AVAILABLE_MIN_MIB = 280;
const FAST_CORES = [4, 5, 6, 7];

export const kernelRelease = (machine: Machine): string | undefined =>
  textOf(machine, KERNEL_RELEASE);

/** `Radxa ROCK 5B, Ubuntu 22.04.3 LTS, kernel 5.10.160`, as far as it is known. */
export function describeBoard(machine: Machine): string {
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(textOf(machine, "/etc/os-release") ?? "")?.[1];
  const kernel = kernelRelease(machine);
  const parts = [
    textOf(machine, "/proc/device-tree/model"),
    system,
    kernel && `kernel ${kernel}`,
  ].filter((part) => part !== undefined && part !== "");
  return parts.length === 0 ? "nothing says what it is" : plain(parts.join(", "));
}

export function checkBoard({ machine }: Subject): Row[] {
  return [checkSoc(machine), checkKernel(machine), checkMemory(machine), checkCores(machine)];
}

/** `ok` on an RK3588 alone. */
export function checkSoc(machine: Machine): Row {
  const compatible = textOf(machine, COMPATIBLE)?.split("\0") ?? [];
  // From the board to the SoC, as the Devicetree Specification has it (2.3.1).
  const soc = compatible.at(-1);
  if (soc !== undefined && /^rockchip,rk3588[a-z]?$/.test(soc)) {
    return ok("SoC", compatible.join(", "));
  }
  const needed = "an RK3588 or RK3588S: the NPU of the Lite3's board";
  const mend = "run the .rknn on that board; lite3rl serve runs the .onnx on any machine";
  const unknown = whyUnknown(machine.bytes(COMPATIBLE));
  if (unknown !== undefined) return notChecked("SoC", `${COMPATIBLE}: ${unknown}`);
  if (soc !== undefined) return fails("SoC", compatible.join(", "), needed, mend);
  if (kernelRelease(machine) === undefined) {
    return notChecked("SoC", "there is no /proc of a running kernel");
  }
  const processor = fieldOf(machine, "/proc/cpuinfo", "model name");
  const found = processor === undefined ? "" : `: the processor is ${processor}`;
  return fails("SoC", `no device tree${found}`, needed, mend);
}

function checkKernel(machine: Machine): Row {
  const text = kernelRelease(machine);
  const release = parseRelease(text);
  if (text === undefined || release === undefined) {
    return notChecked("kernel", `${KERNEL_RELEASE} does not say it`);
  }
  if (release.isAtLeast(KERNEL_MIN)) return ok("kernel", text);
  return warning("kernel", text, "5.10 or later", "install the vendor's 5.10 image or later");
}

function checkMemory(machine: Machine): Row {
  const [total, available] = ["MemTotal", "MemAvailable"].map((key) =>
    Math.round(Number.parseInt(fieldOf(machine, "/proc/meminfo", key) ?? "", 10) / 1024),
  ) as [number, number];
  if (Number.isNaN(total)) return notChecked("memory", "/proc/meminfo says nothing");
  const found = `${total} MiB, of which ${Number.isNaN(available) ? "?" : available} available`;
  if (available < AVAILABLE_MIN_MIB) {
    const needed = `${AVAILABLE_MIN_MIB} MiB available for the service`;
    return warning("memory", found, needed, "ps aux --sort=-rss | head");
  }
  if (total >= MEMORY_MIN_MIB) return ok("memory", found);
  return warning("memory", found, "a board with 8 GB", "watch MemAvailable under load");
}

function checkCores(machine: Machine): Row {
  const [present, online] = ["present", "online"].map((list) =>
    parseRanges(textOf(machine, `/sys/devices/system/cpu/${list}`)),
  );
  if (present === undefined || online === undefined) {
    return notChecked("fast cores", "sysfs does not say which cores there are");
  }
  const needed = "the fast cores 4–7 for the service";
  const lacking = FAST_CORES.filter((core) => !present.includes(core));
  if (lacking.length > 0) {
    const found = `there is no core ${lacking.join(", ")}`;
    return warning("fast cores", found, needed, "leave the service's CPU affinity alone");
  }
  const off = FAST_CORES.filter((core) => !online.includes(core));
  if (off.length > 0) {
    const switches = off.map((core) => `/sys/devices/system/cpu/cpu${core}/online`).join(" ");
    const mend = `echo 1 | sudo tee ${switches}`;
    return warning("fast cores", `${off.join(", ")} not online`, needed, mend);
  }
  const allowed = parseRanges(fieldOf(machine, "/proc/self/status", "Cpus_allowed_list"));
  const barred = FAST_CORES.filter((core) => allowed?.includes(core) === false);
  if (barred.length === 0) return ok("fast cores", "4–7 are online, processes may use them");
  return warning(
    "fast cores",
    `4–7 are online, but the doctor may not use ${barred.join(", ")}`,
    needed,
    "set CPUAffinity=4-7 in the service's unit, and AllowedCPUs if its slice sets it",
  );
}

/** `0-3,6` → [0, 1, 2, 3, 6], as the kernel writes lists of cores. */
function parseRanges(text: string | undefined): number[] | undefined {
  if (text === undefined || !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) return undefined;
  return text.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: Math.min(last - first + 1, 4_096) }, (_, i) => first + i);
  });
}
