/** Clients of an engine: many, slow, gone, unwelcome, and those that move to the next engine. */

import { afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { messagePair } from "../../ffi/message_socket.ts";
import { closeSocket } from "../../ffi/socket.ts";
import { createRandom } from "../base/random.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import { Client, told } from "../serve/service_fixture.ts";
import type { OpenCommand } from "../service/control.ts";
import { KIND, STATUS } from "../wire/protocol.ts";
import { EngineUnderTest, killEngines } from "./engine_fixture.ts";
import { bytesOf, computeByKernel, type Exchange, frame, FramedPeer } from "./peer_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;
let paths = 0;
const socketPath = (): string => join(directory, `s${paths++}`);

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeByKernel(model);
});
afterEach(killEngines);

const request = (i: number): Uint8Array => bytesOf(exchange.observations[i % 256]!);
const answer = (i: number): Uint8Array => bytesOf(exchange.actions[i % 256]!);
const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i);

/** Serving at `unix` already. */
async function start(more: Partial<OpenCommand> = {}) {
  const { engine } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, ...more });
  const unix = socketPath();
  const listener = await engine.listen(unix);
  return { engine, unix, listener };
}

/** What a client is answered that may be refused: closed, some only notice when they connect. */
async function attempt(unix: string): Promise<Uint8Array[]> {
  try {
    const client = await Client.connect({ unix });
    client.send(request(0));
    return await client.take(1);
  } catch (error) {
    expect((error as { code?: string }).code).toBe("ECONNRESET");
    return [];
  }
}

describe("the engine's clients", () => {
  test("are served, a thousand at once, with every request in halves", async () => {
    const { engine, unix } = await start();
    const clients: Client[] = [];
    for (const _ of range(0, 20)) {
      clients.push(...(await Promise.all(range(0, 50).map(() => Client.connect({ unix })))));
    }
    await engine.until(({ openConnections }) => openConnections === 1000);
    for (const [i, client] of clients.entries()) client.send(request(i).subarray(0, 1 + (i % 179)));
    for (const [i, client] of clients.entries()) client.send(request(i).subarray(1 + (i % 179)));
    for (const [i, client] of clients.entries()) expect(await client.take(1)).toEqual([answer(i)]);
    for (const client of clients) client.close();
    const { counters } = await engine.until(({ openConnections }) => openConnections === 0);
    expect([counters.connections, counters.answered, counters.partialFrames]).toEqual([
      1000, 1000, 0,
    ]);
  });

  test("wait for nobody who does not read, and he gets all in the end", async () => {
    const { engine, unix } = await start();
    const slow = await FramedPeer.connect({ unix });
    slow.client.pause();
    const count = 5000;
    const batch = frame(
      { id: 0 },
      Float32Array.from(exchange.observations.flatMap((o) => [...o])).subarray(0, 64 * 45),
    );
    slow.client.send(...range(0, count).map(() => batch));
    await engine.until(({ counters }) => counters.slowReaders > 0);
    const other = await Client.connect({ unix });
    for (const i of range(0, 200)) {
      other.send(request(i));
      expect(await other.take(1)).toEqual([answer(i)]);
    }
    expect(slow.client.unsentBytes).toBeGreaterThan(0);
    slow.client.resume();
    const expected = Float32Array.from(exchange.actions.slice(0, 64).flatMap((a) => [...a]));
    for (let i = 0; i < 200; i++) expect((await slow.answer())?.action).toEqual(expected);
    slow.client.close();
    other.close();
  });

  test("are counted when they leave in the middle of a request", async () => {
    const { engine, unix } = await start();
    const raw = await Client.connect({ unix });
    raw.send(request(0).subarray(0, 100));
    const framed = await Client.connect({ unix });
    framed.send(frame({ id: 1 }, exchange.observations[0]!).subarray(0, 100));
    await engine.until(({ counters }) => counters.bytesIn === 200);
    raw.close();
    framed.close();
    const { counters } = await engine.until(({ openConnections }) => openConnections === 0);
    expect(counters.partialFrames).toBe(2);
    await engine.stop();
    const [, ...said] = engine.events.filter(({ event }) => event === "info" || event === "ready");
    expect(said.map((event) => (event as { name: string }).name)).toContain("partial-frame");
  });

  test("may send anything: it answers or closes, and the others never notice", async () => {
    const { engine, unix } = await start();
    const { between } = createRandom(7);
    const below = (limit: number): number => Math.floor(between(0, limit));
    const whole = Buffer.concat([
      frame({ id: 1, kind: KIND.hello, rows: 0, payloadBytes: 0 }, new Float32Array(0)),
      frame({ id: 2 }, exchange.observations[0]!),
      request(0),
    ]);
    const other = await Client.connect({ unix });
    for (let i = 0; i < 300; i++) {
      const hostile = Uint8Array.from(whole.subarray(below(2) * 32));
      for (let flips = 0; flips < 4; flips++) {
        hostile[below(i % 2 === 0 ? 32 : hostile.length)] = below(256);
      }
      const client = await Client.connect({ unix }, 1);
      client.send(hostile);
      await client.finish();
      await client.takeRest();
      other.send(request(i));
      expect(await other.take(1)).toEqual([answer(i)]);
    }
    const { openConnections, counters } = engine.snapshot;
    expect(openConnections).toBe(1);
    expect(counters.protocolErrors).toBeGreaterThan(20);
    expect(counters.badInput + counters.answered).toBeLessThanOrEqual(counters.requests);
  });

  test("over --max-clients are turned away, without disturbing the others", async () => {
    const { engine, unix } = await start({ maxClients: 2 });
    const kept = [await Client.connect({ unix }), await Client.connect({ unix })];
    await engine.until(({ openConnections }) => openConnections === 2);
    expect(await attempt(unix)).toEqual([]);
    for (const [i, client] of kept.entries()) {
      client.send(request(i));
      expect(await client.take(1)).toEqual([answer(i)]);
    }
    kept[0]!.close();
    await engine.until(({ openConnections }) => openConnections === 1);
    const late = await Client.connect({ unix });
    late.send(request(2));
    expect(await late.take(1)).toEqual([answer(2)]);
    expect(engine.snapshot.counters).toMatchObject({ connections: 3, connectionsRefused: 1 });
  });

  test("have room again as soon as others left, however many come and go at once", async () => {
    const { engine, unix } = await start({ maxClients: 2 });
    engine.process.kill("SIGSTOP");
    for (const _ of range(0, 40)) (await Client.connect({ unix })).close();
    const late = await Client.connect({ unix });
    late.send(request(2));
    engine.process.kill("SIGCONT");
    expect(await late.take(1)).toEqual([answer(2)]);
    expect(engine.snapshot.counters).toMatchObject({ connections: 41, connectionsRefused: 0 });
  });

  test("over --max-clients are told busy where they speak framed, and ended", async () => {
    const { engine, unix } = await start({ maxClients: 1 });
    const kept = await Client.connect({ unix });
    await engine.until(({ openConnections }) => openConnections === 1);
    const reason = "1 are connected, --max-clients allows no more";
    for (const [kind, answerKind] of [
      [KIND.hello, KIND.helloAnswer],
      [KIND.infer, KIND.inferAnswer],
    ] as const) {
      const peer = await FramedPeer.connect({ unix });
      const rows = kind === KIND.hello ? [] : exchange.observations[0]!;
      peer.client.send(frame({ kind, id: 77 }, Float32Array.from(rows)));
      const answered = await peer.answer();
      expect(answered).toMatchObject({
        header: { kind: answerKind, id: 77, status: STATUS.busy, rows: 0 },
        reason,
      });
      expect(await peer.answer()).toBeUndefined();
    }
    // Who floods without a word costs descriptors, and not many.
    for (const words of await Promise.all(range(0, 200).map(() => told({ unix })))) {
      expect(words).toEqual([]);
    }
    kept.send(request(3));
    expect(await kept.take(1)).toEqual([answer(3)]);
    expect(engine.snapshot.counters).toMatchObject({
      connections: 1,
      connectionsRefused: 202,
      busy: 2,
    });
  });

  test("are refused by user and group, where some are named", async () => {
    const own = process.getuid?.() ?? 0;
    const group = process.getgid?.() ?? 0;
    for (const [allowed, admission] of [
      [true, { allowUids: [own] }],
      [true, { allowUids: [own + 1], allowGids: [group] }],
      [false, { allowUids: [own + 1] }],
      [false, { allowGids: [] }],
    ] as const) {
      const { engine, unix } = await start(admission);
      expect(await attempt(unix)).toEqual(allowed ? [answer(0)] : []);
      expect(engine.snapshot.counters).toMatchObject({
        connections: allowed ? 1 : 0,
        credentialsRefused: allowed ? 0 : 1,
      });
      await engine.kill();
    }
  });
});

describe("the hand-over to the next engine", () => {
  /** A second engine with the same listener, which takes over. */
  async function next(listener: number): Promise<EngineUnderTest> {
    const { engine } = await EngineUnderTest.open({ model, obsStats: OBS_STATS, generation: 2 });
    await engine.listen("", listener);
    return engine;
  }

  test("keeps half requests and unread answers", async () => {
    const { engine: old, unix, listener } = await start();
    const half = await Client.connect({ unix });
    half.send(request(1).subarray(0, 77));
    const idle = await FramedPeer.connect({ unix });
    idle.client.send(frame({ id: 1 }, exchange.observations[0]!));
    expect((await idle.answer())?.header.generation).toBe(1);
    const framed = await FramedPeer.connect({ unix });
    const second = frame({ id: 9 }, exchange.observations[2]!);
    framed.client.send(second.subarray(0, 33));
    const slow = await Client.connect({ unix });
    slow.pause();
    const count = 20_000;
    slow.send(...range(0, count).map(request));
    await old.until(({ counters, openConnections }) => {
      return counters.slowReaders > 0 && openConnections === 4;
    });
    const engine = await next(listener);
    expect(await old.handTo(engine)).toBe(4);
    expect((await old.stop()).status).toBe(0);
    half.send(request(1).subarray(77), request(2));
    expect(await half.take(2)).toEqual([answer(1), answer(2)]);
    framed.client.send(second.subarray(33));
    const late = await framed.answer();
    expect([late?.header.id, late?.header.generation, late?.header.status]).toEqual([
      9,
      2,
      STATUS.ok,
    ]);
    expect(late?.action).toEqual(exchange.actions[2]!);
    slow.resume();
    expect(await slow.take(count)).toEqual(range(0, count).map(answer));
    const fresh = await Client.connect({ unix });
    fresh.send(request(3));
    expect(await fresh.take(1)).toEqual([answer(3)]);
    closeSocket(listener);
  });

  test("again and again under load loses no answer and gives none wrong", async () => {
    const { engine: first, unix, listener } = await start();
    const load = { isOver: false };
    const ask = async (from: number): Promise<number> => {
      const client = await Client.connect({ unix });
      let asked = 0;
      while (!load.isOver) {
        const i = from + asked * 7;
        const cut = 1 + ((from * 31 + asked * 37) % 179);
        client.send(request(i).subarray(0, cut));
        if (asked % 3 === 0) await Bun.sleep(1);
        client.send(request(i).subarray(cut), request(i + 1));
        expect(await client.take(2)).toEqual([answer(i), answer(i + 1)]);
        asked += 2;
      }
      client.close();
      return asked;
    };
    const asking = range(0, 8).map(ask);
    let answered = 0;
    let engine = first;
    for (let swap = 0; swap < 5; swap++) {
      const following = await next(listener);
      await engine.handTo(following);
      await engine.stop();
      answered += engine.snapshot.counters.answered;
      engine = following;
    }
    load.isOver = true;
    const asked = await Promise.all(asking);
    answered += engine.snapshot.counters.answered;
    expect(answered).toBe(asked.reduce((sum, count) => sum + count, 0));
    closeSocket(listener);
  });

  test("to an engine that is gone leaves the clients where they are", async () => {
    const { engine: old, unix, listener } = await start();
    const client = await Client.connect({ unix });
    client.send(request(0));
    await client.take(1);
    const [from, to] = messagePair();
    closeSocket(to);
    old.command({ type: "hand-over" }, [from]);
    closeSocket(from);
    expect((await old.event("handed")).connections).toBe(0);
    client.send(request(1));
    expect(await client.take(1)).toEqual([answer(1)]);
    const fresh = await Client.connect({ unix });
    fresh.send(request(2));
    expect(await fresh.take(1)).toEqual([answer(2)]);
    closeSocket(listener);
  });
});
