/**
 * Who may connect, and sockets that another program has made.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { programCommand } from "../base/program.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, TextStream } from "../cli/program_fixture.ts";
import {
  Client,
  computeExchange,
  type Exchange,
  expectAnswers,
  killServices,
  startService,
  told,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let flags: string[];
let exchange: Exchange;

beforeAll(async () => {
  const model = await exportDemoPolicy(directory);
  flags = ["--model", model, "--obs-stats", OBS_STATS];
  exchange = await computeExchange(model);
});
afterAll(killServices);

let sockets = 0;
const socketPath = (): string => join(directory, `s${sockets++}`);
const uid = process.getuid?.() ?? -1;
const gid = process.getgid?.() ?? -1;

describe("serve: who may connect", () => {
  test("is decided by the socket's mode and group", async () => {
    const paths = [socketPath(), socketPath()];
    const services = await Promise.all([
      startService([...flags, "--socket", paths[0]!, "--socket-mode", "0666"]),
      startService([...flags, "--socket", paths[1]!, "--socket-group", String(gid)]),
    ]);
    const seen = paths.map((path) => {
      const stat = statSync(path);
      return { mode: (stat.mode & 0o777).toString(8), gid: stat.gid };
    });
    expect(seen).toEqual([
      { mode: "666", gid },
      { mode: "660", gid },
    ]);
    expect(await Promise.all(services.map((service) => service.stop()))).toMatchObject([
      { status: 0 },
      { status: 0 },
    ]);
  });

  test("is decided by --allow-uid and --allow-gid, and others are told nothing", async () => {
    const paths = [socketPath(), socketPath(), socketPath()];
    const [own, group, foreign] = await Promise.all([
      startService([...flags, "--socket", paths[0]!, "--allow-uid", `${uid},12345`]),
      startService([...flags, "--socket", paths[1]!, "--allow-gid", String(gid)]),
      startService([
        ...flags,
        "--socket",
        paths[2]!,
        "--allow-uid",
        "12345",
        "--allow-gid",
        "12345",
      ]),
    ]);
    for (const unix of paths.slice(0, 2)) {
      const client = await Client.connect({ unix });
      client.send(exchange.requests[0]!);
      await expectAnswers(client, exchange.answers.slice(0, 1));
      client.close();
    }
    expect(await told({ unix: paths[2]! })).toEqual([]);
    await foreign.stderr.until(
      new RegExp(
        `warning: refused a client: user ${uid}, group ${gid} is not allowed, see --allow-uid`,
      ),
    );
    for (const service of [own, group, foreign]) expect((await service.stop()).status).toBe(0);
  });

  test("is said in words that mean something", async () => {
    const ran = await Promise.all([
      run(["serve", ...flags, "--socket", socketPath(), "--socket-mode", "0888"]),
      run(["serve", ...flags, "--socket", socketPath(), "--allow-uid", "no-such-user"]),
    ]);
    expect(ran).toEqual([
      failed(2, "--socket-mode needs a mode such as 0660, got 0888"),
      failed(
        2,
        'Cannot use --allow-uid "no-such-user": there is no such user in /etc/passwd, ' +
          "need one of there or a number",
      ),
    ]);
  });

  test("is warned of where others may put a socket in its place", async () => {
    const open = join(directory, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    const service = await startService([...flags, "--socket", join(open, "s")]);
    const { stderr } = await service.stop();
    expect(stderr).toContain(
      `warning: ${open}: others may write there, and put a socket of theirs`,
    );
  });
});

describe("serve --log json", () => {
  test("says everything on stderr as JSON lines", async () => {
    const unix = socketPath();
    const service = await startService([...flags, "--socket", unix, "--log", "json"]);
    const client = await Client.connect({ unix });
    client.send(new Uint8Array(new Float32Array(45).fill(NaN).buffer));
    expect(await client.takeRest()).toEqual([]);
    const { stderr, status } = await service.stop();
    const lines = stderr.trimEnd().split("\n");
    const time = expect.any(String);
    const message = "closed a connection: Cannot act: observation[0] is NaN, need finite numbers";
    expect({ status, lines: lines.map((line) => JSON.parse(line)) }).toEqual({
      status: 0,
      lines: [
        { time, level: "info", event: expect.any(String), message, count: 1 },
        {
          time,
          level: "info",
          event: "notice",
          message: expect.stringMatching(/^stopped: 0 answers on 1 connections, 1 request refused/),
        },
      ],
    });
  });

  test("says the error that ends it so too", async () => {
    const { status, stderr } = await run(["serve", "--model", "none.onnx", "--log", "json"]);
    expect({ status, line: JSON.parse(stderr) }).toEqual({
      status: 3,
      line: {
        time: expect.any(String),
        level: "error",
        event: "error",
        message: 'Cannot read "none.onnx": there is no such file, need a file',
      },
    });
  });
});

describeWith("systemd")("serve with systemd's sockets", () => {
  test("answers on the socket that it was given, and leaves it where it is", async () => {
    const unix = socketPath();
    const activate = [findTool("systemd")!, `--listen=${unix}`];
    // What a file says of sockets is for when systemd gives none.
    const config = join(directory, "sockets.yaml");
    writeFileSync(config, `serve:\n  socket: ${socketPath()}\n  tcp: 127.0.0.1:0\n`);
    const serve = ["serve", ...flags, "--config-file", config];
    const names = ["PATH", "HOME", "LITE3RL_CACHE"].map((name) => `--setenv=${name}`);
    const program = Bun.spawn([...activate, ...names, ...programCommand(), ...serve], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 50_000,
    });
    const stdout = new TextStream(program.stdout);
    const deadline = performance.now() + 20_000;
    while (!existsSync(unix) && performance.now() < deadline) await Bun.sleep(5);
    // The first client has it started.
    const client = await Client.connect({ unix });
    client.send(exchange.requests[3]!);
    await expectAnswers(client, [exchange.answers[3]!]);
    client.close();
    const [, endpoints] = await stdout.until(/^READY (\S+) · /);
    expect(endpoints).toBe(`unix:${unix}`);
    program.kill("SIGTERM");
    expect(await program.exited).toBe(0);
    expect(existsSync(unix)).toBe(true);
  });
});
