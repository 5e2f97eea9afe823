/**
 * `--capture`: a machine's files for a bug report, without secrets.
 *
 * The doctor runs over a machine that remembers what it is asked; what it asked for is the
 * capture. The list of what may be in it stands here; a check that reads anything else fails its
 * tests before it can leak. Files that hold more than the doctor needs are cut to what it reads,
 * and libraries to their tables, since the vendor's may not be passed on.
 */

import { version } from "../../package.json" with { type: "json" };
import { assert } from "../base/assert.ts";
import { FormatError } from "../base/errors.ts";
import { parseElf } from "../formats/elf.ts";
import { encodeElf } from "../formats/elf_skeleton.ts";
import { type Account, accountOf, GROUP, PASSWD } from "./account.ts";
import { CAPTURE_FORMAT, type CaptureIndex, INDEX, type PathRecord } from "./captured.ts";
import { readVersionText } from "./library.ts";
import { decodeText, type Machine, valueOf } from "./machine.ts";

/** Files and directories that a capture may hold, as globs, with what is kept of each. */
export const ALLOWED: readonly (readonly [paths: string, kept: string])[] = [
  ["/proc/device-tree/{compatible,model}", "names of board and SoC"],
  ["/proc/device-tree/npu@fdab0000/status", "whether the NPU is enabled"],
  ["/proc/{meminfo,uptime}", "as they are"],
  ["/proc/sys/kernel/osrelease", "the kernel's version"],
  ["/proc/cpuinfo", "the processor's name"],
  ["/proc/stat", "the time of the start"],
  ["/proc/self/status", "the cores that may be used"],
  ["/etc/os-release", "the system's name"],
  ["/etc/passwd", "root and the service's user"],
  ["/etc/group", "that user's groups and those of the files' owners, without other members"],
  ["/lib/modules/*/modules.dep", "lines of rknpu"],
  ["/sys/module/rknpu{,/version}", "as they are"],
  ["/sys/kernel/debug/rknpu/version", "as it is"],
  ["/sys/bus/platform/drivers/{RKNPU,rocket}", "names in it"],
  ["/sys/class/drm/card*/device/uevent", "the driver's name"],
  ["/sys/devices/system/cpu/{present,online}", "as they are"],
  ["/sys/devices/system/cpu/cpufreq/policy*/*", "governors and clocks"],
  ["/sys/class/devfreq/*/*", "governors and clocks"],
  ["/sys/class/thermal/*/{type,temp}", "as they are"],
  ["/sys/class/hwmon/{hwmon*,hwmon*/name}", "names of sensors"],
  ["/{lib,usr/lib,usr/local/lib,lib64,usr/lib64}/{*.so,*.so.*}", "tables of names and versions"],
  ["/{lib,usr/lib}/aarch64-linux-gnu/{*.so,*.so.*}", "tables of names and versions"],
  ["/dev/{rknpu,dri,dri/card*}", "modes and owners"],
  ["/{opt/models,run/chrony}", "mode and owner"],
  ["/run/systemd/timesync/synchronized", "whether it is there"],
];

export interface Recorder {
  readonly machine: Machine;
  /** What was asked so far, as a tar. `user` is the service's user. */
  encode(user: string | undefined): Promise<Uint8Array>;
  /** Paths whose content is in it, sorted. */
  contents(): readonly string[];
}

/** `named` are paths that flags name, which are allowed as well: a library, the socket. */
export function recordMachine(machine: Machine, named: readonly string[]): Recorder {
  const paths = new Map<string, Mutable<PathRecord>>();
  const files = new Map<string, Uint8Array>();
  const record = (path: string): Mutable<PathRecord> => {
    assert(isAllowed(path, named), `the doctor reads ${path}, which no capture may hold`);
    const known = paths.get(path) ?? {};
    paths.set(path, known);
    return known;
  };
  const recording: Machine = {
    ...machine,
    stat(path) {
      const reading = machine.stat(path);
      record(path).stat = reading;
      return reading;
    },
    names(path) {
      const reading = machine.names(path);
      record(path).names = "value" in reading ? { value: [...reading.value] } : reading;
      return reading;
    },
    bytes(path) {
      const reading = machine.bytes(path);
      record(path).bytes = "value" in reading ? { value: "file" } : reading;
      if ("value" in reading) files.set(path, reading.value);
      return reading;
    },
  };
  return {
    machine: recording,
    contents: () => [...files.keys()].sort(),
    encode(user) {
      const index: CaptureIndex = {
        format: CAPTURE_FORMAT,
        version,
        ...(user !== undefined && { user }),
        isByUser: user !== undefined && user === machine.opensFor,
        unlisted: "not captured",
        paths: Object.fromEntries([...paths].sort(([a], [b]) => (a < b ? -1 : 1))),
      };
      const account = user === undefined ? undefined : accountOf(machine, user);
      const gids = [...paths.values()].flatMap(({ stat }) => (stat && valueOf(stat)?.gid) ?? []);
      const kept = [...files].map(([path, bytes]) => {
        const isLibrary = named.includes(path) || /\.so(?:\.\d+)*$/.test(path);
        const reduced = isLibrary ? reduceLibrary(bytes) : reduceText(path, bytes, account, gids);
        return [path, reduced] as const;
      });
      return encodeCapture(index, new Map(kept));
    },
  };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The index and the files under their own paths, as a tar. */
export function encodeCapture(
  index: CaptureIndex,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<Uint8Array> {
  const entries = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const archive = new Bun.Archive({
    [INDEX]: `${JSON.stringify(index, null, 1)}\n`,
    ...Object.fromEntries(entries.map(([path, bytes]) => [path.slice(1), bytes])),
  });
  return archive.bytes();
}

/** Directories above what is allowed count as allowed: their mode, owner and names. */
function isAllowed(path: string, named: readonly string[]): boolean {
  const patterns = ALLOWED.map(([paths]) => paths);
  const below = path === "/" ? "/" : `${path}/`;
  return (
    named.includes(path) ||
    patterns.some((pattern) => new Bun.Glob(pattern).match(path)) ||
    [...expand(patterns), ...named].some((allowed) => allowed.startsWith(below))
  );
}

/** Braces at the beginning of a pattern as patterns of their own. */
function expand(patterns: readonly string[]): string[] {
  return patterns.flatMap((pattern) => {
    const found = /^([^{]*)\{([^{}]*)\}(.*)$/.exec(pattern);
    if (found === null) return [pattern];
    const [, before = "", choices = "", after = ""] = found;
    return expand(choices.split(",").map((choice) => `${before}${choice}${after}`));
  });
}

/** Lines that are kept of files that hold more. */
const KEPT_LINES: Readonly<Record<string, RegExp>> = {
  "/proc/cpuinfo": /^model name/,
  "/proc/stat": /^btime /,
  "/proc/self/status": /^Cpus_allowed_list:/,
};

function reduceText(
  path: string,
  bytes: Uint8Array,
  account: Account | undefined,
  gids: readonly number[],
): Uint8Array {
  const pattern = path.endsWith("/modules.dep") ? /rknpu/ : KEPT_LINES[path];
  if (pattern !== undefined) {
    return mapLines(bytes, (line) => (pattern.test(line) ? line : undefined));
  }
  if (path === PASSWD) return mapLines(bytes, (line) => reduceUser(line.split(":"), account));
  if (path === GROUP) return mapLines(bytes, (line) => reduceGroup(line.split(":"), account, gids));
  return bytes;
}

function mapLines(bytes: Uint8Array, keep: (line: string) => string | undefined): Uint8Array {
  const lines = decodeText(bytes).split("\n");
  const kept = lines.flatMap((line) => keep(line) ?? []).map((line) => `${line}\n`);
  return new TextEncoder().encode(kept.join(""));
}

/** Name and numbers alone. */
function reduceUser(
  [name, , uid, gid]: string[],
  account: Account | undefined,
): string | undefined {
  return name === account?.name || uid === "0" ? `${name}:x:${uid}:${gid}:::` : undefined;
}

/** Numbers from here on belong to people. */
const PEOPLE_GID_MIN = 1_000;

/** The user's groups, and those of the system to which what was looked at belongs. */
function reduceGroup(
  [name, , id, members = ""]: string[],
  account: Account | undefined,
  gids: readonly number[],
): string | undefined {
  const gid = Number(id);
  const isOwner = gids.includes(gid) && gid < PEOPLE_GID_MIN;
  if (name === "" || !(isOwner || account?.gids.includes(gid))) return undefined;
  return `${name}:x:${gid}:${members
    .split(",")
    .filter((one) => one === account?.name)
    .join("")}`;
}

/** Tables without code, names of the NPU's functions alone, and the version. */
function reduceLibrary(bytes: Uint8Array): Uint8Array {
  try {
    const library = parseElf(bytes);
    const symbols = library.symbols.filter((name) => name.startsWith("rknn_"));
    return encodeElf({ ...library, symbols }, readVersionText(bytes));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    // What it begins with says what it is, and why it is no library for the board.
    return bytes.slice(0, 64);
  }
}

/** What a capture may hold, for those who are asked to pass one on. */
export function describeAllowed(): string {
  return ALLOWED.map(([paths, kept]) => `  ${paths}: ${kept}`).join("\n");
}
