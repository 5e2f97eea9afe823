/**
 * The nodes through which librknnrt reaches the NPU, in the order in which it looks. The runtime
 * asks it of this machine, the doctor of any machine's files.
 *
 * The order was seen with librknnrt 1.5.2: `/dev/rknpu`, then the DRM cards 0 to 15 whose driver is
 * named rknpu. It never opens the render nodes.
 */

/** A machine's files; paths are absolute on that machine. */
export interface MachineFiles {
  /** Names in a directory, in any order; none where it cannot be read. */
  names(path: string): readonly string[];
  text(path: string): string | undefined;
}

export const OWN_NODE = "/dev/rknpu";
export const CARDS = "/dev/dri";
/** The vendor's platform driver (drivers/rknpu): it lists what it has, as `fdab0000.npu`. */
export const NPU_DRIVER = "/sys/bus/platform/drivers/RKNPU";

/** What the vendor's driver has: `fdab0000.npu`. */
export function boundDevices(files: MachineFiles): string[] {
  return files.names(NPU_DRIVER).filter((name) => /^[0-9a-f]+\.npu$/.test(name));
}

/** Where the library looks. That `/dev/rknpu` is there is for the caller to see. */
export function npuNodes(files: MachineFiles): string[] {
  const numbers = files.names(CARDS).flatMap((name) => {
    const [, number] = /^card(\d|1[0-5])$/.exec(name) ?? [];
    return number === undefined ? [] : [Number(number)];
  });
  const ofNpu = numbers.sort((a, b) => a - b).filter((card) => isOfNpu(files, card));
  return [OWN_NODE, ...ofNpu.map((card) => `${CARDS}/card${card}`)];
}

/**
 * Where the kernel's module comes from outside of it, the card hangs from a device that names no
 * driver; it is the NPU's if the NPU has a driver.
 */
function isOfNpu(files: MachineFiles, card: number): boolean {
  const uevent = files.text(`/sys/class/drm/card${card}/device/uevent`)?.trim();
  const driver = /^DRIVER=(.+)$/m.exec(uevent ?? "")?.[1];
  if (driver !== undefined) return driver.toLowerCase() === "rknpu";
  return uevent === "" && boundDevices(files).length > 0;
}
