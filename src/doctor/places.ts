/**
 * Where the service puts its socket and finds its models, and whether the clock can be trusted.
 */

import { dirname } from "node:path";
import { shellWord } from "../base/text.ts";
import { describeAccess, mayCreateIn, mayEnter, mayOpen } from "./account.ts";
import { type Machine, MISSING, textOf, valueOf } from "./machine.ts";
import { fails, notChecked, ok, type Row, type Subject, warning } from "./row.ts";

/** The blueprint's directory for many models. */
export const STORE = "/opt/models";
/** Directories of everybody's, which no command may give to one user. */
const SHARED = ["/", "/dev", "/dev/shm", "/run", "/run/lock", "/tmp", "/var/run", "/var/tmp"];
/** A directory for the socket alone. */
const PRIVATE = "/run/lite3rl";
/** Touched by systemd-timesyncd once it has the time. */
const SYNCHRONISED = "/run/systemd/timesync/synchronized";
/** Before this program was written: a board without a battery begins in 1970 or at its image. */
const EARLIEST = "2026-01-01";

export function checkPlaces(subject: Subject): Row[] {
  return [checkSocket(subject), checkStore(subject), checkClock(subject.machine)];
}

function checkSocket({ machine, account, socket }: Subject): Row {
  const directory = dirname(socket);
  const reading = machine.stat(directory);
  const needed = "a directory in which the service's user may make its socket";
  const owner = shellWord(account?.name ?? "NAME");
  const make = (place: string): string => {
    const command = `sudo install -d -m 0750 -o ${owner} ${shellWord(place)}`;
    return place.startsWith("/run/") ? `${command} (at every start: RuntimeDirectory=)` : command;
  };
  const elsewhere = `${make(PRIVATE)}, then --socket ${PRIVATE}/policy.sock`;
  if ("missing" in reading) {
    const found = `${directory}: ${MISSING[reading.missing]}`;
    if (reading.missing !== "absent") return notChecked("socket", found);
    return fails("socket", found, needed, SHARED.includes(directory) ? elsewhere : make(directory));
  }
  const found = `${directory} ${describeAccess(machine, reading.value)}`;
  if (reading.value.kind !== "directory") return fails("socket", found, needed, elsewhere);
  if (account === undefined) return notChecked("socket", "there is no user to check it for");
  if (!mayCreateIn(machine, directory, account)) return fails("socket", found, needed, elsewhere);
  // In a directory for all, such as /tmp, what another user left cannot be taken over.
  const left = [socket, `${socket}.lock`].find((path) => {
    const stat = valueOf(machine.stat(path));
    return stat !== undefined && !mayOpen(machine, path, account);
  });
  if (left === undefined) return ok("socket", `${socket}, in ${found}`);
  const stat = valueOf(machine.stat(left));
  const whose = stat === undefined ? "" : ` ${describeAccess(machine, stat)}`;
  return fails(
    "socket",
    `${left}${whose} is another user's`,
    "a free path",
    `sudo rm ${shellWord(left)}`,
  );
}

function checkStore({ machine, account }: Subject): Row {
  const reading = machine.stat(STORE);
  if ("missing" in reading) {
    return notChecked("model store", `${STORE}: ${MISSING[reading.missing]}; --model needs none`);
  }
  const found = `${STORE} ${describeAccess(machine, reading.value)}`;
  if (account === undefined) return notChecked("model store", `${found}; there is no user`);
  if (reading.value.kind === "directory" && mayEnter(machine, STORE, account)) {
    return ok("model store", found);
  }
  return warning(
    "model store",
    found,
    "models that the service may read",
    `sudo chmod 0755 ${STORE}`,
  );
}

/** The time is that of the machine: when it started, and for how long it has run. */
function checkClock(machine: Machine): Row {
  const started = Number(/^btime (\d+)$/m.exec(textOf(machine, "/proc/stat") ?? "")?.[1] ?? NaN);
  const uptime = Number.parseFloat(textOf(machine, "/proc/uptime") ?? "");
  const now = new Date((started + uptime) * 1000);
  if (Number.isNaN(now.getTime())) return notChecked("clock", "/proc does not say the time");
  const shown = `${now.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const mend = "sudo timedatectl set-ntp true";
  if (now < new Date(EARLIEST)) {
    return warning("clock", shown, `a time after ${EARLIEST}: logs and reports carry it`, mend);
  }
  const isSynchronised = valueOf(machine.stat(SYNCHRONISED)) !== undefined;
  if (isSynchronised) return ok("clock", `${shown}, synchronised`);
  if (valueOf(machine.stat("/run/chrony")) !== undefined)
    return ok("clock", `${shown}, chrony runs`);
  return warning(
    "clock",
    `${shown}, not known to be synchronised`,
    "the network's time: logs and reports carry it",
    mend,
  );
}
