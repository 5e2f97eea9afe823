/**
 * pip, as a process that can be watched and ended. The user's own pip configuration counts (an
 * index mirror, a proxy); what is installed is settled by the lock's hashes alone.
 */

import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Lite3Error, quote } from "../base/errors.ts";
import { progress } from "../cli/output.ts";
import { requirementsText, type ToolkitLock } from "../rknn_toolkit/locks.ts";
import { runGroup } from "../rknn_toolkit/process_group.ts";

/** A slow line takes minutes for 250 MB of wheels; after this it is a hang. */
const TIMEOUT_MS = 3_600_000;

/** `python -m <name>` that ends with whoever asked for it: PR_SET_PDEATHSIG, SIGKILL. */
const runModule = (python: string, name: string): string[] => [
  python,
  "-I",
  "-c",
  "import ctypes, runpy, sys; ctypes.CDLL(None).prctl(1, 9); " +
    `sys.argv[0] = "${name}"; runpy.run_module("${name}", run_name="__main__", alter_sys=True)`,
];

export interface PipRun {
  /** Names the run in errors: `install rknn-toolkit2 2.5.0`. */
  readonly action: string;
  readonly cure: string;
  readonly lock: ToolkitLock;
  readonly wheels: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Runs `python -m pip <words> -r <lock>` over exactly these wheels. */
export async function runPip(python: string, words: readonly string[], run: PipRun): Promise<void> {
  const scratch = mkdtempSync(join(dirname(python), "..", "scratch-"));
  try {
    const requirements = join(scratch, "requirements.txt");
    writeFileSync(requirements, requirementsText(run.lock, run.wheels));
    const bar = progress(run.action, run.wheels.length);
    let collected = 0;
    const exact = ["--no-deps", "--require-hashes", "--only-binary=:all:", "-r", requirements];
    const quiet = ["--no-input", "--progress-bar=off", "--disable-pip-version-check"];
    const command = [...runModule(python, "pip"), ...words, ...exact, ...quiet];
    await runOrThrow(command, scratch, run, (line) => {
      if (line.startsWith("Collecting ")) bar.update(++collected);
    }).finally(bar.finish);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Makes a virtual environment with pip in it. */
export async function makeEnvironment(
  python: string,
  home: string,
  run: Omit<PipRun, "lock" | "wheels">,
): Promise<string> {
  mkdirSync(home, { recursive: true });
  const scratch = mkdtempSync(join(home, "scratch-"));
  try {
    await runOrThrow([...runModule(python, "venv"), home], scratch, run, () => {});
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return join(home, "bin", "python");
}

async function runOrThrow(
  command: readonly string[],
  scratch: string,
  { action, cure, signal }: Pick<PipRun, "action" | "cure" | "signal">,
  onLine: (line: string) => void,
): Promise<void> {
  const log = join(scratch, "stderr.txt");
  const stderr = openSync(log, "w");
  // Wheels are unpacked there: what is interrupted goes with the environment that it was for.
  const env = { ...process.env, LANG: "C.UTF-8", TMPDIR: scratch };
  try {
    const options = { env, stderr, onLine, timeoutMs: TIMEOUT_MS, signal };
    const { ended, exitCode } = await runGroup(command, options);
    if (ended === "itself" && exitCode === 0) return;
    if (ended === "interrupted") {
      throw new Lite3Error("NATIVE", `Cannot ${action}: interrupted; nothing was changed`);
    }
    const why = ended === "itself" ? reason(readFileSync(log, "utf8")) : "it took over an hour";
    throw new Lite3Error("NATIVE", `Cannot ${action}: ${why}; ${cure}`);
  } finally {
    closeSync(stderr);
  }
}

/** pip's last line of error, which says what was not found; or the wheel of a wrong hash. */
function reason(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const errors = lines.filter((line) => line.startsWith("ERROR:"));
  // Without a connection pip warns of it first, and ends with "No matching distribution found".
  const unreachable = lines.find((line) => /Retrying .*after connection broken by/.test(line));
  const connection = /broken by '(\w+)/.exec(unreachable ?? "")?.[1];
  if (connection !== undefined) return `the package index cannot be reached (${connection})`;
  const spoiled = /DO NOT MATCH THE HASHES[^]*? from \S*?([^\s/]+\.whl)/.exec(text)?.[1];
  if (spoiled !== undefined) {
    return `the wheel ${quote(spoiled)} has not the hash of the lock, it is damaged: get it again`;
  }
  const words = errors.at(-1) ?? lines.at(-1);
  return (words ?? "pip failed without a word").replace(/^ERROR: /, "").slice(0, 300);
}
