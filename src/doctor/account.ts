/**
 * Users and groups of the machine that is looked at, and what they may do with a file.
 */

import { dirname } from "node:path";
import { type FileStat, type Machine, textOf, valueOf } from "./machine.ts";

export const PASSWD = "/etc/passwd";
export const GROUP = "/etc/group";

/** Names as useradd allows them; others are not shown, and never part of a command. */
export const NAME = /^[\w.][\w.@-]*\$?$/;

export interface Account {
  readonly name: string;
  readonly uid: number;
  /** The first is the user's own. */
  readonly gids: readonly number[];
}

/** The user of a name or number in /etc/passwd, with the groups of /etc/group. */
export function accountOf(machine: Machine, who: string | number): Account | undefined {
  const fields = records(machine, PASSWD).find(
    ([name, , uid]) => name === who || Number(uid) === who,
  );
  const [name = "", , uid, gid] = fields ?? [];
  if (!NAME.test(name)) return undefined;
  const joined = records(machine, GROUP)
    .filter(([, , , members = ""]) => members.split(",").includes(name))
    .map(([, , id]) => Number(id));
  return { name, uid: Number(uid), gids: [...new Set([Number(gid), ...joined])] };
}

/** The user as a person names one: a name, or else a number. */
export function accountNamed(machine: Machine, who: string): Account | undefined {
  return accountOf(machine, who) ?? (isNumber(who) ? accountOf(machine, Number(who)) : undefined);
}

export const isNumber = (who: string): boolean => /^\d+$/.test(who);

/** Rows of a file such as /etc/passwd. */
function records(machine: Machine, path: string): string[][] {
  const lines = textOf(machine, path)?.split("\n") ?? [];
  return lines.map((line) => line.split(":"));
}

export function groupName(machine: Machine, gid: number): string {
  return nameOf(machine, GROUP, gid);
}

/** `0660 root:video`. */
export function describeAccess(machine: Machine, { mode, uid, gid }: FileStat): string {
  const owner = nameOf(machine, PASSWD, uid);
  return `${mode.toString(8).padStart(4, "0")} ${owner}:${groupName(machine, gid)}`;
}

function nameOf(machine: Machine, path: string, id: number): string {
  const name = records(machine, path).find(([, , other]) => Number(other) === id)?.[0] ?? "";
  return NAME.test(name) ? name : String(id);
}

/** `rwx` bits as in a mode: 4 reads, 2 writes, 1 passes through a directory. */
const READ_WRITE = 6;
const WRITE_PASS = 3;
const PASS = 1;

function mayUse({ mode, uid, gid }: FileStat, account: Account, bits: number): boolean {
  if (account.uid === 0) return true;
  const shift = uid === account.uid ? 6 : account.gids.includes(gid) ? 3 : 0;
  return ((mode >> shift) & bits) === bits;
}

/** Whether every directory above lets the user through. */
function mayReach(machine: Machine, path: string, account: Account): boolean {
  const parent = dirname(path);
  const stat = valueOf(machine.stat(parent));
  // What cannot be seen is not held against the path.
  const passes = stat === undefined || mayUse(stat, account, PASS);
  return passes && (parent === "/" || mayReach(machine, parent, account));
}

/**
 * Whether the user may open a device for reading and writing. For the user who runs the doctor
 * the kernel's own word is taken, which knows of access lists.
 */
export function mayOpen(machine: Machine, path: string, account: Account): boolean {
  const stat = valueOf(machine.stat(path));
  if (stat === undefined) return false;
  if (account.name === machine.opensFor) return stat.opens;
  return mayUse(stat, account, READ_WRITE) && mayReach(machine, path, account);
}

/** Whether the user may make files in a directory. */
export function mayCreateIn(machine: Machine, directory: string, account: Account): boolean {
  const stat = valueOf(machine.stat(directory));
  return (
    stat !== undefined && mayUse(stat, account, WRITE_PASS) && mayReach(machine, directory, account)
  );
}

/** Whether the user may list a directory and open what is in it. */
export function mayEnter(machine: Machine, directory: string, account: Account): boolean {
  const stat = valueOf(machine.stat(directory));
  return stat !== undefined && mayUse(stat, account, 5) && mayReach(machine, directory, account);
}
