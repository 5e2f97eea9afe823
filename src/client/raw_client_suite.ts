/**
 * What every client does with raw bytes, which carry neither sizes nor ids.
 */

import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import type { Place } from "./client_suite.ts";
import { PATIENCE_MS, startDriver } from "./driver_fixture.ts";

type RawAnswer = (observation: Float32Array, socket: Bun.Socket<{ number: number }>) => void;

const doubled: RawAnswer = (observation, socket) => {
  socket.write(Float32Array.of((observation[0] ?? 0) * 2, (observation[1] ?? 0) * 2));
};

/** Three numbers in, two out. */
export function testRawClient({ directory, launch }: Place): void {
  let stack = new AsyncDisposableStack();
  let count = 0;
  afterEach(async () => {
    const used = stack;
    stack = new AsyncDisposableStack();
    await used.disposeAsync();
  });

  const meet = () => {
    const path = join(directory, `r${count++}`);
    const service = { answer: doubled, connections: 0, questions: 0 };
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
    stack.defer(() => listener.stop(true));
    const client = stack.use(startDriver(launch()([`unix:${path}`, "3", "2", "raw"])));
    return { service, client };
  };

  test("infer() gets the action for an observation, and for a batch", async () => {
    const { service, client } = meet();
    expect(await client.infer([1, 2, 3])).toMatchObject({ status: 0, action: [2, 4] });
    const batch = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    const { status, action } = await client.infer(batch, PATIENCE_MS, 3);
    expect([status, action]).toEqual([0, [2, 4, 8, 10, 14, 16]]);
    expect(service.connections).toBe(1);
  });

  test("infer() leaves the connection after a missed deadline", async () => {
    const { service, client } = meet();
    service.answer = () => {};
    const missed = { status: 17, open: false, action: [-7, -7] };
    expect(await client.infer([1, 2, 3], 40)).toMatchObject(missed);
    service.answer = doubled;
    expect(await client.infer([5, 6, 7])).toMatchObject({ status: 0, action: [10, 12] });
    expect(service.connections).toBe(2);
  });

  test("infer() leaves a connection that gives more than was asked for", async () => {
    const { service, client } = meet();
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
    const { service, client } = meet();
    await client.infer([1, 2, 3]);
    client.reset();
    expect(await client.infer([1, 2, 3])).toMatchObject({ action: [2, 4] });
    expect(service.connections).toBe(2);
  });

  test("infer() sends no number that is not finite: it could look like the other protocol", async () => {
    const { service, client } = meet();
    expect(await client.infer([NaN, 2, 3])).toMatchObject({ status: 16, action: [-7, -7] });
    expect(service.questions).toBe(0);
  });
}
