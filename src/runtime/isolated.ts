/**
 * A .rknn on the NPU, with the library in a process of its own: a call into it cannot be
 * interrupted, and it crashes, aborts or hangs on some inputs. A process that did so is ended and
 * reported, with the signal and the library's last line; the next call starts another.
 *
 * The state of a recurrent policy goes along with each call, so that no process keeps one.
 */

import { closeSync, fstatSync, ftruncateSync, readSync } from "node:fs";
import { openMemoryFile } from "../../ffi/process.ts";
import { closeSocket, socketPair } from "../../ffi/socket.ts";
import { assert } from "../base/assert.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { notice } from "../base/log.ts";
import { programCommand, programEnvironment } from "../base/program.ts";
import type { Backend } from "./backend.ts";
import {
  bytesOf,
  Channel,
  ChannelClosed,
  ChannelTimeout,
  decodeError,
  decodeJson,
  encodeJson,
  MESSAGE,
} from "./isolated_channel.ts";
import type { OpenAnswer, OpenRequest } from "./isolated_child.ts";
import type { RknnBackend } from "./rknn.ts";

/** The hidden verb that is the child. */
export const CHILD_VERB = "npu-process";

export interface IsolatedOptions extends OpenRequest {
  /** Longest time for one call into the library (default: 1000 ms; a policy takes some ms). */
  readonly limitMs?: number;
  /** Longest time for starting the process and loading the model (default: 60 s). */
  readonly loadLimitMs?: number;
  /** The program instead of this one, and its environment: for another architecture's. */
  readonly program?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface IsolatedBackend extends Backend, Pick<RknnBackend, "io" | "versions" | "timesUs"> {
  /** Of the process that holds the library now; undefined between two. */
  readonly pid: number | undefined;
}

/** What an error says could not be done. */
const ACT = "Cannot act";
const LOAD = "Cannot load the model into the NPU";

const LIMIT_MS = 1000;
/** What each further row of a batch may take, under emulation too. */
const ROW_LIMIT_MS = 20;
/** Under emulation the process alone takes seconds to start. */
const LOAD_LIMIT_MS = 60_000;
/** From here on it is said that a model is being loaded. */
export const SLOW_LOAD_MS = 3_000;
const CLOSE_LIMIT_MS = 2000;
/** Of the library's words: what is kept, how much of it is looked at, how often that is done. */
const LOG_BYTES_MAX = 1 << 20;
const TAIL_BYTES = 4096;
const CALLS_PER_LOG_CHECK = 1024;
/** When the library said it. */
const CLOCK = / \[\d\d:\d\d:\d\d\.\d+\]/;

/** What is said of a load that takes its time. */
export const loadingText = (limitMs: number): string =>
  `loading the model … (for at most ${Math.round(limitMs / 1000)} s)`;

/** Starts the process and loads the model; throws what `openRknn` throws, and NATIVE or DEADLINE. */
export async function openIsolated(
  model: Uint8Array,
  options: IsolatedOptions,
): Promise<IsolatedBackend> {
  const limitMs = options.limitMs ?? LIMIT_MS;
  let child: Child | undefined = new Child(options);
  const answer = await child.load(model, options);
  const { observationSize, actionSize, stateSizes } = answer;
  const timesUs = new Float64Array(3);
  let open = true;
  return {
    name: "rknn",
    arithmetic: answer.arithmetic,
    subject: "file",
    io: answer.io,
    versions: answer.versions,
    timesUs,
    get pid() {
      return child?.pid;
    },
    inputs: Object.freeze(answer.inputs.map(freezeSpec)),
    outputs: Object.freeze(answer.outputs.map(freezeSpec)),
    observationSize,
    actionSize,
    createState: () => ({ tensors: stateSizes.map((size) => new Float32Array(size)) }),
    async infer(observation, action, state, rows) {
      assert(open, "the backend is closed");
      assert(observation.length === rows * observationSize, "observation length");
      assert(action.length === rows * actionSize, "action length");
      assert(state.tensors.length === stateSizes.length, "a state of another backend");
      assert(rows === 1 || stateSizes.length === 0, "a recurrent policy acts one row at a time");
      if (child?.hasFailed !== false) {
        child = new Child(options);
        await child.load(model, options);
      }
      const current = child;
      const request = [bytesOf(observation), ...state.tensors.map(bytesOf)];
      const allowedMs = limitMs + ROW_LIMIT_MS * (rows - 1);
      let body: Uint8Array;
      try {
        body = current.ask(MESSAGE.ACT, request, allowedMs);
      } catch (error) {
        throw await current.explain(error, ACT, allowedMs);
      }
      // Nothing is awaited before the answer is copied: another call may follow at once.
      const targets = [timesUs, action, ...state.tensors].map(bytesOf);
      assert(body.length === targets.reduce((sum, { length }) => sum + length, 0), "answer length");
      let at = 0;
      for (const target of targets) {
        target.set(body.subarray(at, at + target.length));
        at += target.length;
      }
    },
    [Symbol.dispose]() {
      open = false;
      child?.[Symbol.dispose]();
      child = undefined;
    },
  };
}

const freezeSpec = ({ name, shape }: OpenAnswer["inputs"][number]) =>
  Object.freeze({ name, shape: Object.freeze(shape) });

/** One process with the library. */
class Child implements Disposable {
  /** It broke off in the middle of something: nothing more is asked of it. */
  hasFailed = false;
  readonly #process: Bun.Subprocess;
  readonly #channel: Channel;
  readonly #log = openMemoryFile();
  /** How much of the log has been reported. */
  #logSeen = 0;
  #calls = 0;
  #closed = false;

  constructor({ program, env }: IsolatedOptions) {
    const [ours, theirs] = socketPair();
    // Who asks the library for its words wants to see them; otherwise the last is for a report.
    const output = process.env.RKNN_LOG_LEVEL === undefined ? this.#log : 2;
    this.#channel = new Channel(ours);
    try {
      const own = [...(program ?? programCommand()), CHILD_VERB, "--no-config-file"];
      this.#process = Bun.spawn(own, {
        stdio: ["ignore", output, output, theirs],
        env: { ...programEnvironment(), ...env, BUN_ENABLE_CRASH_REPORTING: "0" },
        // Ctrl-C is for the parent, which ends what it has begun.
        detached: true,
      });
    } catch (error) {
      this.#channel[Symbol.dispose]();
      closeSync(this.#log);
      throw new Lite3Error(
        "NATIVE",
        `Cannot start a process for the NPU library: ${(error as Error).message}`,
        { cause: error },
      );
    } finally {
      closeSocket(theirs);
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  async load(model: Uint8Array, options: IsolatedOptions): Promise<OpenAnswer> {
    const { library, core, io, loadLimitMs = LOAD_LIMIT_MS } = options;
    const request = encodeJson({ library, core, io } satisfies OpenRequest);
    const length = bytesOf(Uint32Array.of(request.length));
    const parts = [length, request, model];
    try {
      return decodeJson(this.ask(MESSAGE.OPEN, parts, loadLimitMs, true)) as OpenAnswer;
    } catch (error) {
      const reason = await this.explain(error, LOAD, loadLimitMs);
      this.hasFailed = true;
      this[Symbol.dispose]();
      throw reason;
    }
  }

  /** Asks and blocks; the answer is the channel's own, until the next request. */
  ask(kind: number, parts: readonly Uint8Array[], limitMs: number, isLoading = false): Uint8Array {
    this.#calls++;
    if (this.#calls % CALLS_PER_LOG_CHECK === 0) this.#trimLog();
    this.#channel.send(kind, parts, limitMs);
    let leftMs = limitMs;
    if (isLoading && limitMs > SLOW_LOAD_MS && !this.#channel.hasAnswer(SLOW_LOAD_MS)) {
      leftMs -= SLOW_LOAD_MS;
      notice(loadingText(limitMs));
    }
    const answer = this.#channel.receive(leftMs);
    if (answer.kind === MESSAGE.DONE) return answer.body;
    throw decodeError(answer.body, this.#lastLine());
  }

  /** What `ask` threw, as it is to be reported; a process that broke off is ended. */
  async explain(
    error: unknown,
    action: typeof ACT | typeof LOAD,
    limitMs: number,
  ): Promise<unknown> {
    const isGone = error instanceof ChannelClosed;
    if (!isGone && !(error instanceof ChannelTimeout)) return error;
    this.hasFailed = true;
    const said = this.#sentence();
    const again = action === ACT ? "the next call starts another, " : "";
    const how = isGone ? await this.#waitForEnd() : "";
    this[Symbol.dispose]();
    if (isGone) {
      return new Lite3Error(
        "NATIVE",
        `${action}: the process of the NPU library ${how}${said}; ${again}` +
          "lite3rl doctor checks library and driver",
      );
    }
    return new Lite3Error(
      "DEADLINE",
      `${action}: the NPU library did not return within ${limitMs} ms${said}, its process is ` +
        `ended; ${again}look for rknpu in dmesg`,
    );
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (!this.hasFailed) {
        this.#channel.send(MESSAGE.CLOSE, [], CLOSE_LIMIT_MS);
        this.#channel.receive(CLOSE_LIMIT_MS);
      }
    } catch {
      // It is ended below in any case.
    }
    this.#process.kill("SIGKILL");
    this.#channel[Symbol.dispose]();
    closeSync(this.#log);
  }

  async #waitForEnd(): Promise<string> {
    const killer = setTimeout(() => this.#process.kill("SIGKILL"), CLOSE_LIMIT_MS);
    const status = await this.#process.exited.finally(() => clearTimeout(killer));
    const { signalCode } = this.#process;
    return signalCode === null ? `ended with status ${status}` : `was ended by ${signalCode}`;
  }

  #sentence(): string {
    const line = this.#lastLine();
    return line === undefined ? "" : `, its last line is ${quote(line)}`;
  }

  /** The library's last line since the last report, before what Bun says of a crash. */
  #lastLine(): string | undefined {
    if (this.#closed) return undefined;
    const end = fstatSync(this.#log).size;
    const from = Math.max(this.#logSeen, end - TAIL_BYTES);
    const bytes = new Uint8Array(Math.max(0, end - from));
    readSync(this.#log, bytes, 0, bytes.length, from);
    this.#logSeen = end;
    const [text = ""] = new TextDecoder().decode(bytes).split(/^={20,}$/m);
    const line = text.trim().split("\n").at(-1) ?? "";
    return line.replace(CLOCK, "").trim() || undefined;
  }

  #trimLog(): void {
    if (fstatSync(this.#log).size <= LOG_BYTES_MAX) return;
    ftruncateSync(this.#log, 0);
    this.#logSeen = 0;
  }
}
