import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LIMITS } from "../base/limits.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import {
  Client,
  computeExchange,
  enginePids,
  type Exchange,
  expectAnswers,
  killServices,
  type Service,
  startService,
  told,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let service: Service;
let unix: string;
let exchange: Exchange;
let flags: string[];

beforeAll(async () => {
  const model = await exportDemoPolicy(directory);
  flags = ["--model", model, "--obs-stats", OBS_STATS];
  unix = join(directory, "s");
  service = await startService([...flags, "--socket", unix]);
  exchange = await computeExchange(model);
});

afterAll(killServices);

const request = (i: number): Uint8Array => exchange.requests[i % exchange.requests.length]!;
const answer = (i: number): Uint8Array => exchange.answers[i % exchange.answers.length]!;
const range = <T>(from: number, count: number, of: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => of(from + i));
const connectMany = (count: number): Promise<Client[]> =>
  Promise.all(range(0, count, () => Client.connect({ unix })));

for (const count of [2, 50]) {
  test(`the service mixes nothing up between ${count} clients`, async () => {
    const clients = await connectMany(count);
    const rounds = 10;
    // Every client has its own observations, and half of each is sent before any other half.
    for (let round = 0; round < rounds; round++) {
      const index = (i: number): number => i * rounds + round;
      const cut = 1 + ((round * 37) % 179);
      for (const [i, client] of clients.entries()) client.send(request(index(i)).subarray(0, cut));
      for (const [i, client] of clients.toReversed().entries()) {
        client.send(request(index(count - 1 - i)).subarray(cut));
      }
      for (const [i, client] of clients.entries()) await expectAnswers(client, [answer(index(i))]);
    }
    for (const client of clients) client.close();
  });
}

test("the service serves others while a client does not read, and then gives it all", async () => {
  const slow = await Client.connect({ unix });
  slow.pause();
  const count = 20_000;
  slow.send(...range(0, count, request));
  const other = await Client.connect({ unix });
  for (let i = 0; i < 200; i++) {
    other.send(request(i));
    await expectAnswers(other, [answer(i)]);
  }
  // It was not read from either: its requests still wait on its own side.
  expect(slow.unsentBytes).toBeGreaterThan(0);
  other.close();
  slow.resume();
  await expectAnswers(slow, range(0, count, answer));
  slow.close();
});

test("the service survives clients that leave while their answers wait", async () => {
  for (let round = 0; round < 20; round++) {
    const clients = await connectMany(5);
    for (const client of clients) {
      client.pause();
      client.send(...range(0, 8_000, request));
    }
    const other = await Client.connect({ unix });
    other.send(request(round));
    await expectAnswers(other, [answer(round)]);
    for (const client of [...clients, other]) client.close();
  }
  const after = await Client.connect({ unix });
  after.send(request(1));
  await expectAnswers(after, [answer(1)]);
  after.close();
});

test("the service turns away whoever comes over its limit, until one leaves", async () => {
  const first: Client[] = [];
  while (first.length < LIMITS.connections) {
    const some = await connectMany(64);
    for (const client of some) client.send(request(first.length));
    for (const client of some) await expectAnswers(client, [answer(first.length)]);
    first.push(...some);
  }
  for (const words of await Promise.all(range(0, 76, () => told({ unix })))) {
    expect(words).toEqual([]);
  }
  await service.stderr.until(
    /warning: refused a client: 1024 are connected, --max-clients allows no more\n/,
  );
  for (const client of first) {
    client.send(request(5));
    await expectAnswers(client, [answer(5)]);
  }
  for (const client of first) client.close();
  const next = await Client.connect({ unix });
  next.send(request(6));
  await expectAnswers(next, [answer(6)]);
  next.close();
});

test("the service waits, and does not spin, when it has no file descriptors left", async () => {
  const unix = join(directory, "poor");
  const poor = await startService([...flags, "--socket", unix]);
  const pid = enginePids(poor.program.pid)[0]!;
  expect(Bun.spawnSync(["prlimit", `--pid=${pid}`, "--nofile=64:64"]).exitCode).toBe(0);
  const clients = await Promise.all(range(0, 80, () => Client.connect({ unix })));
  for (const [i, client] of clients.entries()) client.send(request(i));
  const [, served] = await poor.stderr.until(/warning: (\d\d) clients are connected, the next/);
  const [cpu, started] = [cpuMs(pid), performance.now()];
  await Bun.sleep(400);
  expect(cpuMs(pid) - cpu).toBeLessThan((performance.now() - started) / 2);
  for (const [i, client] of clients.entries()) {
    await expectAnswers(client, [answer(i)]);
    client.close();
  }
  const { status, stderr } = await poor.stop();
  expect({
    status,
    counts: /stopped: (\d+) answers on (\d+) connections/.exec(stderr)?.slice(1),
  }).toEqual({ status: 0, counts: ["80", "80"] });
  expect(Number(served)).toBeWithin(30, 64);
});

/** User and system time of a process, in clock ticks of 10 ms (proc_pid_stat(5)). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

test("the service stops with clients connected, and says how much it did", async () => {
  const other = join(directory, "other");
  const stopping = await startService([...flags, "--socket", other]);
  const clients = await Promise.all(range(0, 3, () => Client.connect({ unix: other })));
  for (const [i, client] of clients.entries()) {
    client.send(...range(i, 20, request));
    await expectAnswers(client, range(i, 20, answer));
  }
  clients[0]!.send(request(0).subarray(0, 7));
  clients[1]!.close();
  await stopping.stop().then(({ status, stderr }) => {
    expect({ status, last: stderr.trimEnd().split("\n").at(-1) }).toEqual({
      status: 0,
      last: expect.stringMatching(
        /^stopped: 60 answers on 3 connections, 0 requests refused, [01] left in the middle of a req/,
      ),
    });
  });
  for (const client of clients) expect(await client.takeRest()).toEqual([]);
});
