/**
 * The program as a user runs it, for tests: a process of its own, from source, with time limits.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
const LIMIT_MS = 60_000;

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

export const DEMO_POLICY = join(ROOT, "fixtures", "demo_policy");
export const OBS_STATS = join(DEMO_POLICY, "obs_stats.npz");
/** What a program gives that fails: one line on stderr, nothing on stdout. */
export const failed = (status: number, message: string): Ran => ({
  status,
  stdout: "",
  stderr: `error: ${message}\n`,
});

/** Directories made by `temporaryDirectory`, until `removeTemporary`. */
const made: string[] = [];

/** A short path, so that sockets in it have a legal name. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "l3-"));
  made.push(path);
  return path;
}

export function removeTemporary(): void {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
}

/** Starts the program in a process group of its own; killed after a minute in any case. */
export function start(args: readonly string[], { cwd = ROOT, env = {} }: RunOptions = {}) {
  return Bun.spawn([process.execPath, join(ROOT, "src", "main.ts"), ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
    detached: true,
  });
}

export type Program = ReturnType<typeof start>;

/** Runs the program to its end. */
export async function run(args: readonly string[], options?: RunOptions): Promise<Ran> {
  const child = start(args, options);
  const [status, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return { status, stdout, stderr };
}

/** Runs the program with `--json` and parses its one document. */
export async function runJson(
  args: readonly string[],
  options?: RunOptions,
): Promise<{ status: number; json: Record<string, unknown>; stderr: string }> {
  const { status, stdout, stderr } = await run([...args, "--json"], options);
  return { status, json: JSON.parse(stdout) as Record<string, unknown>, stderr };
}

/** Exports the demo policy as `<name>` in `directory`; `more` are flags of `export`. */
export async function exportDemoPolicy(
  directory: string,
  name = "policy.onnx",
  more: readonly string[] = ["--obs-stats", OBS_STATS, "--normalizer", "external"],
): Promise<string> {
  const output = join(directory, name);
  const config = join(DEMO_POLICY, "actor_config.yaml");
  const checkpoint = join(DEMO_POLICY, "policy.pt");
  const ran = await run([
    "export",
    checkpoint,
    "--config",
    config,
    "--output",
    output,
    "--quiet",
    ...more,
  ]);
  if (ran.status !== 0) throw new Error(`export failed: ${ran.stderr}`);
  return output;
}

/** Waits for `text` to hold the pattern; throws when the stream ends before. */
export class TextStream {
  text = "";
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.text);
      if (found !== null) return found;
      if (!(await this.#more())) throw new Error(`no ${pattern} in ${JSON.stringify(this.text)}`);
    }
  }

  async rest(): Promise<string> {
    while (await this.#more());
    return this.text;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#reader.read();
    this.text += this.#decoder.decode(value, { stream: !done });
    return !done;
  }
}
