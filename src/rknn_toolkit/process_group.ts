/**
 * A program with everything that it starts, run to its end: by itself, at a time limit, or because
 * the user wants to stop. It leads a process group of its own, so that all of it is ended.
 */

import { stopOnSignals } from "../base/stop.ts";

export interface GroupOptions {
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A descriptor for stderr. */
  readonly stderr: number;
  /** Called with each line of stdout. */
  readonly onLine: (line: string) => void;
  readonly timeoutMs: number;
  /** Ends the group, as Ctrl-C does. */
  readonly signal?: AbortSignal | undefined;
}

export interface GroupEnd {
  readonly ended: "itself" | "timeout" | "interrupted";
  readonly exitCode: number | null;
  /** The signal that killed it, if one did. */
  readonly signalCode: string | null;
}

/** Runs the program without stdin; nothing of it is alive afterwards. */
export async function runGroup(
  command: readonly string[],
  options: GroupOptions,
): Promise<GroupEnd> {
  using stop = stopOnSignals();
  const interrupt = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
  let ended: GroupEnd["ended"] = "itself";
  if (interrupt.aborted) return { ended: "interrupted", exitCode: null, signalCode: null };
  const child = Bun.spawn([...command], {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: options.env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: options.stderr,
    detached: true,
  });
  const end = (why: GroupEnd["ended"]): void => {
    ended = why;
    killGroup(child.pid);
  };
  const interrupted = (): void => end("interrupted");
  const timer = setTimeout(() => end("timeout"), options.timeoutMs);
  interrupt.addEventListener("abort", interrupted);
  try {
    const reading = readLines(child.stdout, options.onLine);
    await child.exited;
    killGroup(child.pid); // What it began ends with it, and lets go of the pipe.
    await reading;
  } finally {
    killGroup(child.pid);
    clearTimeout(timer);
    interrupt.removeEventListener("abort", interrupted);
  }
  const { exitCode, signalCode } = child;
  return { ended, exitCode, signalCode: signalCode === null ? null : String(signalCode) };
}

/** Kills the process group that `pid` leads; no such group any more is what is wanted. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(take);
  }
}
