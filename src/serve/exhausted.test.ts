/** A service whose system gives it nothing more, or whose engines stand still before they serve. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, run, type StartOptions } from "../cli/program_fixture.ts";
import {
  Client,
  computeExchange,
  enginePids,
  type Exchange,
  expectAnswers,
  killServices,
  startService,
  untilEngines,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;
let sockets = 0;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeExchange(model);
});
afterAll(killServices);

async function start(more: readonly string[] = [], options: StartOptions = {}) {
  const unix = join(directory, `s${sockets++}`);
  const flags = ["--model", model, "--obs-stats", OBS_STATS, "--socket", unix];
  const service = await startService([...flags, ...more], options);
  const { pid } = service.program;
  const client = await Client.connect({ unix });
  const ask = async (from: Client = client): Promise<void> => {
    from.send(exchange.requests[0]!);
    await expectAnswers(from, [exchange.answers[0]!]);
  };
  await ask();
  return { service, pid, unix, ask };
}

/** From now on a process may have so many descriptors, by default those that it has. */
function limit(pid: number, most = readdirSync(`/proc/${pid}/fd`).length): void {
  const { exitCode } = Bun.spawnSync(["prlimit", `--pid=${pid}`, `--nofile=${most}:`]);
  expect(exitCode).toBe(0);
}

test("serve that may write no files says so", async () => {
  const unix = join(directory, "none");
  const ran = await run(["serve", "--model", model, "--obs-stats", OBS_STATS, "--socket", unix], {
    through: ["prlimit", "--fsize=0"],
  });
  expect(ran).toMatchObject({
    status: 6,
    stderr: expect.stringMatching(
      /^error: Cannot share \d+ bytes of memory: EFBIG, need ulimit -f unlimited\n$/,
    ),
  });
});

describe("serve without descriptors", () => {
  test("takes fewer clients, says so, and moves all of them at a reload", async () => {
    const through = ["prlimit", "--nofile=64:64"];
    const { service, pid, unix, ask } = await start(["--spare"], { through });
    await service.stderr.until(
      /warning: serves 16 clients at a time and not 1024: more open files than 64 are not allowed/,
    );
    const clients: Client[] = [];
    while (clients.length < 15) {
      const client = await Client.connect({ unix });
      await ask(client);
      clients.push(client);
    }
    const turnedAway = await Promise.all(clients.map(() => Client.connect({ unix })));
    process.kill(pid, "SIGUSR1");
    await service.stderr.until(/generation 2 of .* serves, 16 connections moved/);
    for (const client of clients) await ask(client);
    await ask();
    for (const client of turnedAway) expect(await client.takeRest()).toEqual([]);
    const { status, stderr } = await service.stop();
    expect(status).toBe(0);
    expect(stderr).toEndWith(" left in the middle of a request, 15 clients turned away\n");
  });

  test("refuses a reload, and goes on", async () => {
    const { service, pid, ask } = await start();
    limit(pid);
    process.kill(pid, "SIGUSR1");
    await service.stderr.until(/reload: the model was not replaced: .*\n/);
    await ask();
    limit(pid, 1024);
    process.kill(pid, "SIGUSR1");
    await service.stderr.until(/generation 2 of .* serves, 1 connection moved/);
    await ask();
    expect((await service.stop()).status).toBe(0);
  });

  test("goes on without a spare engine", async () => {
    const { service, pid, ask } = await start(["--spare"]);
    const [, spare] = await untilEngines(pid, 2);
    limit(pid, 12);
    process.kill(spare!, "SIGKILL");
    await service.stderr.until(/warning: Cannot start an engine: .*\n/);
    await ask();
    expect((await service.stop()).status).toBe(0);
  });

  test("tries again to replace an engine that died", async () => {
    const { service, pid, unix, ask } = await start();
    limit(pid, 12);
    process.kill(enginePids(pid)[0]!, "SIGKILL");
    await service.stderr.until(/(warning: Cannot start an engine: .*\n[^]*){2}/);
    limit(pid, 1024);
    await service.stderr.until(/answers since \d+ ms later/);
    await ask(await Client.connect({ unix }));
    expect((await service.stop()).status).toBe(0);
  });

  test("keeps the clients where they are when their engine cannot give them away", async () => {
    const { service, pid, unix, ask } = await start();
    limit(enginePids(pid)[0]!);
    process.kill(pid, "SIGUSR1");
    await service.stderr.until(
      /reload: the model was not replaced: the new engine could not take the clients over\n/,
    );
    await ask();
    limit(enginePids(pid)[0]!, 1024);
    await ask(await Client.connect({ unix }));
    const { status, stderr } = await service.stop();
    expect([status, /stopped: 3 answers on 2 connections/.test(stderr)]).toEqual([0, true]);
  });
});

describe("serve with an engine that stands still", () => {
  test("before it is needed notices, and opens another", async () => {
    const { service, pid, ask } = await start(["--spare", "--infer-timeout", "100ms"]);
    const [, spare] = await untilEngines(pid, 2);
    // Not while it opens its model, for which it has more time.
    await Bun.sleep(1000);
    process.kill(spare!, "SIGSTOP");
    await service.stderr.until(/warning: the spare engine stood still\n/);
    await untilEngines(pid, 2, [spare!]);
    await ask();
    expect((await service.stop()).status).toBe(0);
  });
});
