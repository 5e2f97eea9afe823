/**
 * Plays the supervisor, for tests: starts real engines, gives them a listener and commands, and
 * reads their page and events.
 */

import { closeSync } from "node:fs";
import { messagePair, MessageSocket } from "../../ffi/message_socket.ts";
import { closeSocket, listenOn } from "../../ffi/socket.ts";
import { LIMITS } from "../base/limits.ts";
import { TextStream } from "../cli/program_fixture.ts";
import {
  type Command,
  decodeEvent,
  encodeCommand,
  engineCommand,
  type EngineEvent,
  type ListenerKind,
  type OpenCommand,
} from "../service/control.ts";
import { createPage, type EnginePage, type EngineSnapshot, readPage } from "../service/page.ts";

const LIMIT_MS = 60_000;

type Opening = Partial<OpenCommand> & Pick<OpenCommand, "model">;

export interface EngineOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Before the command that starts it, such as `["prlimit", "--fsize=4096"]`. */
  readonly wrapper?: readonly string[];
  readonly program?: readonly string[] | undefined;
}

const running = new Set<EngineUnderTest>();

/** For `afterEach`: whatever a test left running. */
export async function killEngines(): Promise<void> {
  await Promise.all([...running].map((engine) => engine.kill()));
}

export class EngineUnderTest {
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly events: EngineEvent[] = [];
  readonly #control: MessageSocket;
  readonly #page: EnginePage;
  readonly #stdout: TextStream;
  readonly #stderr: TextStream;
  #isOpen = true;

  constructor({ env = {}, wrapper = [], program }: EngineOptions = {}) {
    const [ours, theirs] = messagePair();
    const { page, fd } = createPage();
    this.#control = new MessageSocket(ours);
    this.#page = page;
    this.process = Bun.spawn([...wrapper, ...engineCommand(program)], {
      stdio: ["ignore", "pipe", "pipe", theirs, fd],
      env: { ...process.env, ...env },
      timeout: LIMIT_MS,
      killSignal: "SIGKILL",
    }) as EngineUnderTest["process"];
    closeSync(theirs);
    closeSync(fd);
    this.#stdout = new TextStream(this.process.stdout);
    this.#stderr = new TextStream(this.process.stderr);
    running.add(this);
  }

  /** Starts an engine and has it open a model. */
  static async open(opening: Opening, options?: EngineOptions) {
    const engine = new EngineUnderTest(options);
    engine.open(opening);
    const ready = await engine.event("ready");
    return { engine, ready };
  }

  open(opening: Opening): void {
    this.command({
      type: "open",
      generation: 1,
      backend: "mlp",
      warmup: 1,
      failuresMax: 10,
      maxClients: LIMITS.connections,
      ...opening,
    });
  }

  get snapshot(): EngineSnapshot {
    return readPage(this.#page);
  }

  command(command: Command, fds: readonly number[] = []): void {
    this.#control.send(encodeCommand(command), fds);
  }

  /** Waits for the next event of that kind; those before it are in `events`. */
  async event<Kind extends EngineEvent["event"]>(
    kind: Kind,
  ): Promise<Extract<EngineEvent, { event: Kind }>> {
    for (;;) {
      const [line, text = ""] = await this.#stdout.until(/^(.*)\n/).catch(async () => {
        throw new Error(`no "${kind}" event: ${await this.#stderr.rest()}`);
      });
      this.#stdout.text = this.#stdout.text.slice(line.length);
      const event = decodeEvent(text);
      this.events.push(event);
      if (event.event === kind) return event as Extract<EngineEvent, { event: Kind }>;
    }
  }

  /** Gives it a new Unix listener at `path`, or its duplicate for another engine. */
  async listen(path: string, listener = listenOn({ kind: "unix", path })): Promise<number> {
    return this.listenAs("unix", listener);
  }

  async listenAs(kind: ListenerKind, listener: number): Promise<number> {
    this.command({ type: "listen", kinds: [kind] }, [listener]);
    await this.event("listening");
    return listener;
  }

  /** Hands every connection to `next`, as the supervisor does at a reload. */
  async handTo(next: EngineUnderTest): Promise<number> {
    const [from, to] = messagePair();
    next.command({ type: "take-over" }, [to]);
    this.command({ type: "hand-over" }, [from]);
    closeSocket(from);
    closeSocket(to);
    return (await this.event("handed")).connections;
  }

  /** Waits until the page says so. */
  async until(isSo: (snapshot: EngineSnapshot) => boolean): Promise<EngineSnapshot> {
    for (const deadline = performance.now() + LIMIT_MS / 3; ;) {
      const { snapshot } = this;
      if (isSo(snapshot)) return snapshot;
      if (performance.now() > deadline) {
        throw new Error(`the page does not say so: ${JSON.stringify(snapshot.counters)}`);
      }
      await Bun.sleep(2);
    }
  }

  /** Hangs up on it as a supervisor does that dies. */
  hangUp(): void {
    if (this.#isOpen) this.#control[Symbol.dispose]();
    this.#isOpen = false;
  }

  /** Has it stop; its exit status and what it said on stderr. */
  async stop(drainMs = 500): Promise<{ status: number; stderr: string }> {
    this.command({ type: "stop", drainMs });
    return this.end();
  }

  async end(): Promise<{ status: number; stderr: string }> {
    const status = await this.process.exited;
    const rest = await this.#stdout.rest();
    for (const line of rest.split("\n")) if (line !== "") this.events.push(decodeEvent(line));
    const stderr = await this.#stderr.rest();
    running.delete(this);
    this.hangUp();
    return { status, stderr };
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
    running.delete(this);
    this.hangUp();
  }
}
