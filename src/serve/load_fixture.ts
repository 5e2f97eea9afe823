/**
 * A client that never stops asking, for tests and for `recovery`: one observation after the other,
 * each answer held against the known one, and a new connection whenever the old one ends.
 */

import { ACTION_BYTES, type Exchange } from "./service_fixture.ts";

export interface LoadResult {
  readonly answered: number;
  /** Answers that were not the known one to the last bit. */
  readonly wrong: number;
  /** Connections that the service ended. */
  readonly closed: number;
  /** Longest time from one answer to the next. */
  readonly gapMs: number;
}

export interface Load {
  readonly result: LoadResult;
  /** Waits for the answer after the next `count - 1` ones; throws when none comes in time. */
  answers(count: number, limitMs?: number): Promise<void>;
  stop(): LoadResult;
}

/** Starts to ask at a Unix socket. */
export function startLoad(unix: string, { requests, answers }: Exchange): Load {
  const result = { answered: 0, wrong: 0, closed: 0, gapMs: 0 };
  let isOver = false;
  let socket: Bun.Socket | undefined;
  let at = 0;
  let pending: Uint8Array = new Uint8Array();
  let answeredMs: number | undefined;
  const ask = (): void => void socket?.write(requests[at % requests.length]!);
  const receive = (bytes: Uint8Array): void => {
    pending = Buffer.concat([pending, bytes]);
    if (pending.length < ACTION_BYTES) return;
    const now = performance.now();
    if (answeredMs !== undefined) result.gapMs = Math.max(result.gapMs, now - answeredMs);
    answeredMs = now;
    result.answered++;
    if (Buffer.compare(pending, answers[at % answers.length]!) !== 0) result.wrong++;
    pending = new Uint8Array();
    at++;
    if (!isOver) ask();
  };
  const end = (): void => {
    socket = undefined;
    if (isOver) return;
    result.closed++;
    setTimeout(connect, 1);
  };
  const connect = (): void => {
    if (isOver) return;
    pending = new Uint8Array();
    void Bun.connect({
      unix,
      socket: {
        open(opened) {
          socket = opened;
          ask();
        },
        data: (_socket, bytes) => receive(bytes),
        close: end,
        error() {},
      },
    }).catch(() => setTimeout(connect, 1));
  };
  connect();
  return {
    result,
    async answers(count, limitMs = 20_000) {
      const goal = result.answered + count;
      const deadline = performance.now() + limitMs;
      while (result.answered < goal) {
        if (performance.now() > deadline) {
          throw new Error(`${goal - result.answered} answers are missing after ${limitMs} ms`);
        }
        await Bun.sleep(1);
      }
    },
    stop() {
      isOver = true;
      socket?.terminate();
      return { ...result, gapMs: Math.round(result.gapMs) };
    },
  };
}

/** What a service answers to each request, to compare its later answers with. */
export async function askAll(unix: string, requests: readonly Uint8Array[]): Promise<Exchange> {
  const answers: Uint8Array[] = [];
  const received: Uint8Array[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix,
    socket: {
      data(asking, bytes) {
        received.push(Uint8Array.from(bytes));
        const all = Buffer.concat(received);
        if (all.length < ACTION_BYTES) return;
        received.length = 0;
        answers.push(Uint8Array.from(all));
        if (answers.length === requests.length) resolve();
        else asking.write(requests[answers.length]!);
      },
    },
  });
  socket.write(requests[0]!);
  await promise;
  socket.terminate();
  return { requests, answers };
}
