/**
 * `--fix`: the board's set-up (the blueprint's chapter 3) as a script to be read and then run.
 * It has the steps that the diagnosis calls for, each of which may be run again.
 */

import { plain, shellWord } from "../base/text.ts";
import { isNumber } from "./account.ts";
import type { Diagnosis } from "./doctor.ts";
import { renderLibraryStep } from "./library_script.ts";
import type { Step } from "./row.ts";

const DRIVER = `
# Driver: load rknpu now and at every start. Vendor kernels have it built in, or as a module.
if [ -d /sys/module/rknpu ]; then
  version="$(cat /sys/module/rknpu/version 2>/dev/null || echo unknown)"
  echo "driver: rknpu $version is there; a newer one comes with the board vendor's newer kernel"
elif modprobe rknpu; then
  mkdir -p /etc/modules-load.d
  echo rknpu > /etc/modules-load.d/rknpu.conf
else
  echo "driver: this kernel ($(uname -r)) has no rknpu. Install the board vendor's 5.10 or 6.1" >&2
  echo "kernel, or build the driver of the vendor's kernel source (drivers/rknpu) for this one" >&2
  echo "(make && make install in it), start again, and run this script again" >&2
  exit 1
fi
if ! ls -d /sys/bus/platform/drivers/RKNPU/*.npu >/dev/null 2>&1; then
  echo "driver: rknpu has no NPU. Enable it in the device tree (the board's overlay), or see" >&2
  echo "dmesg | grep -i rknpu; then start again, and run this script again" >&2
  exit 1
fi
`;

const permission = (user: string): string => `
# Permissions: the service's user opens the NPU through the group video, without rights of root.
user=${shellWord(user)}
if ! id "$user" >/dev/null 2>&1; then
  useradd --system --no-create-home --shell /usr/sbin/nologin "$user"
fi
getent group video >/dev/null || groupadd --system video
usermod -aG video "$user"
mkdir -p /etc/udev/rules.d
cat > /etc/udev/rules.d/60-rknpu.rules <<'RULES'
KERNEL=="rknpu", SUBSYSTEM=="misc", GROUP="video", MODE="0660"
KERNEL=="card*", SUBSYSTEM=="drm", DRIVERS=="RKNPU", GROUP="video", MODE="0660"
RULES
udevadm control --reload
udevadm trigger --subsystem-match=misc --subsystem-match=drm --action=change
udevadm settle
echo "permissions: $user is in video; who is logged in as $user has to log in again"
`;

const SPEED = `
# Clocks: the top speed until the next start, also where something holds it below.
for policy in /sys/devices/system/cpu/cpufreq/policy*; do
  if [ -w "$policy/scaling_max_freq" ]; then
    cat "$policy/cpuinfo_max_freq" > "$policy/scaling_max_freq" || echo "clocks: $policy is held"
  fi
done
for device in /sys/class/devfreq/fdab0000.npu /sys/class/devfreq/dmc; do
  if [ -w "$device/max_freq" ] && [ -r "$device/available_frequencies" ]; then
    tr ' ' '\\n' < "$device/available_frequencies" | sort -n | tail -n 1 > "$device/max_freq" ||
      echo "clocks: $device is held"
  fi
done
for governor in /sys/devices/system/cpu/cpufreq/policy*/scaling_governor \\
  /sys/class/devfreq/fdab0000.npu/governor /sys/class/devfreq/dmc/governor; do
  if [ -w "$governor" ]; then echo performance > "$governor"; fi
done
`;

/** In the order in which they work. */
const STEPS: readonly (readonly [Step, (user: string) => string])[] = [
  ["driver", () => DRIVER],
  ["library", () => renderLibraryStep(true)],
  ["newer library", () => renderLibraryStep(false)],
  ["permission", permission],
  ["speed", () => SPEED],
];

/** The user of the service where nobody is named, or root, who should not run it. */
const SERVICE_USER = "lite3rl";

export function renderFixScript({ board, user, rows }: Diagnosis): string {
  const isCalledFor = (step: Step): boolean => rows.some((row) => row.step === step);
  const wanted = STEPS.filter(
    ([step]) => isCalledFor(step) && !(step === "newer library" && isCalledFor("library")),
  );
  const others = rows.filter(
    ({ state, step }) =>
      (state === "fails" || state === "warning") &&
      (step === undefined || step === "newer library"),
  );
  const isNoName = user === undefined || user === "root" || isNumber(user);
  const serviceUser = isNoName ? SERVICE_USER : user;
  return [
    "#!/usr/bin/env bash",
    "# What lite3rl doctor found to mend. Read it, then run it on the board: sudo bash FILE",
    `# Written for: ${plain(board)}`,
    ...others.map(({ check, mend }) => `# Not in this script: ${check}: ${plain(mend, 400)}`),
    "set -euo pipefail",
    'if [ "$(id -u)" != 0 ]; then echo "run it as root: sudo bash $0" >&2; exit 1; fi',
    "if ! tr '\\0' '\\n' < /proc/device-tree/compatible | grep -q '^rockchip,rk3588'; then",
    '  echo "this is not an RK3588 board" >&2; exit 1',
    "fi",
    ...(wanted.length === 0 ? ["", 'echo "nothing to mend"'] : []),
    wanted.map(([, render]) => render(serviceUser)).join(""),
    'echo "done: lite3rl doctor says what is left"',
  ].join("\n");
}
