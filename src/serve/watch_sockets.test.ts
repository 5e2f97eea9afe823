/** A service whose socket somebody takes away. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import {
  Client,
  computeExchange,
  type Exchange,
  expectAnswers,
  killServices,
  startService,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeExchange(model);
});
afterAll(killServices);

test("watchSockets() makes a socket again that was removed, and says what it cannot", async () => {
  const [unix, http] = [join(directory, "s"), join(directory, "http")];
  const at = ["--socket", unix, "--http", `unix:${http}`];
  const service = await startService(["--model", model, "--obs-stats", OBS_STATS, ...at]);
  const ask = async (client: Client): Promise<void> => {
    client.send(exchange.requests[0]!);
    await expectAnswers(client, [exchange.answers[0]!]);
  };
  const readiness = async (): Promise<string> =>
    (await fetch("http://localhost/readyz", { unix: http })).text();
  const early = await Client.connect({ unix });
  await ask(early);
  rmSync(unix);
  await service.stderr.until(/warning: "unix:.*" was removed, and is there again\n/);
  expect((statSync(unix).mode & 0o777).toString(8)).toBe("600");
  await ask(early);
  await ask(await Client.connect({ unix }));
  service.program.kill("SIGUSR1");
  await service.stderr.until(/generation 2 of .* serves, 2 connections moved/);
  await ask(await Client.connect({ unix }));
  expect(await readiness()).toBe("ready\n");

  writeFileSync(`${unix}.mine`, "mine");
  renameSync(`${unix}.mine`, unix);
  const problem = `clients do not find "unix:${unix}": something else has its name`;
  const start = performance.now();
  while ((await readiness()) === "ready\n" && performance.now() - start < 20_000) {
    await Bun.sleep(20);
  }
  expect(await readiness()).toBe(`not ready: ${problem}\n`);
  await ask(early);
  const { status, stderr } = await service.stop();
  expect(status).toBe(0);
  expect(stderr).toContain(`socket: ${problem}\n`);
  // It is not the service's to remove.
  expect(statSync(unix).size).toBe(4);
});
