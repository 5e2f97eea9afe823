/**
 * The program as a user runs it, for tests: a process of its own, from source, with time limits.
 */

import { join } from "node:path";
import { DEMO_POLICY } from "../policy/policy_fixture.ts";

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
  /** Words of another program that runs this one: `unshare -r`. */
  readonly through?: readonly string[];
}

export interface StartOptions extends RunOptions {
  /** A pipe from the test; otherwise there is nothing to read. */
  readonly stdin?: "pipe";
}

export const OBS_STATS = DEMO_POLICY.obsStats;
/** What a program gives that fails: one line on stderr, nothing on stdout. */
export const failed = (status: number, message: string): Ran => ({
  status,
  stdout: "",
  stderr: `error: ${message}\n`,
});

/** Starts the program in a process group of its own; killed after a minute in any case. */
export function start(args: readonly string[], options: StartOptions = {}) {
  const { cwd = ROOT, env = {}, through = [], stdin = "ignore" } = options;
  return Bun.spawn([...through, process.execPath, join(ROOT, "src", "main.ts"), ...args], {
    cwd,
    env: { ...process.env, GITHUB_ACTIONS: "", ...env },
    stdio: [stdin, "pipe", "pipe"],
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
  const { checkpoint, config } = DEMO_POLICY;
  const flags = ["--config", config, "--output", output, "--no-check", ...more];
  const ran = await run(["export", checkpoint, ...flags]);
  if (ran.status !== 0) throw new Error(`export failed: ${ran.stderr}`);
  return output;
}

/** Waits for `text` to hold the pattern; throws when the stream ends before. */
export class TextStream {
  text = "";
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
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
    const { value, done = false } = await this.#chunks.next();
    this.text += this.#decoder.decode(value as Uint8Array | undefined, { stream: !done });
    return !done;
  }
}
