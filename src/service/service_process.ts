/**
 * `lite3rl serve` in a second process of this same program.
 */

import { Lite3Error } from "../base/errors.ts";
import { programCommand, programEnvironment } from "../base/program.ts";

/** Compiling ONNX Runtime takes a third of a second, and many times that under emulation. */
const READY_MS = 60_000;
const STOP_MS = 10_000;

export interface ServiceProcess {
  readonly pid: number;
  /** What the service said when it was ready, as one line. */
  readonly ready: string;
  /** SIGTERM, and waits for a clean end; throws when it does not come. Gives what it logged. */
  stop(): Promise<string>;
}

/** Starts this program again with `serve` and waits until it is ready. */
export async function startService(flags: readonly string[]): Promise<ServiceProcess> {
  // The flags are all it obeys: a file or variable of the user's would make it another service.
  const own = ["serve", "--stop-with-stdin", "--no-config-file"];
  const child = Bun.spawn([...programCommand(), ...own, ...flags], {
    stdio: ["pipe", "pipe", "pipe"],
    env: programEnvironment(),
  });
  const log = new Response(child.stderr).text();
  const timer = setTimeout(() => child.kill("SIGKILL"), READY_MS);
  const ready = await readLine(child.stdout).finally(() => clearTimeout(timer));
  if (ready === undefined) {
    const status = await child.exited;
    const said = (await log).trim().split("\n").at(-1);
    throw new Lite3Error(
      "WIRE",
      `The service ended with status ${status} before it was ready: ${said || "it said nothing"}`,
    );
  }
  return {
    pid: child.pid,
    ready,
    async stop() {
      child.kill("SIGTERM");
      const killer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      const status = await child.exited.finally(() => clearTimeout(killer));
      if (status !== 0) {
        throw new Lite3Error("WIRE", `The service ended with status ${status}, need 0`);
      }
      return log;
    },
  };
}

/** The first line of a stream, or undefined if it ends before. */
async function readLine(stream: ReadableStream<Uint8Array>): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  return undefined;
}
