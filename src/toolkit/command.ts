/**
 * `lite3rl toolkit`: the words. rknn-toolkit2 is Python only and is what makes a .rknn; it lives
 * in virtual environments of its own under the user's cache.
 */

import { rmSync } from "node:fs";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { type Stop, stopOnSignals } from "../base/stop.ts";
import { plural, shellWord } from "../base/text.ts";
import {
  type CommandResult,
  defineCommand,
  flagName,
  numberValue,
  pathValue,
  textValue,
} from "../cli/command.ts";
import { figure, passed, seconds, table } from "../cli/output.ts";
import { MAE_GATE } from "../compare/statistics.ts";
import {
  type InstalledToolkit,
  installedToolkits,
  toolkitRoot,
  unfinishedToolkits,
} from "../rknn_toolkit/environment.ts";
import { DEFAULT_TOOLKIT, TOOLKIT_LOCKS } from "../rknn_toolkit/locks.ts";
import { compareVersions, regressions, type VersionBuild } from "./compare_versions.ts";
import { downloadWheels } from "./download.ts";
import { installToolkit } from "./install.ts";

interface ToolkitFlags {
  readonly toolkit?: string | undefined;
  readonly python?: string | undefined;
  readonly wheelhouse?: string | undefined;
  readonly for?: string | undefined;
  readonly dataset?: string | undefined;
  readonly obsStats?: string | undefined;
  readonly target?: string | undefined;
  readonly mae?: number | undefined;
}

interface Action {
  /** Its own arguments, as help writes them. */
  readonly arguments: readonly string[];
  readonly flags: readonly (keyof ToolkitFlags)[];
  run(names: readonly string[], flags: ToolkitFlags, stop: Stop): Promise<CommandResult>;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  install: { arguments: [], flags: ["toolkit", "python", "wheelhouse"], run: install },
  download: { arguments: ["DIR"], flags: ["toolkit", "python", "for"], run: download },
  status: { arguments: [], flags: [], run: status },
  remove: { arguments: [], flags: ["toolkit"], run: remove },
  compare: {
    arguments: ["OLD", "NEW", "MODEL"],
    flags: ["dataset", "obsStats", "target", "mae"],
    run: compare,
  },
};
const FLAGS = Object.values(ACTIONS).flatMap(({ flags }) => flags);

export default defineCommand({
  name: "toolkit",
  positionals: "<action> [...arguments]",
  summary: "Install rknn-toolkit2, which makes .rknn files, and see what is installed",
  details: [
    "  install                 make its environment from pinned wheels, and try it",
    "  download DIR            fetch the wheels, for machines without a network",
    "  status                  what is installed, and what can be",
    "  remove                  remove all, or that of --toolkit",
    "  compare OLD NEW MODEL   build one model with two versions, side by side",
  ],
  example: "toolkit install",
  unused: ([word = ""]) => FLAGS.filter((key) => ACTIONS[word]?.flags.includes(key) === false),
  flags: {
    toolkit: {
      value: "<version>",
      help: `Version of rknn-toolkit2 (default: ${DEFAULT_TOOLKIT}; remove: all)`,
      schema: v.optional(textValue("a version such as 2.5.0")),
    },
    python: {
      value: "<path>",
      help: "install, download: the Python to use, 3.8 to 3.12 (default: from PATH)",
      schema: v.optional(pathValue()),
    },
    wheelhouse: {
      value: "<dir>",
      help: "install: take the wheels from there, without a network",
      schema: v.optional(pathValue()),
    },
    for: {
      value: "<environment>",
      help: "download: Python and machine, such as cp311-aarch64 (default: these)",
      schema: v.optional(textValue("an environment such as cp311-aarch64")),
    },
    dataset: {
      value: "<npy|npz|mcap>",
      help: "compare: observations before any normalizer; makes int8 builds too",
      schema: v.optional(pathValue()),
    },
    obsStats: {
      value: "<npz>",
      help: "compare: mean and std that belong before the network; applied to the set",
      schema: v.optional(pathValue()),
    },
    target: {
      value: "<platform>",
      help: "compare: the platform to build for (default: rk3588)",
      schema: v.optional(textValue("a platform such as rk3588")),
    },
    mae: {
      value: "<limit>",
      help: `compare: mean absolute error that still passes (default: ${MAE_GATE})`,
      schema: v.optional(numberValue(0, 1e6)),
    },
  },
  async run([word = "", ...names], flags: ToolkitFlags) {
    const action = Object.hasOwn(ACTIONS, word) ? ACTIONS[word] : undefined;
    if (action === undefined) {
      const known = Object.keys(ACTIONS).join(", ");
      throw new Lite3Error(
        "USAGE",
        `Unknown action ${quote(word)} for toolkit: need one of ${known}`,
      );
    }
    checkUse(word, action, names, flags);
    using stop = stopOnSignals();
    return await action.run(names, flags, stop);
  },
});

/** The arguments are those of this action, and no flag is one of another action's. */
function checkUse(
  word: string,
  action: Action,
  names: readonly string[],
  flags: ToolkitFlags,
): void {
  if (names.length !== action.arguments.length) {
    const usage = ["lite3rl toolkit", word, ...action.arguments].join(" ");
    throw new Lite3Error(
      "USAGE",
      `toolkit ${word} takes ${plural(action.arguments.length, "argument")}, ` +
        `got ${names.length}: ${usage}`,
    );
  }
  const stray = FLAGS.find((key) => flags[key] !== undefined && !action.flags.includes(key));
  if (stray === undefined) return;
  const users = Object.keys(ACTIONS).filter((name) => ACTIONS[name]?.flags.includes(stray));
  throw new Lite3Error(
    "USAGE",
    `${flagName(stray)} is for toolkit ${users.join(", ")}, not ${word}`,
  );
}

async function install(
  _: readonly string[],
  { toolkit: version = DEFAULT_TOOLKIT, python, wheelhouse }: ToolkitFlags,
  { signal }: Stop,
): Promise<CommandResult> {
  const options = { toolkit: version, python, wheelhouse, signal };
  const { toolkit, wasThere } = await installToolkit(options);
  const begin = wasThere ? "was there and works" : "installed";
  return {
    json: { wasThere, ...toolkit },
    text: `rknn-toolkit2 ${version} ${begin}: ${toolkit.home}${proof(toolkit)}`,
  };
}

/** `, 625 MB; self-test: fp16 MAE 1e-4, w8a8 MAE 0.01`. */
function proof({ selfTest, bytes }: InstalledToolkit): string {
  const size = bytes === undefined ? "" : `, ${megabytes(bytes)}`;
  if (selfTest === undefined) return size;
  const { fp16, w8a8 } = selfTest;
  return `${size}; self-test: fp16 MAE ${figure(fp16.mae)}, w8a8 MAE ${figure(w8a8.mae)}`;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

async function download(
  [directory = ""]: readonly string[],
  { toolkit = DEFAULT_TOOLKIT, python, for: environment }: ToolkitFlags,
  { signal }: Stop,
): Promise<CommandResult> {
  const done = await downloadWheels({ directory, toolkit, python, environment, signal });
  return {
    json: { toolkit, ...done },
    text:
      `rknn-toolkit2 ${toolkit} for ${done.environment}: ${plural(done.wheels.length, "wheel")} ` +
      `in ${done.directory}\n$ lite3rl toolkit install --toolkit ${toolkit} ` +
      `--wheelhouse ${shellWord(directory)}`,
  };
}

async function status(): Promise<CommandResult> {
  const [installed, unfinished] = [installedToolkits(), unfinishedToolkits()];
  const rows = installed.map(({ version, pythonVersion, bytes, selfTest, home }) => [
    version,
    pythonVersion,
    bytes === undefined ? "" : megabytes(bytes),
    selfTest === undefined ? "" : `${figure(selfTest.fp16.mae)} / ${figure(selfTest.w8a8.mae)}`,
    home,
  ]);
  const locks = TOOLKIT_LOCKS.map(({ toolkit, environments, missing }) => ({
    toolkit,
    environments: Object.keys(environments),
    missing: Object.keys(missing),
  }));
  const pythonsOf = (machine: string, environments: readonly string[]): string => {
    const found = environments.filter((name) => name.endsWith(machine));
    return found.map((name) => `3.${name.slice(3).split("-")[0]}`).join(" ") || "no wheels exist";
  };
  const can = locks.map(({ toolkit, environments }) => [
    toolkit,
    pythonsOf("x86_64", environments),
    pythonsOf("aarch64", environments),
  ]);
  return {
    json: { root: toolkitRoot(), installed, unfinished, locks },
    text: [
      installed.length === 0
        ? `no rknn-toolkit2 is installed in ${toolkitRoot()}\n$ lite3rl toolkit install`
        : table(["installed", "Python", "size", "self-test MAE fp16 / w8a8", "place"], rows),
      ...unfinished.map((home) => `unfinished: ${home}: lite3rl toolkit remove`),
      "",
      table(["can be installed", "Python, x86_64", "Python, aarch64"], can),
    ].join("\n"),
  };
}

async function remove(_: readonly string[], { toolkit }: ToolkitFlags): Promise<CommandResult> {
  const installed = installedToolkits();
  const chosen = installed.filter(({ version }) => toolkit === undefined || version === toolkit);
  if (toolkit !== undefined && chosen.length === 0) {
    const there = [...new Set(installed.map(({ version }) => version))].join(", ") || "none";
    throw new Lite3Error(
      "NOT_FOUND",
      `Cannot remove rknn-toolkit2 ${quote(toolkit)}: it is not installed, there is ${there}`,
    );
  }
  const unfinished = toolkit === undefined ? unfinishedToolkits() : [];
  for (const home of [...chosen.map((one) => one.home), ...unfinished]) {
    rmSync(home, { recursive: true, force: true });
  }
  const removed = chosen.map(({ version, pythonVersion, home }) => ({
    version,
    pythonVersion,
    home,
  }));
  const lines = removed.map(
    ({ version, pythonVersion }) => `removed rknn-toolkit2 ${version} for Python ${pythonVersion}`,
  );
  lines.push(...unfinished.map((home) => `removed what an install left: ${home}`));
  return {
    json: { removed, unfinished },
    text: lines.join("\n") || "no rknn-toolkit2 is installed",
  };
}

async function compare(
  [old = "", now = "", model = ""]: readonly string[],
  { dataset, obsStats, target = "rk3588", mae = MAE_GATE }: ToolkitFlags,
  { signal }: Stop,
): Promise<CommandResult> {
  const versions = [old, now] as const;
  const files = { model, dataset, obsStats };
  const builds = await compareVersions({ versions, ...files, target, mae, signal });
  const worse = regressions(builds, versions);
  const isUseless = !builds.some(({ version, pass }) => version === now && pass);
  const rows = builds.map((one) => [one.precision, one.version, ...columns(one), verdict(one)]);
  const failures = builds.flatMap(({ message }) => message ?? []);
  const head = ["precision", "toolkit", "bytes", "time", "MAE", "max", `MAE ≤ ${figure(mae)}`];
  const reason =
    worse.length > 0
      ? `${now} fails where ${old} passes: ${worse.join(", ")}`
      : `no build of ${now} passes`;
  const pass = worse.length === 0 && !isUseless;
  return {
    json: { pass, gate: { mae }, builds },
    text: [table(head, rows, ["bytes", "time", "MAE", "max"]), ...failures].join("\n"),
    ...(!pass && { failure: reason }),
  };
}

function columns({ bytes, seconds: time, mae, max }: VersionBuild): string[] {
  return [bytes ?? "", time === undefined ? "" : seconds(time), mae, max].map((value) =>
    typeof value === "number" && value !== bytes ? figure(value) : String(value ?? ""),
  );
}

const verdict = ({ failure, pass }: VersionBuild): string => failure ?? passed(pass);
