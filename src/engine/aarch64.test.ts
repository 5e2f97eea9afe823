/**
 * The layouts that differ between machines: an aarch64 engine under qemu, with a supervisor and a
 * predecessor that are this machine's own. Descriptors, shared memory, epoll and credentials all
 * pass from one to the other.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { AARCH64_ENV, asAarch64 } from "../../scripts/dev/emulate.ts";
import { BINARIES } from "../../scripts/dev/project.ts";
import { describeOnAarch64, findTool } from "../../scripts/dev/test_tools.ts";
import { closeSocket } from "../../ffi/socket.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import { Client } from "../serve/service_fixture.ts";
import { EngineUnderTest, killEngines } from "./engine_fixture.ts";
import { bytesOf, computeByKernel, type Exchange, frame, FramedPeer } from "./peer_fixture.ts";

setDefaultTimeout(300_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeByKernel(model);
});
afterAll(killEngines);

describeOnAarch64()("an engine on aarch64", () => {
  test("takes over clients, with what they had sent, and answers as here", async () => {
    const unix = join(directory, "s");
    const admission = { allowUids: [process.getuid?.() ?? 0] };
    const opening = { model, obsStats: OBS_STATS, ...admission };
    const { engine: old } = await EngineUnderTest.open(opening);
    const listener = await old.listen(unix);
    const [observation, action] = [exchange.observations[0]!, exchange.actions[0]!];
    const half = await Client.connect({ unix });
    half.send(bytesOf(observation).subarray(0, 99));
    const slow = await Client.connect({ unix });
    slow.pause();
    const count = 5000;
    slow.send(...Array.from({ length: count }, () => bytesOf(observation)));
    await old.until(({ counters }) => counters.slowReaders > 0 && counters.connections === 2);

    const { engine } = await EngineUnderTest.open(
      { ...opening, generation: 2 },
      { program: asAarch64(findTool("qemu") ?? "", [BINARIES.arm64]), env: AARCH64_ENV },
    );
    await engine.listen("", listener);
    expect(await old.handTo(engine)).toBe(2);
    await old.stop();
    half.send(bytesOf(observation).subarray(99));
    expect(await half.take(1)).toEqual([bytesOf(action)]);
    slow.resume();
    const answers = await slow.take(count);
    expect(answers.filter((bytes) => !Buffer.from(bytes).equals(bytesOf(action)))).toEqual([]);

    const fresh = await FramedPeer.connect({ unix });
    fresh.client.send(frame({ id: 5 }, observation));
    const answer = await fresh.answer();
    expect([answer?.header.id, answer?.header.generation, answer?.action]).toEqual([5, 2, action]);
    expect(engine.snapshot).toMatchObject({ state: "serving", openConnections: 3, generation: 2 });
    expect(engine.snapshot.counters).toMatchObject({ connections: 1, credentialsRefused: 0 });
    expect((await engine.stop()).status).toBe(0);
    closeSocket(listener);
  });
});
