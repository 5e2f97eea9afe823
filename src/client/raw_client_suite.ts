/**
 * What every client does with raw bytes, which carry neither sizes nor ids.
 */

import { expect, test } from "bun:test";
import { type Driver, PATIENCE_MS } from "./driver_fixture.ts";
import type { Stage } from "./stage_fixture.ts";

type RawAnswer = (observation: Float32Array, socket: Bun.Socket<{ number: number }>) => void;

const doubled: RawAnswer = (observation, socket) => {
  socket.write(Float32Array.of((observation[0] ?? 0) * 2, (observation[1] ?? 0) * 2));
};

/** Three numbers in, two out. */
interface RawService {
  answer: RawAnswer;
  connections: number;
  questions: number;
}

function meetRaw(stage: Stage): { readonly service: RawService; readonly client: Driver } {
  const path = stage.newPath();
  const service: RawService = { answer: doubled, connections: 0, questions: 0 };
  const rest = new Map<number, Uint8Array>();
  const listener = Bun.listen<{ number: number }>({
    unix: path,
    socket: {
      open: (socket) => void (socket.data = { number: service.connections++ }),
      data(socket, bytes) {
        let all = Buffer.concat([rest.get(socket.data.number) ?? new Uint8Array(), bytes]);
        for (; all.length >= 12; all = all.subarray(12), service.questions++) {
          service.answer(new Float32Array(Uint8Array.from(all.subarray(0, 12)).buffer), socket);
        }
        rest.set(socket.data.number, all);
      },
    },
  });
  stage.defer(() => listener.stop(true));
  return { service, client: stage.drive(`unix:${path}`, 3, 2, "raw") };
}

export function testRawClient(stage: Stage): void {
  test("infer() gets the action for an observation, and for a batch", async () => {
    const { service, client } = meetRaw(stage);
    expect(await client.infer([1, 2, 3])).toMatchObject({ status: 0, action: [2, 4] });
    const batch = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    const { status, action } = await client.infer(batch, PATIENCE_MS, 3);
    expect([status, action]).toEqual([0, [2, 4, 8, 10, 14, 16]]);
    expect(service.connections).toBe(1);
  });

  test("infer() leaves the connection after a missed deadline", async () => {
    const { service, client } = meetRaw(stage);
    service.answer = () => {};
    const missed = { status: 17, open: false, action: [-7, -7] };
    expect(await client.infer([1, 2, 3], 40)).toMatchObject(missed);
    service.answer = doubled;
    expect(await client.infer([5, 6, 7])).toMatchObject({ status: 0, action: [10, 12] });
    expect(service.connections).toBe(2);
  });

  test("infer() leaves a connection that gives more than was asked for", async () => {
    const { service, client } = meetRaw(stage);
    service.answer = (observation, socket) => {
      doubled(observation, socket);
      doubled(observation, socket);
    };
    expect(await client.infer([1, 2, 3])).toMatchObject({ action: [2, 4] });
    service.answer = doubled;
    await Bun.sleep(20);
    expect(await client.infer([5, 6, 7])).toMatchObject({ action: [10, 12] });
    expect(service.connections).toBe(2);
  });

  test("reset() begins an episode by another connection", async () => {
    const { service, client } = meetRaw(stage);
    await client.infer([1, 2, 3]);
    client.reset();
    expect(await client.infer([1, 2, 3])).toMatchObject({ action: [2, 4] });
    expect(service.connections).toBe(2);
  });

  test("infer() sends no NaN, which could look like the other protocol", async () => {
    const { service, client } = meetRaw(stage);
    expect(await client.infer([NaN, 2, 3])).toMatchObject({ status: 16, action: [-7, -7] });
    expect(service.questions).toBe(0);
  });
}
