/**
 * Runs an aarch64 program on another machine by qemu-user, so that it may also start itself: the
 * kernel is told, in a mount namespace of this command's own, to run aarch64 programs by qemu.
 * Nothing outside of the namespace changes, and no root is needed.
 */

import { AARCH64_LIBRARIES } from "./tools.ts";

/** ELF, 64 bit, little-endian, machine 183 (EM_AARCH64); see the kernel's binfmt-misc. */
const MAGIC =
  "\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00";
const MASK =
  "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff";

/** Registers qemu ($1) for aarch64 with flag F (opened now, used wherever), then runs the rest. */
const SCRIPT = `set -e
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' ':lite3rl-aarch64:M::${MAGIC}:${MASK}:'"$1"':F' > /proc/sys/fs/binfmt_misc/register
shift
exec "$@"`;

/** The command that runs `command` as an aarch64 machine would; as it stands on such a machine. */
export function asAarch64(qemu: string, command: readonly string[]): string[] {
  if (process.arch === "arm64") return [...command];
  const isolated = ["unshare", "--user", "--map-root-user", "--mount"];
  return [...isolated, "sh", "-c", SCRIPT, "sh", qemu, ...command];
}

export const AARCH64_ENV = { QEMU_LD_PREFIX: AARCH64_LIBRARIES } as const;
