/**
 * What every client does with a service that is broken or hostile: it ends in time, gives no
 * action that is none, and works again with one that is good.
 */

import { expect, test } from "bun:test";
import { createRandom } from "../base/random.ts";
import { ANSWER_BYTES, KIND } from "../wire/protocol.ts";
import {
  actionFrame,
  type Answer,
  answering,
  answerWell,
  frame,
  helloFrame,
} from "./framed_service_fixture.ts";
import { ONE, SHORT_MS, type Stage, UNTOUCHED } from "./stage_fixture.ts";

export function testHostileService(stage: Stage): void {
  testStrangeAnswers(stage);
  testStrangeHellos(stage);
  testFloodAndDrought(stage);
  testNoise(stage);
}

/** Answers that are none. */
function testStrangeAnswers({ meet }: Stage): void {
  test("a service of other sizes is refused, with both", async () => {
    const { client } = meet((request, socket) => {
      socket.write(helloFrame(request, { observationSize: 4 as never }));
    });
    const reason = "it takes 4 and gives 2 numbers, need 3 and 2";
    const refused = { status: 257, reason, open: false, action: UNTOUCHED };
    expect(await client.infer(ONE)).toMatchObject(refused);
    expect(await client.connect()).toMatchObject({ status: 257, reason });
  });

  const strange: readonly (readonly [string, (good: Uint8Array) => Uint8Array])[] = [
    ["another magic", (good) => good.with(0, 0x4d)],
    ["another version", (good) => good.with(22, 2)],
    ["a kind that is not known", (good) => good.with(4, 9)],
    ["more bytes than there is room for", (good) => good.with(15, 0xff)],
  ];
  for (const [what, spoil] of strange) {
    test(`an answer of ${what} ends the connection, and the next is tried`, async () => {
      const bad = answering((request, socket) => void socket.write(spoil(actionFrame(request))));
      const { service, client } = meet(bad);
      const reason = "the service does not speak this protocol";
      const refused = { status: 257, reason, open: false, action: UNTOUCHED };
      expect(await client.infer(ONE)).toMatchObject(refused);
      service.answer = (request, socket) => void socket.write(spoil(helloFrame(request)));
      expect(await client.connect()).toMatchObject({ status: 257, reason });
      service.answer = answerWell;
      await Bun.sleep(30);
      expect(await client.connect()).toMatchObject({ status: 0 });
      expect(await client.infer(ONE)).toMatchObject({ action: [1, 2] });
    });
  }

  test("an action of another size is none", async () => {
    const { service, client } = meet(answerWell);
    for (const count of [0, 1, 3, 12]) {
      service.answer = answering((request, socket) => {
        socket.write(frame(request, new Uint8Array(4 * count)));
      });
      const reason = "the service's action has another size";
      expect(await client.infer(ONE)).toMatchObject({ status: 257, reason, action: UNTOUCHED });
      await Bun.sleep(30);
    }
    service.answer = answering((request, socket) => {
      socket.write(frame(request, new Uint8Array(8), { rows: 2 }));
    });
    expect(await client.infer(ONE)).toMatchObject({ status: 257, action: UNTOUCHED });
  });
}

/** Hellos that are none, and none at all. */
function testStrangeHellos({ meet }: Stage): void {
  test("a hello that is none is refused", async () => {
    const { service, client } = meet((request, socket) => {
      socket.write(frame(request, new Uint8Array(20)));
    });
    const reason = "the service's hello is not one";
    expect(await client.connect()).toMatchObject({ status: 257, reason });
    service.answer = (request, socket) => {
      const refusal = { status: 16, kind: KIND.inferAnswer, id: 0, rows: 0 };
      socket.end(frame(request, new TextEncoder().encode("speaks version 9"), refusal));
    };
    await Bun.sleep(30);
    expect(await client.connect()).toMatchObject({ status: 257, reason: "speaks version 9" });
  });

  test("a service that closes instead of saying hello is not asked", async () => {
    const { client } = meet((_, socket) => void socket.end());
    expect(await client.infer(ONE)).toMatchObject({
      status: 256,
      reason:
        "the service closed instead of saying hello; its log says why: it may be full " +
        "(--max-clients), not let this user in (--allow-uid), or speak raw bytes only",
      action: UNTOUCHED,
    });
  });

  test("a hello that does not come is waited for across calls, and given up", async () => {
    let hello: () => void = () => {};
    const { service, client } = meet((request, socket) => {
      hello = () => void socket.write(helloFrame(request));
    });
    const waiting = { status: 17, reason: "the service says no hello", action: UNTOUCHED };
    expect(await client.infer(ONE, SHORT_MS)).toMatchObject(waiting);
    service.answer = answerWell;
    hello();
    expect(await client.infer(ONE)).toMatchObject({ status: 0, action: [1, 2] });
    expect(service.connections).toBe(1);

    service.answer = () => {};
    client.close();
    // The drivers give a connection up that is not ready within 300 ms.
    const statuses = new Set<number>();
    while (service.connections < 3) statuses.add((await client.infer(ONE, 50)).status);
    expect(statuses).toEqual(new Set([17, 256]));
  });
}

/** More than was asked for, and nobody who reads. */
function testFloodAndDrought({ meet }: Stage): void {
  test("answers to nothing, without end, do not hold infer() up", async () => {
    const { service, client } = meet(answerWell);
    await client.connect();
    service.answer = (request, socket) => {
      const flood = Buffer.concat(Array(500).fill(actionFrame(request, { id: 0xfffff })));
      const pour = (): void => {
        while (socket.write(flood) === flood.length);
        if (socket.readyState > 0) setTimeout(pour, 1);
      };
      pour();
    };
    expect(await client.infer(ONE, 100)).toMatchObject({ status: 17, action: UNTOUCHED });
    const next = await client.infer(ONE, 100);
    expect(next.action).toEqual(UNTOUCHED);
    client.close();
  });

  test("a service that does not read cuts a request, and is left", async () => {
    const size = 2000;
    const big = (request: Parameters<Answer>[0], socket: Parameters<Answer>[1]): void => {
      socket.write(helloFrame(request, { observationSize: size as never }));
      socket.pause();
    };
    const { service, client } = meet(big, size);
    await client.connect();
    const observation = Array(size * 64).fill(0.5) as number[];
    const missed = await client.infer(observation, 200, 64);
    expect(missed).toMatchObject({ status: 17, open: false });
    expect(service.infers()).toEqual([]);
  });
}

/** Answers with wrong bytes in any place. */
function testNoise({ meet }: Stage): void {
  test("infer() takes no harm from answers with wrong bytes", async () => {
    const random = createRandom(7);
    const below = (end: number): number => Math.floor(random.between(0, end));
    const spoil = (good: Uint8Array): Uint8Array => {
      const bytes = good.slice(0, good.length - (random.uniform() < 0.3 ? below(41) : 0));
      // Of the header only: a payload's bytes can be anything.
      for (let i = below(5); i > 0; i--) bytes[below(ANSWER_BYTES)] = below(256);
      return bytes;
    };
    const { service, client } = meet(answerWell);
    for (let i = 1; i <= 60; i++) {
      service.answer = (request, socket) => {
        const good = request.kind === KIND.hello ? helloFrame(request) : actionFrame(request);
        socket.write(random.uniform() < 0.3 ? good : spoil(good));
      };
      const { status, action } = await client.infer([i, 0, 0], SHORT_MS);
      expect(action).toEqual(status < 16 ? [i, i + 1] : UNTOUCHED);
      if (status >= 256) await Bun.sleep(25); // it does not try again earlier
    }
    client.close();
    service.answer = answerWell;
    await Bun.sleep(30);
    expect(await client.infer(ONE)).toMatchObject({ status: 0, action: [1, 2] });
  });
}
