/**
 * A Python process that runs programs of the user's, and the conversation with it.
 *
 * A message is `u32 bytes of JSON, u32 bytes of numbers, JSON, float32 numbers`, little-endian,
 * one reply to each request, over a socket that only the two have: what the program prints goes to
 * stderr and cannot get in between. Waiting blocks in short slices, since a step takes some ten
 * microseconds; between slices signals and timers have their turn.
 *
 * The child leads a process group of its own, so that Ctrl-C reaches it through us alone. A second
 * socket takes the traceback of a crash or a hang; closing it, which the system does when this
 * process is killed, kills the group (bridge.py).
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import {
  CLOSED,
  closeSocket,
  receive,
  send,
  socketPair,
  waitReadable,
  waitWritable,
} from "../../ffi/socket.ts";
import { type ErrorCode, Lite3Error, quote } from "../base/errors.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { LIMITS } from "../base/limits.ts";
import { type ProgramOptions, programError } from "./program.ts";
import bridge from "./python/bridge.py" with { type: "text" };
import environment from "./python/environment.py" with { type: "text" };
import policy from "./python/policy.py" with { type: "text" };
import values from "./python/values.py" with { type: "text" };

const SCRIPT = [values, environment, policy, bridge].join("\n");
/** The longest time without a turn for signals and timers. */
const SLICE_MS = 50;
/** A start imports simulators: it gets so many times the time of a step. */
const START_FACTOR = 4;
/** How long a step may still take when a signal asked to stop. */
const INTERRUPTED_MS = 1000;
/** For the traceback of a hang, and for an end after `close`. */
const LAST_WORDS_MS = 1000;
const CLOSE_MS = 3000;
/** A traceback is written in pieces; after so long without one it is whole. */
const QUIET_MS = 100;
const FAULT_BYTES = 16_384;

export type Request =
  | { readonly op: "environment" | "policy"; readonly [key: string]: unknown }
  | { readonly op: "reset"; readonly seed: number }
  | { readonly op: "command"; readonly command: readonly number[] }
  | { readonly op: "step" | "begin" | "act" | "close" };

export interface Reply {
  readonly document: Record<string, unknown>;
  /** Valid until the next request. */
  readonly numbers: Float32Array;
}

export interface PythonProcess extends Disposable {
  /**
   * Asks and waits for the answer. `action` is how an error begins: `Cannot step environment "x"`.
   * Throws PROGRAM, or the code of what the program turned out to be.
   */
  ask(action: string, request: Request, numbers?: Float32Array): Promise<Reply>;
}

const failureSchema = v.object({
  kind: v.picklist(["PROGRAM", "NOT_FOUND", "UNSUPPORTED"]),
  reason: v.string(),
  traceback: v.optional(v.string()),
});

/** The interpreter by flag, LITE3RL_PYTHON, the active virtual environment, or the PATH. */
export function findPython(flag: string | undefined): string {
  const { LITE3RL_PYTHON, VIRTUAL_ENV } = process.env;
  const named = flag ?? (LITE3RL_PYTHON || undefined);
  if (named !== undefined) {
    const found = Bun.which(named);
    if (found !== null) return found;
    const origin = flag === undefined ? "LITE3RL_PYTHON" : "--python";
    throw new Lite3Error(
      "NOT_FOUND",
      `Cannot run Python ${quote(named)}: there is no such program, need an interpreter ` +
        `in ${origin}`,
    );
  }
  const active = VIRTUAL_ENV ? join(VIRTUAL_ENV, "bin", "python") : "";
  const found = existsSync(active) ? active : Bun.which("python3");
  if (found !== null) return found;
  throw new Lite3Error(
    "NOT_FOUND",
    "Cannot run a Python program: there is no python3 on the PATH, name one with --python",
  );
}

/** A child with its two sockets. */
interface Running {
  readonly child: Bun.Subprocess;
  readonly channel: number;
  readonly faults: number;
  readonly options: ProgramOptions;
  isOpen: boolean;
}

/** Starts the bridge; the programs are opened by requests. */
export function startPython(options: ProgramOptions): PythonProcess {
  const python = findPython(options.python);
  const [channel, theirChannel] = socketPair();
  const [faults, theirFaults] = socketPair();
  const child = Bun.spawn([python, "-u", "-c", SCRIPT], {
    env: process.env,
    // What is printed goes to stderr: stdout has the result of lite3rl alone.
    stdio: ["ignore", 2, "inherit", theirChannel, theirFaults],
    detached: true,
  });
  closeSocket(theirChannel);
  closeSocket(theirFaults);
  const running: Running = { child, channel, faults, options, isOpen: true };
  return {
    async ask(action, request, numbers = new Float32Array()) {
      if (!running.isOpen) throw programError(action, "its Python has ended");
      const isStart = request.op === "environment" || request.op === "policy";
      const timeoutMs = options.timeoutMs * (isStart ? START_FACTOR : 1);
      await write(running, action, encodeMessage(request, numbers), timeoutMs);
      const head = new Uint32Array((await read(running, action, 8, timeoutMs)).buffer);
      const [words = 0, count = 0] = head;
      if (words + count > LIMITS.bridgeBytes || count % 4 !== 0) {
        end(running);
        throw programError(action, `its answer of ${words + count} bytes is none of the bridge's`);
      }
      const bytes = await read(running, action, words + count, timeoutMs);
      const document = JSON.parse(new TextDecoder().decode(bytes.subarray(0, words)));
      if ("failure" in document) throw failed(action, document.failure, options);
      return { document, numbers: new Float32Array(bytes.slice(words).buffer) };
    },
    [Symbol.dispose]() {
      if (!running.isOpen) return;
      const bytes = encodeMessage({ op: "close" }, new Float32Array());
      send(channel, bytes, bytes.length);
      waitReadable(channel, CLOSE_MS);
      end(running);
    },
  };
}

function end(running: Running): void {
  running.isOpen = false;
  try {
    process.kill(-running.child.pid, "SIGKILL");
  } catch {
    // The group has ended already.
  }
  closeSocket(running.channel);
  closeSocket(running.faults);
}

async function read(
  running: Running,
  action: string,
  count: number,
  timeoutMs: number,
): Promise<Uint8Array> {
  const { channel } = running;
  const bytes = new Uint8Array(count);
  let done = 0;
  while (done < count) {
    const got = receive(channel, bytes.subarray(done));
    if (got === CLOSED) throw await gone(running, action);
    if (got > 0) done += got;
    else await wait(running, action, timeoutMs, (ms) => waitReadable(channel, ms));
  }
  return bytes;
}

async function write(
  running: Running,
  action: string,
  bytes: Uint8Array,
  timeoutMs: number,
): Promise<void> {
  const { channel } = running;
  let done = 0;
  while (done < bytes.length) {
    const sent = send(channel, bytes.subarray(done), bytes.length - done);
    if (sent === CLOSED) throw await gone(running, action);
    if (sent > 0) done += sent;
    else await wait(running, action, timeoutMs, (ms) => waitWritable(channel, ms));
  }
}

/** Waits until `isReady`. Ends the process and throws when it takes too long or is gone. */
async function wait(
  running: Running,
  action: string,
  timeoutMs: number,
  isReady: (ms: number) => boolean,
): Promise<void> {
  const { child, options } = running;
  let [limitMs, deadline] = [timeoutMs, performance.now() + timeoutMs];
  while (!isReady(Math.min(SLICE_MS, Math.max(0, deadline - performance.now())))) {
    await turnEventLoop();
    if (child.exitCode !== null || child.signalCode !== null) throw await gone(running, action);
    if (performance.now() >= deadline) throw hung(running, action, limitMs);
    if (limitMs > INTERRUPTED_MS && options.isInterrupted?.() === true) {
      [limitMs, deadline] = [INTERRUPTED_MS, performance.now() + INTERRUPTED_MS];
    }
  }
}

async function gone(running: Running, action: string): Promise<Lite3Error> {
  const { child, faults, options } = running;
  await Promise.race([child.exited, Bun.sleep(LAST_WORDS_MS)]);
  const said = readFaults(faults, 0);
  const { exitCode, signalCode } = child;
  const how = signalCode ? `was ended by ${signalCode}` : `ended with status ${exitCode}`;
  end(running);
  return programError(action, `its Python ${how}${placeOf(said)}`, said, options);
}

function hung(running: Running, action: string, timeoutMs: number): Lite3Error {
  const { child, faults, options } = running;
  child.kill("SIGUSR1");
  const said = readFaults(faults, LAST_WORDS_MS);
  end(running);
  const reason = `no answer within ${timeoutMs / 1000} s${placeOf(said)}`;
  const cure =
    options.isInterrupted?.() === true
      ? "after it was interrupted"
      : "give it longer with --env-timeout";
  return programError(action, `${reason}; ${cure}`, said, options);
}

function encodeMessage(request: Request, numbers: Float32Array): Uint8Array {
  const words = new TextEncoder().encode(JSON.stringify(request));
  const bytes = new Uint8Array(8 + words.length + numbers.byteLength);
  bytes.set(new Uint8Array(Uint32Array.of(words.length, numbers.byteLength).buffer));
  bytes.set(words, 8);
  bytes.set(
    new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength),
    8 + words.length,
  );
  return bytes;
}

function failed(action: string, found: unknown, options: ProgramOptions): Lite3Error {
  const { kind, reason, traceback } = v.parse(failureSchema, found);
  return programError(action, reason, traceback, { ...options, code: kind satisfies ErrorCode });
}

/** What Python wrote of a crash or a hang, without the bridge's own frames. */
function readFaults(fd: number, timeoutMs: number): string {
  const buffer = new Uint8Array(FAULT_BYTES);
  let text = "";
  while (waitReadable(fd, text === "" ? timeoutMs : Math.min(timeoutMs, QUIET_MS))) {
    const count = receive(fd, buffer);
    if (count < 0) break;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  const lines = text.split("\n").filter((line) => line !== "" && !line.includes('File "<string>"'));
  return lines.join("\n");
}

/** `, in my_env.py, line 7, in step`: the innermost frame of such a text, which comes first. */
function placeOf(said: string): string {
  const [, path, line, name] = /File "(.+)", line (\d+) in (\S+)/.exec(said) ?? [];
  return path === undefined ? "" : `, in ${path.split("/").at(-1)}, line ${line}, in ${name}`;
}
