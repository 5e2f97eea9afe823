/**
 * Flags of `serve` that change what the engine does, each with the whole service: what it answers,
 * what its counters say, and what Linux says of its process.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { skipBecause } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import {
  exportDemoPolicy,
  failed,
  OBS_STATS,
  run,
  runJson,
  type StartOptions,
} from "../cli/program_fixture.ts";
import { readObservations } from "../dataset/observations.ts";
import { frame, FramedPeer } from "../engine/peer_fixture.ts";
import { writeNpy } from "../formats/npy.ts";
import { STATUS } from "../wire/protocol.ts";
import { KEEP_MS } from "./http/server.ts";
import {
  Client,
  computeExchange,
  enginePids,
  type Exchange,
  expectAnswers,
  killServices,
  OBSERVATION_BYTES,
  startService,
  untilEngines,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let flags: string[];
let exchange: Exchange;
let observations: Float32Array[];
let paths = 0;
const newPath = (): string => join(directory, `p${paths++}`);

beforeAll(async () => {
  const model = await exportDemoPolicy(directory);
  flags = ["--model", model, "--obs-stats", OBS_STATS];
  exchange = await computeExchange(model);
  observations = exchange.requests.map(floats);
});
afterAll(killServices);

const floats = (bytes: Uint8Array): Float32Array => new Float32Array(Uint8Array.from(bytes).buffer);

/** A service with its metrics on a Unix socket. */
async function serveMeasured(more: readonly string[], options?: StartOptions) {
  const [unix, http] = [newPath(), newPath()];
  const at = ["--socket", unix, "--http", `unix:${http}`];
  const service = await startService([...flags, ...at, ...more], options);
  await service.stderr.until(/live page are at/);
  const metrics = async (...names: string[]): Promise<Record<string, number>> => {
    await Bun.sleep(KEEP_MS);
    const text = await (await fetch("http://localhost/metrics", { unix: http })).text();
    return Object.fromEntries(
      names.map((name) => [name, Number(RegExp(`^lite3rl_${name} (.*)$`, "m").exec(text)?.[1])]),
    );
  };
  return {
    service,
    unix,
    metrics,
    enginePid: () => enginePids(service.program.pid)[0]!,
    /** Waits until a metric is so. */
    async until(name: string, value: number): Promise<void> {
      const deadline = performance.now() + 10_000;
      for (;;) {
        const found = (await metrics(name))[name];
        if (found === value) return;
        if (performance.now() > deadline) throw new Error(`${name} is ${found}, need ${value}`);
        await Bun.sleep(10);
      }
    },
  };
}

/** Asks for some of the known actions, over a connection of its own. */
async function ask(unix: string, from: number, count: number): Promise<void> {
  const client = await Client.connect({ unix });
  client.send(...exchange.requests.slice(from, from + count));
  await expectAnswers(client, exchange.answers.slice(from, from + count));
  client.close();
}

const writeSet = (path: string, rows: readonly Float32Array[], width = 45): void => {
  const data = Float32Array.from(rows.flatMap((row) => [...row]));
  writeFileSync(path, writeNpy({ dtype: "float32", shape: [rows.length, width], data }));
};

describe("serve --calibration", () => {
  test("counts by term what the set does not cover, and marks what is far from it", async () => {
    const set = newPath();
    writeSet(set, observations.slice(0, 64));
    const { service, unix, metrics } = await serveMeasured(["--calibration", set]);
    await ask(unix, 0, 64);
    const term = 'observation_outside_total{term="observation 3"}';
    const degraded = "answers_degraded_total";
    expect(await metrics(degraded)).toEqual({ [degraded]: 0 });
    const odd = observations[0]!.slice();
    odd[3] = 1e4;
    const peer = await FramedPeer.connect({ unix });
    peer.client.send(frame({ id: 1 }, odd), frame({ id: 2 }, observations[0]!));
    const statuses = [await peer.answer(), await peer.answer()].map((one) => one?.header.status);
    expect(statuses).toEqual([STATUS.degraded, STATUS.ok]);
    const text = await metrics(degraded, term.replace(/[{}]/g, "\\$&"));
    expect(Object.values(text)).toEqual([1, 1]);
    expect((await service.stop()).status).toBe(0);
  });

  test("refuses a set of another width before it serves", async () => {
    const [set, unix] = [newPath(), newPath()];
    writeSet(set, [Float32Array.of(1, 2), Float32Array.of(3, 4)], 2);
    expect(await run(["serve", ...flags, "--socket", unix, "--calibration", set])).toEqual(
      failed(
        2,
        `Cannot use the calibration set "${set}": it has 2 columns, the policy observes 45; ` +
          "name the set that belongs to it with --calibration",
      ),
    );
    expect(existsSync(unix)).toBe(false);
  });
});

describe("serve --action-limit", () => {
  test("cuts what is beyond, raw and framed, and counts it", async () => {
    const limit = 0.25;
    const { service, unix, metrics } = await serveMeasured(["--action-limit", `${limit}`]);
    const client = await Client.connect({ unix });
    client.send(exchange.requests[5]!);
    const whole = floats(exchange.answers[5]!);
    const cut = whole.map((value) => Math.max(-limit, Math.min(limit, value)));
    expect(cut).not.toEqual(whole);
    expect((await client.take(1)).map(floats)).toEqual([cut]);
    const peer = await FramedPeer.connect({ unix });
    peer.client.send(frame({ id: 1 }, observations[5]!));
    const answer = await peer.answer();
    expect([answer?.header.status, answer?.action]).toEqual([STATUS.degraded, cut]);
    const names = ["limited_actions_total", "answers_degraded_total", "answers_total"];
    expect(Object.values(await metrics(...names))).toEqual([2, 2, 2]);
    expect((await service.stop()).status).toBe(0);
  });
});

describe("serve --max-clients", () => {
  test("tells a framed client that it is busy, and says so in its metrics", async () => {
    const { service, unix, metrics, until } = await serveMeasured(["--max-clients", "1"]);
    const kept = await Client.connect({ unix });
    await until("open_connections", 1);
    const peer = await FramedPeer.connect({ unix });
    peer.client.send(frame({ id: 5 }, observations[0]!));
    expect(await peer.answer()).toMatchObject({
      header: { id: 5, status: STATUS.busy },
      reason: "1 are connected, --max-clients allows no more",
    });
    expect(await peer.answer()).toBeUndefined();
    const refused = await metrics("connections_refused_total", "busy_total");
    expect(Object.values(refused)).toEqual([1, 1]);
    kept.close();
    await until("open_connections", 0);
    await ask(unix, 0, 3);
    expect((await service.stop()).status).toBe(0);
  });
});

describe("serve --record", () => {
  test("keeps the last --record-rows, which collect and parity read", async () => {
    const path = join(directory, "recorded.npy");
    const { service, unix } = await serveMeasured(["--record", path, "--record-rows", "40"]);
    await ask(unix, 0, 60);
    expect((await service.stop()).status).toBe(0);
    const { data, rows } = await readObservations(path, 45);
    expect(rows).toBe(40);
    // A ring: the oldest rows are where the newest were written over others.
    const order = [...exchange.requests.slice(40, 60), ...exchange.requests.slice(20, 40)];
    expect(data).toEqual(floats(Buffer.concat(order)));
    const set = join(directory, "set.npy");
    const collected = await runJson(["collect", path, "--samples", "16", "--output", set]);
    expect([collected.status, (await readObservations(set, 45)).rows]).toEqual([0, 16]);
    const sides = ["mlp", "onnx", "--obs-stats", OBS_STATS, "--dataset", path];
    const parity = await runJson(["parity", ...sides, "--model", flags[1]!]);
    expect([parity.status, parity.json.samples]).toEqual([0, 40]);
  });

  test("loses nothing of the file when the engine is killed, and goes on in it", async () => {
    const path = newPath();
    const { service, unix, until } = await serveMeasured(["--record", path]);
    for (let round = 0; round < 3; round++) {
      const [engine] = await untilEngines(service.program.pid, 1);
      await ask(unix, round * 20, 20);
      await until("recorded_observations_total", (round + 1) * 20);
      process.kill(engine!, "SIGKILL");
      await untilEngines(service.program.pid, 1, [engine!]);
    }
    await ask(unix, 60, 20);
    expect((await service.stop()).status).toBe(0);
    expect((await readObservations(path, 45)).data).toEqual(
      floats(Buffer.concat(exchange.requests.slice(0, 80))),
    );
    // The next service goes on as well, also with a smaller ring.
    const next = await serveMeasured(["--record", path, "--record-rows", "60"]);
    await next.service.stderr.until(/has 80 observations, more than --record-rows 60: so many are/);
    await ask(next.unix, 80, 20);
    expect((await next.service.stop()).status).toBe(0);
    expect((await readObservations(path, 45)).data).toEqual(
      floats(
        Buffer.concat([...exchange.requests.slice(80, 100), ...exchange.requests.slice(20, 80)]),
      ),
    );
  });

  test("is given up, and not the service, when another file has its name by then", async () => {
    const path = newPath();
    const { service, unix, enginePid } = await serveMeasured(["--record", path]);
    rmSync(path);
    writeFileSync(path, "mine");
    process.kill(enginePid(), "SIGKILL");
    await service.stderr.until(
      /warning: Cannot record to ".*": it is no recording of 45 observations/,
    );
    await ask(unix, 0, 20);
    expect((await service.stop()).status).toBe(0);
    expect(readFileSync(path, "utf8")).toBe("mine");
  });

  test("is of one service at a time, and free again after its end", async () => {
    const path = newPath();
    const { service } = await serveMeasured(["--record", path]);
    expect(await run(["serve", ...flags, "--socket", newPath(), "--record", path])).toEqual(
      failed(
        2,
        `Cannot record to "${path}": another service records to it, need a file for each; ` +
          "choose another --record",
      ),
    );
    await service.stop("SIGKILL");
    const next = await serveMeasured(["--record", path]);
    expect((await next.service.stop()).status).toBe(0);
    expect(existsSync(`${path}.lock`)).toBe(false);
  });

  test("refuses at the start what is no recording, and leaves it", async () => {
    const path = newPath();
    writeFileSync(path, "mine");
    expect(await run(["serve", ...flags, "--socket", newPath(), "--record", path])).toEqual(
      failed(
        2,
        `Cannot record to "${path}": it is no recording of 45 observations, ` +
          "need such a one or a new name; choose another --record",
      ),
    );
    expect(readFileSync(path, "utf8")).toBe("mine");
  });
});

/** Namespaces of a user: there it may mount, and has none of the machine's privileges. */
const NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"];
const hasNamespaces =
  Bun.spawnSync([...NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], { timeout: 10_000 })
    .exitCode === 0;
const describeInNamespace = hasNamespaces
  ? describe
  : skipBecause("needs unshare and user namespaces that may mount a tmpfs");

describeInNamespace("serve --record on a disk that is full", () => {
  test("ends the recording with what there was, says so, and answers on", async () => {
    const disk = "/mnt";
    // 12 KiB: room for some 67 rows.
    const mount = 'mount -t tmpfs -o size=12k t "$0" && exec "$@"';
    const through = [...NAMESPACE, "sh", "-c", mount, disk];
    const more = ["--record", `${disk}/recorded.npy`];
    const { service, unix, metrics, enginePid, until } = await serveMeasured(more, { through });
    await ask(unix, 0, 20);
    await until("recorded_observations_total", 20);
    for (let i = 20; i < 200; i += 20) await ask(unix, i, 20);
    await service.stderr.until(/warning: recording to ".*" ended after \d+ rows: ENOSPC/);
    await ask(unix, 0, 20);
    const counts = await metrics("recorded_observations_total", "record_errors_total");
    expect(Object.values(counts).reduce((a, b) => a + b)).toBe(220);
    const { data } = await readObservations(`/proc/${enginePid()}/root${disk}/recorded.npy`, 45);
    expect(data).toEqual(floats(Buffer.concat(exchange.requests)).slice(0, data.length));
    expect(data.byteLength).toBeLessThanOrEqual((12 << 10) - 128);
    expect(data.byteLength).toBeGreaterThanOrEqual(20 * OBSERVATION_BYTES);
    // The next engine finds the same disk.
    const dead = enginePid();
    process.kill(dead, "SIGKILL");
    await untilEngines(service.program.pid, 1, [dead]);
    await ask(unix, 0, 20);
    expect((await service.stop()).status).toBe(0);
  });
});

const statusOf = (pid: number, name: string): string | undefined =>
  RegExp(`^${name}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];

describe("serve's real-time flags", () => {
  test("--cpu keeps the engine on one CPU, and the supervisor where it was", async () => {
    const own = statusOf(process.pid, "Cpus_allowed_list")!;
    const cpu = /\d+$/.exec(own)![0];
    const { service, unix, enginePid } = await serveMeasured(["--cpu", cpu]);
    const pid = service.program.pid;
    expect([pid, enginePid()].map((one) => statusOf(one, "Cpus_allowed_list"))).toEqual([own, cpu]);
    await ask(unix, 0, 20);
    expect((await service.stop()).status).toBe(0);
  });

  test("--cpu refuses a CPU that is not there", async () => {
    expect(await run(["serve", ...flags, "--socket", newPath(), "--cpu", "1023"])).toEqual(
      failed(
        6,
        "Cannot pin to CPU 1023: EINVAL, invalid argument, need one of this machine's that it " +
          "may use; see --cpu",
      ),
    );
  });

  test("--fifo and --mlock do what they say, or say what permits them", async () => {
    const fifo = ["--fifo", "7", "--mlock"];
    const probe = await serveMeasured(fifo).catch((error: Error) => error);
    if (probe instanceof Error) {
      expect(probe.message).toMatch(/Cannot (run with --fifo 7|lock memory .*): not permitted/);
      return;
    }
    const { service, unix, enginePid } = probe;
    // proc(5): rt_priority is field 40, policy is 41; 1 is SCHED_FIFO.
    const stat = (pid: number): number[] => {
      const text = readFileSync(`/proc/${pid}/stat`, "utf8");
      return text
        .slice(text.lastIndexOf(")") + 2)
        .split(" ")
        .map(Number)
        .slice(37, 39);
    };
    const scheduled = stat(enginePid());
    // SCHED_RESET_ON_FORK is no part of the policy there.
    expect({ scheduled, supervisor: stat(service.program.pid) }).toEqual({
      scheduled: [7, 1],
      supervisor: [0, 0],
    });
    const lockedKb = Number.parseInt(statusOf(enginePid(), "VmLck")!, 10);
    expect(lockedKb).toBeGreaterThan(0);
    await ask(unix, 0, 20);
    expect((await service.stop()).status).toBe(0);
  });
});

describeInNamespace("serve's real-time flags without a permission", () => {
  const limits = ["prlimit", "--rtprio=0", "--memlock=65536"];
  const serve = (...more: string[]) =>
    run(["serve", ...flags, "--socket", newPath(), ...more], {
      through: [...NAMESPACE, ...limits],
    });

  test("say what would permit them", async () => {
    expect(await Promise.all([serve("--fifo", "7"), serve("--mlock")])).toEqual([
      failed(
        6,
        "Cannot run with --fifo 7: not permitted (EPERM), need CAP_SYS_NICE or a real-time limit " +
          "(ulimit -r 7, LimitRTPRIO=7)",
      ),
      failed(
        6,
        "Cannot lock memory with --mlock: not permitted (ENOMEM), need CAP_IPC_LOCK or a limit " +
          "(ulimit -l unlimited, LimitMEMLOCK=infinity)",
      ),
    ]);
  });
});
