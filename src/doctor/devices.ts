/**
 * The nodes through which librknnrt reaches the NPU, and whether the service's user may open them.
 */

import { dirname } from "node:path";
import { shellWord } from "../base/text.ts";
import { CARDS, npuNodes, OWN_NODE } from "../runtime/npu_nodes.ts";
import { describeAccess, groupName, isNumber, mayOpen } from "./account.ts";
import { hasDrivers, NO_DRIVERS } from "./driver.ts";
import { type FileStat, filesOf, type Machine, valueOf, whyUnknown } from "./machine.ts";
import { fails, notChecked, ok, type Row, type Subject, warning } from "./row.ts";

interface DeviceNode {
  readonly path: string;
  readonly stat: FileStat;
}

export function checkDevices(subject: Subject): Row[] {
  const nodes = findNodes(subject.machine);
  return [checkNodes(subject.machine, nodes), checkUser(subject), checkPermission(subject, nodes)];
}

function findNodes(machine: Machine): DeviceNode[] {
  return npuNodes(filesOf(machine)).flatMap((path) => {
    const stat = valueOf(machine.stat(path));
    return stat?.kind === "character" ? [{ path, stat }] : [];
  });
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
  if (account === undefined && isNumber(userName)) {
    const found = `no user of /etc/passwd has the number ${userName}`;
    return fails("user", found, "the user who runs the service", "lite3rl doctor --user NAME");
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
