/**
 * One engine as its supervisor holds it: the process, the socket of commands, the page that it
 * writes, and what it has said. Whatever changes rings the supervisor's bell.
 */

import { closeSync } from "node:fs";
import { MessageSocket, messagePair } from "../../ffi/message_socket.ts";
import { NativeError } from "../../ffi/rknn_library.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { logEvent } from "../base/log.ts";
import { programEnvironment } from "../base/program.ts";
import {
  type Command,
  decodeEvent,
  encodeCommand,
  engineCommand,
  type EngineEvent,
  type OpenCommand,
  type ReadyEvent,
  REQUEST_FAILED,
} from "../service/control.ts";
import {
  createPage,
  type EnginePage,
  type EngineSnapshot,
  readPage,
  WORD,
} from "../service/page.ts";
import type { Bell } from "./bell.ts";
import type { SupervisorSettings } from "./settings.ts";
import type { DeathKind } from "./view.ts";

export type EngineNotice = Extract<EngineEvent, { event: "warn" | "info" }>;

export interface EngineEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | number | null;
}

/** What comes after an engine's exit in its pipes is read for at most so long. */
const LAST_WORDS_MS = 200;
/** What the library said of a failed request comes by another pipe: so much later at most. */
const FRESH_WORDS_MS = 20;
/** Begins what Bun says of a crash. */
const CRASH_REPORT = /^={20,}$/;
/** When the library said it. */
const CLOCK = / \[\d\d:\d\d:\d\d\.\d+\]/;

/** How long clients may take to read their last answers once an engine stops. */
const DRAIN_MS = 500;
/** What an engine may take beyond that until it has ended. */
const END_MS = 1_500;
/** One that is told to end has ended by then. */
export const RETIRE_LIMIT_MS = DRAIN_MS + 2 * END_MS;
/** For starting a process and loading a model; under emulation the process alone takes seconds. */
const OPEN_LIMIT_MS = 60_000;

/** How long an engine may take until it is ready. */
export function openLimitMs({ options, inferTimeoutMs }: SupervisorSettings): number {
  return OPEN_LIMIT_MS + options.warmup * inferTimeoutMs;
}

export class EngineProcess implements Disposable {
  readonly open: OpenCommand;
  readonly startedMs = performance.now();
  /** Said once it can answer. */
  ready: ReadyEvent | undefined;
  /** It has been given the listeners. */
  isTold = false;
  isListening = false;
  /** What came of its giving its connections away. */
  handed: Extract<EngineEvent, { event: "handed" }> | undefined;
  failure: Extract<EngineEvent, { event: "failed" }> | undefined;
  end: EngineEnd | undefined;
  /** Why it may not serve though it could. */
  rejection: string | undefined;
  /** An inference ran when it was ended. */
  #wasBusy = false;
  /** Why the supervisor ended it. */
  killedFor: DeathKind | undefined;
  readonly #bell: Bell;
  readonly #onNotice: (notice: EngineNotice) => void;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #owned = new DisposableStack();
  readonly #control: MessageSocket;
  readonly #page: EnginePage;
  #lastLine: string | undefined;
  /** The last one since it listens. */
  #servingLine: string | undefined;
  #telling: Promise<void> | undefined;

  /** Starts the process and has it open the model, with its files. Throws NATIVE when no process can be made. */
  constructor(
    open: OpenCommand,
    files: readonly number[],
    bell: Bell,
    onNotice: (notice: EngineNotice) => void,
  ) {
    this.open = open;
    this.#bell = bell;
    this.#onNotice = onNotice;
    using given = new DisposableStack();
    try {
      const [ours, theirs] = messagePair();
      given.defer(() => closeSync(theirs));
      this.#control = this.#owned.use(new MessageSocket(ours));
      const { page, fd } = createPage();
      given.defer(() => closeSync(fd));
      this.#page = this.#owned.use(page);
      this.#process = Bun.spawn(engineCommand(), {
        stdio: ["ignore", "pipe", "pipe", theirs, fd],
        env: { ...programEnvironment(), BUN_ENABLE_CRASH_REPORTING: "0" },
        // Ctrl-C is for the supervisor, which lets the engine send its last answers.
        detached: true,
      }) as Bun.Subprocess<"ignore", "pipe", "pipe">;
    } catch (error) {
      this[Symbol.dispose]();
      throw new Lite3Error("NATIVE", `Cannot start an engine: ${(error as Error).message}`, {
        cause: error,
      });
    }
    void this.#watch();
    this.tell(open, files);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** CPU instead of the NPU that was asked for. */
  get isFallback(): boolean {
    return this.open.fallbackOnly === true;
  }

  /** Its page; only the last look at it once the process has ended. */
  snapshot(): EngineSnapshot {
    return readPage(this.#page);
  }

  /** One word of its page, by WORD. */
  readonly word = (at: number): number => this.#page.words[at] as number;

  /** Sends a command. One that cannot be sent goes to an engine that is ending, which shows. */
  tell(command: Command, fds: readonly number[] = []): void {
    try {
      this.#control.send(encodeCommand(command), fds);
    } catch {
      this.kill("hang");
    }
  }

  kill(reason: DeathKind | undefined): void {
    if (this.end !== undefined) return;
    this.killedFor ??= reason;
    this.#wasBusy = this.word(WORD.busySinceUs) > 0;
    this.#process.kill("SIGKILL");
  }

  /** Lets it send its last answers; if it does not end then, it is ended. */
  retire(): void {
    if (!this.isListening) this.kill(undefined);
    else this.tell({ type: "stop", drainMs: DRAIN_MS });
    setTimeout(() => this.kill(undefined), DRAIN_MS + END_MS).unref();
  }

  reject(why: string): void {
    this.rejection = why;
    this.kill(undefined);
  }

  /** What it gave up with, with what the NPU's library said of it. */
  get failureError(): Lite3Error | undefined {
    const { failure } = this;
    if (failure === undefined) return undefined;
    const { code, message, native } = failure;
    if (native === undefined) return new Lite3Error(code, message);
    return new NativeError(native.call, native.status, { ...native, said: this.#lastLine });
  }

  /** `was ended by SIGSEGV, its last line is "…"`: how it came to its end. */
  describeEnd(): string {
    if (this.rejection !== undefined) return this.rejection;
    if (this.failureError !== undefined) return `said: ${this.failureError.message}`;
    const said = sentence(this.#lastLine);
    if (this.killedFor === "hang") {
      const hung = this.#wasBusy ? "did not return from an inference in time" : "stood still";
      return `${this.ready === undefined ? "did not open its model in time" : hung}${said}`;
    }
    const { status = null, signal = null } = this.end ?? {};
    return `${signal === null ? `ended with status ${status}` : `was ended by ${signal}`}${said}`;
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }

  async #watch(): Promise<void> {
    const { stdout, stderr, exited } = this.#process;
    const words = Promise.all([
      eachLine(stdout, (line) => this.#heard(line)),
      eachLine(stderr, libraryWords(this.#remember)),
    ]);
    await exited;
    await Promise.race([words, Bun.sleep(LAST_WORDS_MS)]);
    await this.#telling;
    const { exitCode, signalCode } = this.#process;
    this.end = { status: exitCode, signal: signalCode };
    this.#bell.ring();
  }

  readonly #remember = (line: string): void => {
    this.#lastLine = line;
    this.#servingLine = line;
  };

  /** That requests failed is told once the library's pipe was read too, with its last line. */
  async #tellFailed(notice: EngineNotice): Promise<void> {
    await Bun.sleep(FRESH_WORDS_MS);
    const line = this.#servingLine;
    const said = line === undefined ? "" : `; the library's last line is ${quote(line)}`;
    this.#onNotice({ ...notice, message: `${notice.message}${said}` });
  }

  #heard(line: string): void {
    let event: EngineEvent;
    try {
      event = decodeEvent(line);
    } catch {
      // The NPU's library, asked to say more, writes to stdout too.
      this.#remember(line);
      return;
    }
    if (event.event === "ready") this.ready = event;
    else if (event.event === "listening") {
      this.isListening = true;
      // What was said at the opening says nothing of a request.
      this.#servingLine = undefined;
    } else if (event.event === "handed") this.handed = event;
    else if (event.event === "failed") this.failure = event;
    else if (event.name === REQUEST_FAILED) this.#telling = this.#tellFailed(event);
    else this.#onNotice(event);
    this.#bell.ring();
  }
}

const sentence = (line: string | undefined): string =>
  line === undefined ? "" : `, its last line is ${quote(line)}`;

async function eachLine(
  stream: ReadableStream<Uint8Array>,
  heard: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") heard(line);
  }
  if (text.trim() !== "") heard(text);
}

/** The engine's stderr is its libraries': the last line is remembered, for when it dies of them. */
function libraryWords(remember: (line: string) => void): (line: string) => void {
  const isShown = process.env.RKNN_LOG_LEVEL !== undefined;
  let isReport = false;
  return (line) => {
    isReport ||= CRASH_REPORT.test(line);
    if (isReport) return;
    remember(line.replace(CLOCK, "").trim());
    // Who asks the library for its words wants to see them.
    if (isShown) logEvent("info", "library", line);
  };
}
