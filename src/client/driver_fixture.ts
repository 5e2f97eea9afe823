/**
 * For tests: a program around one of the clients that does what it is told, line by line.
 */

import { join } from "node:path";
import { TextStream } from "../cli/program_fixture.ts";
import { clientText } from "./sources.ts";

/** What came of a call. */
export interface Outcome {
  readonly status: number;
  readonly name: string;
  readonly reason: string;
  readonly open: boolean;
  readonly generation: number;
  readonly ms: number;
  readonly action: readonly number[];
}

export interface Greeting extends Outcome {
  readonly sizes: readonly number[];
  readonly recurrent: boolean;
  readonly digest: string;
  readonly about: unknown;
}

/** Arguments: address, N, A (0: by the hello, where the client can), `framed` or `raw`. */
export type Launch = (args: readonly string[]) => readonly string[];

/** Compiles the C++ client's driver, with the sanitizers where the machine has them. */
export async function compileDriver(compiler: string, directory: string): Promise<Launch> {
  await Bun.write(join(directory, "lite3rl_client.hpp"), clientText("cpp"));
  const program = join(directory, "driver");
  await compile(compiler, [
    join(import.meta.dir, "cpp_driver_fixture.cpp"),
    `-I${directory}`,
    "-o",
    program,
  ]);
  return (args) => [program, ...args];
}

/** Throws with the compiler's words unless it is content. */
export async function compile(compiler: string, args: readonly string[]): Promise<void> {
  const flags = ["-std=c++17", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Wshadow", "-Werror"];
  const sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  const child = Bun.spawn([compiler, ...flags, ...sanitizers, ...args], {
    stdio: ["ignore", "inherit", "pipe"],
  });
  const [status, stderr] = await Promise.all([child.exited, child.stderr.text()]);
  if (status !== 0) throw new Error(stderr);
}

/** The Python client's driver. */
export async function placeDriver(python: string, directory: string): Promise<Launch> {
  await Bun.write(join(directory, "lite3rl_client.py"), clientText("python"));
  const driver = join(directory, "driver.py");
  await Bun.write(driver, Bun.file(join(import.meta.dir, "python_driver_fixture.py")));
  return (args) => [python, driver, ...args];
}

export interface Driver extends AsyncDisposable {
  connect(timeoutMs?: number): Promise<Greeting>;
  infer(observation: readonly number[], deadlineMs?: number, rows?: number): Promise<Outcome>;
  reset(): void;
  close(): void;
}

/** Long enough for whatever is to be there in the end, on a busy machine. */
export const PATIENCE_MS = 20_000;

/** Starts a driver; disposing of it checks that it ends well. */
export function startDriver(command: readonly string[], env: Record<string, string> = {}): Driver {
  const child = Bun.spawn([...command], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
    timeout: 60_000,
  });
  const lines = new TextStream(child.stdout);
  const stderr = child.stderr.text();
  let taken = 0;
  const call = async <T>(line: string): Promise<T> => {
    child.stdin.write(`${line}\n`);
    child.stdin.flush();
    const pattern = new RegExp(`^(?:.*\n){${taken++}}(.*)\n`);
    const [, found = ""] = await lines.until(pattern).catch(async (error: unknown) => {
      throw new Error(`${String(error)}: ${await stderr}`);
    });
    return JSON.parse(found) as T;
  };
  return {
    connect: (timeoutMs = PATIENCE_MS) => call(`connect ${timeoutMs}`),
    infer: (observation, deadlineMs = PATIENCE_MS, rows = 1) =>
      call(`infer ${deadlineMs} ${rows} ${observation.join(" ")}`),
    reset: () => void child.stdin.write("reset\n"),
    close: () => void child.stdin.write("close\n"),
    async [Symbol.asyncDispose]() {
      void child.stdin.end();
      const status = await child.exited;
      if (status !== 0) throw new Error(`the driver ended with ${status}: ${await stderr}`);
    },
  };
}
