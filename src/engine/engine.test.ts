import { afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import { Client, computeExchange, type Exchange } from "../serve/service_fixture.ts";
import { EngineUnderTest, killEngines } from "./engine_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;
let paths = 0;
const socketPath = (): string => join(directory, `s${paths++}`);

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  exchange = await computeExchange(model);
});
afterEach(killEngines);

test("the engine answers raw observations, and stops with status 0", async () => {
  const { engine } = await EngineUnderTest.open({ model, obsStats: OBS_STATS });
  const unix = socketPath();
  await engine.listen(unix);
  const client = await Client.connect({ unix });
  client.send(...exchange.requests);
  expect(await client.take(exchange.requests.length)).toEqual([...exchange.answers]);
  expect(await engine.stop()).toEqual({ status: 0, stderr: "" });
});
