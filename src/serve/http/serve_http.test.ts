/**
 * `lite3rl serve --http` whole: supervisor, engine, clients, Prometheus' tool and a browser.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { present } from "../../base/assert.ts";
import { temporaryDirectory } from "../../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../../cli/program_fixture.ts";
import { findTool, testWith } from "../../../scripts/dev/test_tools.ts";
import {
  Client,
  computeExchange,
  type Exchange,
  killServices,
  type Service,
  startService,
} from "../service_fixture.ts";
import { openInBrowser } from "./browser_fixture.ts";
import { KEEP_MS } from "./server.ts";
import type { ServiceStatus } from "./status.ts";

const directory = temporaryDirectory();
const socket = join(directory, "policy.sock");
/** A robot's control stack asks 50 times a second; this is a busier one. */
const PERIOD_MS = 5;

describe("serve --http", () => {
  let exchange: Exchange;
  let service: Service;
  let address: string;

  beforeAll(async () => {
    const model = await exportDemoPolicy(directory);
    exchange = await computeExchange(model);
    const flags = ["--model", model, "--obs-stats", OBS_STATS, "--socket", socket];
    service = await startService([...flags, "--http", "127.0.0.1:0"]);
    const [, at] = await service.stderr.until(/live page are at (http:\/\/127\.0\.0\.1:\d+\/)/);
    address = present(at);
  }, 60_000);
  afterAll(killServices);

  const status = async (): Promise<ServiceStatus> =>
    (await (await fetch(`${address}status.json`)).json()) as ServiceStatus;

  /** The first status that fits, or the last within ten seconds. */
  async function statusWhen(fits: (status: ServiceStatus) => boolean): Promise<ServiceStatus> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      const now = await status();
      if (fits(now) || performance.now() > deadline) return now;
      await Bun.sleep(20);
    }
  }

  /** Requests at a steady rate over one connection, until disposed. */
  async function keepAsking(): Promise<AsyncDisposable> {
    const client = await Client.connect({ unix: socket });
    const end = new AbortController();
    const asking = (async () => {
      for (let at = 0; !end.signal.aborted; at = (at + 1) % exchange.requests.length) {
        client.send(present(exchange.requests[at]));
        expect(await client.take(1)).toEqual([present(exchange.answers[at])]);
        await Bun.sleep(PERIOD_MS);
      }
      client.close();
    })();
    return {
      async [Symbol.asyncDispose]() {
        end.abort();
        await asking;
      },
    };
  }

  test("counts every request, and shows the last one", async () => {
    const before = (await status()).totals;
    const client = await Client.connect({ unix: socket });
    client.send(...exchange.requests);
    const answers = await client.take(exchange.requests.length);
    client.close();
    const shown = (bytes: Uint8Array | undefined): number[] =>
      Array.from(new Float32Array(present(bytes).slice().buffer), (x) => Number(x.toPrecision(6)));
    // While it is busy an engine shows a request now and then, and the last one when it is idle.
    const last = shown(exchange.requests.at(-1));
    const settled = await statusWhen(({ observation }) => Bun.deepEquals(observation, last));
    const { totals, observation, action, service: taken, ready, model } = settled;
    expect(totals.answered - before.answered).toBe(exchange.requests.length);
    expect(taken.reduce((sum, count) => sum + count, 0)).toBe(totals.answered);
    expect(observation).toEqual(last);
    expect(action).toEqual(shown(answers.at(-1)));
    expect([ready, model?.generation, model?.evidence]).toEqual([true, 1, "cpu"]);
    expect((await fetch(`${address}readyz`)).status).toBe(200);
  });

  testWith("promtool")("promtool has nothing to say about its metrics", async () => {
    const text = await (await fetch(`${address}metrics`)).text();
    expect(text).toContain("lite3rl_ready 1\n");
    const check = Bun.spawnSync([present(findTool("promtool")), "check", "metrics"], {
      stdin: Buffer.from(text),
    });
    expect([String(check.stdout), String(check.stderr), check.exitCode]).toEqual(["", "", 0]);
  });

  testWith("chromium")("its page moves under load", async () => {
    await using _load = await keepAsking();
    await using page = await openInBrowser(present(findTool("chromium")), address);
    const pictures = (): Promise<string[]> =>
      page.evaluate("[...document.querySelectorAll('canvas')].map((c) => c.toDataURL())");
    await page.until("document.documentElement.dataset.answers >= 3");
    const before = await pictures();
    await page.until("document.documentElement.dataset.answers >= 6");
    const after = await pictures();
    expect(after.map((picture, i) => picture === before[i])).toEqual(Array(6).fill(false));
    expect(await page.evaluate("document.getElementById('headline').textContent")).toMatch(
      /^policy\.onnx answers [1-9][\d.]* requests\/s$/,
    );
    expect(page.problems).toEqual([]);
    const { LITE3RL_TEST_SCREENSHOTS: keep } = process.env;
    if (keep) await Bun.write(join(keep, "live.png"), await page.screenshot(1200, "light"));
  });

  test("says a death, and goes on counting with the next engine", async () => {
    // What was asked for the test before is kept for a moment.
    await Bun.sleep(KEEP_MS);
    const before = await status();
    const engines = Bun.spawnSync(["pgrep", "-P", String(service.program.pid)]).stdout;
    process.kill(Number(String(engines).split("\n")[0]), "SIGKILL");
    const after = await statusWhen(({ restarts, ready }) => restarts > before.restarts && ready);
    expect(after.deaths).toEqual({ crash: 1, hang: 0, nonFinite: 0, failed: 0 });
    expect([after.totals, after.service]).toEqual([before.totals, before.service]);
    expect([after.ready, after.restarts]).toEqual([true, before.restarts + 1]);
    expect(after.events.map(({ name }) => name)).toContain("death");
    expect(await (await fetch(`${address}metrics`)).text()).toContain(
      'lite3rl_engine_deaths_total{cause="crash"} 1\n',
    );
  });
});
