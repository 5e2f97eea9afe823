/** Short soaks from source, and proof that the driver sees what is wrong. */

import { expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../../src/base/directory_fixture.ts";
import { present } from "../../src/base/assert.ts";
import { exportDemoPolicy, OBS_STATS } from "../../src/cli/program_fixture.ts";
import { openPolicy } from "../../src/runtime/open.ts";
import { ROOT, run } from "./project.ts";
import { answersOf, buildPeer, writeExchange, writeNetwork } from "./service_peers.ts";
import {
  type SoakOptions,
  soakFallback,
  soakFaults,
  soakReloads,
  soakSound,
} from "./service_soak.ts";
import { describeWith, findTool } from "./test_tools.ts";

const REQUESTS = 20_000;
const directory = temporaryDirectory();

const optionsIn = (name: string): SoakOptions => {
  const own = join(directory, name);
  mkdirSync(own);
  const program = [process.execPath, join(ROOT, "src", "main.ts")];
  return { program, cc: present(findTool("cc")), directory: own, requests: REQUESTS };
};

describeWith("cc")("the service under many requests", () => {
  test("answers every one with its own action", async () => {
    const summary = await soakSound(optionsIn("sound"));
    const { requests, answered, lost, deadlineMissed, abandoned } = summary;
    expect(summary).toMatchObject({
      wrong: 0,
      closed: 0,
      badInput: 0,
      busy: 0,
      failed: 0,
      status: 0,
    });
    expect(requests).toBeGreaterThanOrEqual(REQUESTS);
    expect(answered + lost + deadlineMissed).toBe(requests);
    // Only what the driver left behind itself has no answer.
    expect(lost).toBeLessThanOrEqual(8 * abandoned);
  });

  test("is noticed by nobody while its model is opened anew", async () => {
    const options = { ...optionsIn("reloads"), requests: 10 * REQUESTS };
    const summary = await soakReloads(options, 100);
    expect(summary).toMatchObject({ wrong: 0, closed: 0, busy: 0, failed: 0, status: 0 });
    expect(summary.swaps).toBeGreaterThan(0);
  });

  test("answers by its fallback, marked, while its model fails, hangs and crashes", async () => {
    const summary = await soakFallback(optionsIn("fallback"));
    expect(summary).toMatchObject({ wrong: 0, busy: 0, failed: 0, status: 0 });
    expect(Math.min(summary.fallback, summary.badInput, summary.closed)).toBeGreaterThan(0);
    expect(summary.answered - summary.fallback).toBeGreaterThan(0);
  });

  test("never gives a wrong action while its model fails, hangs and crashes", async () => {
    const options = optionsIn("faults");
    const summary = await soakFaults(options);
    expect(summary).toMatchObject({ wrong: 0, busy: 0, status: 0 });
    expect(summary.answered).toBeGreaterThan(REQUESTS / 2);
    expect(Math.min(summary.badInput, summary.failed, summary.closed)).toBeGreaterThan(0);
    expect(readdirSync(join(options.directory, "once")).sort()).toEqual(["crash", "hang"]);
  });
});

describeWith("cc")("the peers in C", () => {
  test("the driver counts every number that is wrong, the client stops at one", async () => {
    const { cc } = optionsIn("peers");
    const model = await exportDemoPolicy(directory);
    using policy = await openPolicy(model, OBS_STATS);
    const network = join(directory, "network.bin");
    writeNetwork(network, model, present(policy.normalizer));
    const answers = await answersOf(policy, 64);
    const [right, wrong] = ["right", "wrong"].map((name) => join(directory, name)) as [
      string,
      string,
    ];
    writeExchange(right, answers);
    writeExchange(wrong, { ...answers, actions: answers.actions.map((value) => value + 1) });

    const socket = join(directory, "peer.sock");
    const [server, client, soak] = (["server", "client", "soak"] as const).map((name) =>
      buildPeer(name, cc, directory),
    ) as [string, string, string];
    const child = Bun.spawn([server, network, socket], { stdio: ["pipe", "pipe", "inherit"] });
    await child.stdout.getReader().read();
    const ask = (exchange: string) => run([client, `unix:${socket}`, exchange, "4", "500", "0"]);
    const figures = JSON.parse(ask(right).stdout);
    expect(Object.keys(figures)).toEqual(["requests", "perSecond", "p50", "p99", "p999", "max"]);
    expect(ask(wrong)).toEqual({ status: 1, stdout: "", stderr: "client: an answer is wrong\n" });
    const driven = run([soak, wrong, "200", "1", "clean", `raw:unix:${socket}`]);
    expect(driven.status).toBe(1);
    const { answered, wrong: seen } = JSON.parse(driven.stdout);
    expect({ answered, seen }).toEqual({ answered, seen: answered });
    expect(answered).toBeGreaterThan(150);
    await child.stdin.end();
    expect(await child.exited).toBe(0);
  });
});
