/**
 * The nodes through which librknnrt reaches the NPU, in the order in which it looks, and whether
 * the service's user may open them.
 *
 * The order was seen with librknnrt 1.5.2: `/dev/rknpu` for reading and writing, then the DRM
 * cards 0 to 15 whose driver is named rknpu. It never opens the render nodes.
 */

import { dirname } from "node:path";
import { shellWord } from "../base/text.ts";
import { describeAccess, groupName, mayOpen } from "./account.ts";
import { hasDrivers, isDriverBound, NO_DRIVERS } from "./driver.ts";
import { type FileStat, type Machine, namesLike, textOf, valueOf, whyUnknown } from "./machine.ts";
import { fails, notChecked, ok, type Row, type Subject, warning } from "./row.ts";

const OWN_NODE = "/dev/rknpu";
const CARDS = "/dev/dri";

interface DeviceNode {
  readonly path: string;
  readonly stat: FileStat;
}

export function checkDevices(subject: Subject): Row[] {
  const nodes = findNodes(subject.machine);
  return [checkNodes(subject.machine, nodes), checkUser(subject), checkPermission(subject, nodes)];
}

function findNodes(machine: Machine): DeviceNode[] {
  const cards = namesLike(machine, CARDS, /^card(\d|1[0-5])$/).filter(
    (card) => driverOf(machine, card) === "rknpu",
  );
  return [OWN_NODE, ...cards.map((card) => `${CARDS}/${card}`)].flatMap((path) => {
    const stat = valueOf(machine.stat(path));
    return stat?.kind === "character" ? [{ path, stat }] : [];
  });
}

/**
 * The card's driver in small letters. Where the kernel's module comes from outside of it, the
 * card hangs from a device that names no driver; it is the NPU's if the NPU has a driver.
 */
function driverOf(machine: Machine, card: string): string | undefined {
  const uevent = textOf(machine, `/sys/class/drm/${card}/device/uevent`);
  const named = /^DRIVER=(.+)$/m.exec(uevent ?? "")?.[1]?.toLowerCase();
  return named ?? (uevent === "" && isDriverBound(machine) ? "rknpu" : undefined);
}

function checkNodes(machine: Machine, nodes: readonly DeviceNode[]): Row {
  if (nodes.length === 0) {
    const unknown = whyUnknown(machine.stat(OWN_NODE)) ?? whyUnknown(machine.names(CARDS));
    if (unknown !== undefined) return notChecked("device node", `/dev: ${unknown}`);
    if (!hasDrivers(machine)) return notChecked("device node", NO_DRIVERS);
    return fails(
      "device node",
      `neither ${OWN_NODE} nor a DRM card of rknpu`,
      "a node of the driver",
      "mend the driver first",
    );
  }
  const texts = nodes.map(({ path, stat }) => `${path} ${describeAccess(machine, stat)}`);
  return ok("device node", texts.join(", "));
}

function checkUser({ machine, userName, account }: Subject): Row {
  if (userName === undefined) {
    return notChecked("user", "nobody said who runs the service", "lite3rl doctor --user NAME");
  }
  if (account === undefined) {
    return fails(
      "user",
      `${userName} is not in /etc/passwd`,
      "the user who runs the service",
      `sudo useradd --system --shell /usr/sbin/nologin ${shellWord(userName)}`,
      "permission",
    );
  }
  const groups = account.gids.map((gid) => groupName(machine, gid)).join(", ");
  const found = `${account.name}, in ${groups}`;
  if (account.uid !== 0) return ok("user", found);
  const needed = "a user without rights of its own: the service needs none";
  return warning("user", found, needed, "lite3rl doctor --user NAME", "permission");
}

function checkPermission({ machine, account }: Subject, nodes: readonly DeviceNode[]): Row {
  if (account === undefined) return notChecked("permission", "there is no user to check it for");
  if (nodes.length === 0) return notChecked("permission", "there is no device node");
  const { name } = account;
  const open = nodes.find(({ path }) => mayOpen(machine, path, account));
  if (open !== undefined) return ok("permission", `${name} may open ${open.path}`);
  const [{ path, stat }] = nodes as [DeviceNode, ...DeviceNode[]];
  const group = groupName(machine, stat.gid);
  const found = `${name} may not open ${path} (${describeAccess(machine, stat)})`;
  const needed = "reading and writing for the service's user";
  const isForGroup = (stat.mode & 0o060) === 0o060 && stat.gid !== 0;
  if (isForGroup && account.gids.includes(stat.gid)) {
    const mend =
      account.name === machine.opensFor
        ? "log in again: the group takes effect with the next login"
        : `ls -ld /dev ${dirname(path)}: a directory above lets ${name} not through`;
    return fails("permission", found, needed, mend);
  }
  const mend = isForGroup
    ? `sudo usermod -aG ${shellWord(group)} ${shellWord(account.name)}`
    : "lite3rl doctor --fix: a udev rule gives it to the group video";
  return fails("permission", found, needed, mend, "permission");
}
