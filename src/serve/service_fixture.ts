/**
 * A running service and clients of it, for tests. The clients use Bun's sockets, not ours: what
 * is wrong on both sides of one implementation shows nowhere.
 */

import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import {
  type Program,
  type Ran,
  start,
  type StartOptions,
  TextStream,
} from "../cli/program_fixture.ts";
import { DEMO_POLICY, readGoldenActions } from "../policy/policy_fixture.ts";
import { openPolicy } from "../runtime/open.ts";

export const OBSERVATION_BYTES = 45 * 4;
export const ACTION_BYTES = 12 * 4;
const LIMIT_MS = 20_000;

export interface Service {
  readonly program: Program;
  /** The line (or, with --json, the document) that the service printed when it was ready. */
  readonly ready: string;
  readonly stderr: TextStream;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<Ran>;
}

/** The engines of a service, oldest first. */
export function enginePids(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return children === "" ? [] : children.split(" ").map(Number);
}

const running = new Set<Service>();

/** Starts `lite3rl serve` and waits until it is ready. */
export async function startService(
  flags: readonly string[],
  options: StartOptions = {},
): Promise<Service> {
  const program = start(["serve", ...flags], options);
  const stdout = new TextStream(program.stdout);
  const stderr = new TextStream(program.stderr);
  const pattern = flags.includes("--json") ? /^\{[^]*\n\}\n/ : /^READY.*\n/;
  const [ready] = await stdout.until(pattern).catch(async () => {
    throw new Error(`the service did not start: ${await stderr.rest()}`);
  });
  const service: Service = {
    program,
    ready,
    stderr,
    async stop(signal = "SIGTERM") {
      running.delete(service);
      program.kill(signal);
      const status = await program.exited;
      return { status, stdout: await stdout.rest(), stderr: await stderr.rest() };
    },
  };
  running.add(service);
  return service;
}

/** For `afterAll`: whatever a failed test left running. */
export async function killServices(): Promise<void> {
  await Promise.all([...running].map((service) => service.stop("SIGKILL")));
}

export interface Exchange {
  /** Observations as they go over the wire, one view each. */
  readonly requests: readonly Uint8Array[];
  /** The actions of the ONNX backend for them. */
  readonly answers: readonly Uint8Array[];
}

/** The 256 observations of the golden file and what the model answers to each. */
export async function computeExchange(model: string): Promise<Exchange> {
  const { observations } = await readGoldenActions();
  using policy = await openPolicy(model, DEMO_POLICY.obsStats, { backend: "auto" });
  const { observationSize, actionSize } = policy;
  const state = policy.backend.createState();
  const requests: Uint8Array[] = [];
  const answers: Uint8Array[] = [];
  for (let at = 0; at < observations.length; at += observationSize) {
    const observation = observations.slice(at, at + observationSize);
    const action = new Float32Array(actionSize);
    await policy.act(observation, action, state);
    requests.push(new Uint8Array(observation.buffer));
    answers.push(new Uint8Array(action.buffer));
  }
  return { requests, answers };
}

export type Address = { readonly unix: string } | { hostname: string; port: number };

/** A client that keeps every byte it gets, and everything it could not send yet. */
export class Client {
  /** Everything received that `take` has not returned. */
  #received: Uint8Array[] = [];
  #size = 0;
  #unsent: Uint8Array = new Uint8Array();
  #waiting: (() => void)[] = [];
  #actionBytes = ACTION_BYTES;
  isClosed = false;
  #socket!: Bun.Socket;

  static async connect(address: Address, actionBytes = ACTION_BYTES): Promise<Client> {
    const client = new Client();
    client.#actionBytes = actionBytes;
    const connecting = Bun.connect({
      ...(address as { unix: string }),
      allowHalfOpen: true,
      socket: {
        data: (_socket, bytes) => client.#receive(bytes),
        drain: () => client.#flush(),
        end: () => client.#close(),
        close: () => client.#close(),
        error: () => client.#close(),
      },
    });
    client.#socket = await withinLimit(connecting, "no connection");
    return client;
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#unsent = Buffer.concat([this.#unsent, ...parts]);
    this.#flush();
  }

  /** Sends what is queued, then says that nothing more will come. */
  async finish(): Promise<void> {
    await this.#until(() => this.#unsent.length === 0);
    this.#socket.shutdown();
  }

  get unsentBytes(): number {
    return this.#unsent.length;
  }

  /** Takes no more bytes from the kernel until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The next `count` actions. */
  async take(count: number): Promise<Uint8Array[]> {
    const each = this.#actionBytes;
    const bytes = count * each;
    await this.#until(() => this.#size >= bytes || this.isClosed);
    const all = Buffer.concat(this.#received);
    this.#received = [all.subarray(bytes)];
    this.#size = Math.max(0, all.length - bytes);
    const taken = all.subarray(0, bytes);
    return Array.from({ length: Math.ceil(taken.length / each) }, (_, i) =>
      Uint8Array.from(taken.subarray(i * each, (i + 1) * each)),
    );
  }

  /** Everything until the service ends the connection. */
  async takeRest(): Promise<Uint8Array[]> {
    await this.#until(() => this.isClosed);
    return this.take(Math.ceil(this.#size / this.#actionBytes));
  }

  close(): void {
    this.#socket.terminate();
    this.#close();
  }

  #receive(bytes: Uint8Array): void {
    this.#received.push(Uint8Array.from(bytes));
    this.#size += bytes.length;
    this.#wake();
  }

  #flush(): void {
    const sent = this.#socket.write(this.#unsent);
    if (sent > 0) this.#unsent = this.#unsent.subarray(sent);
    this.#wake();
  }

  #close(): void {
    this.isClosed = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      const woken = new Promise<void>((resolve) => this.#waiting.push(resolve));
      await withinLimit(woken, `nothing came, ${this.#size} bytes are there`);
    }
  }
}

/** Asserts that the service answers these requests with these actions, in this order. */
export async function expectAnswers(client: Client, answers: readonly Uint8Array[]): Promise<void> {
  expect(await client.take(answers.length)).toEqual([...answers]);
}

async function withinLimit<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
