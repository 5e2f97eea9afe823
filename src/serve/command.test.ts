import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import {
  exportDemoPolicy,
  failed,
  OBS_STATS,
  run,
  start,
  TextStream,
} from "../cli/program_fixture.ts";
import { encodeOnnx, makeNode, makeTensor, type OnnxModel } from "../formats/onnx.ts";
import { writeNpz } from "../formats/npz.ts";
import {
  type Address,
  Client,
  computeExchange,
  type Exchange,
  expectAnswers,
  killServices,
  type Service,
  startService,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let exchange: Exchange;
let serve: string[];

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  serve = ["--model", model, "--obs-stats", OBS_STATS, "--warmup", "1"];
  exchange = await computeExchange(model);
});

afterAll(killServices);

let sockets = 0;
const socketPath = (): string => join(directory, `s${sockets++}`);

async function expectAnswer(address: Address): Promise<void> {
  const client = await Client.connect(address);
  client.send(exchange.requests[0]!);
  await expectAnswers(client, exchange.answers.slice(0, 1));
  client.close();
}

/** Exit status 0, one line about it, nothing more on stdout, socket and lock gone. */
async function expectCleanEnd(service: Service, signal: NodeJS.Signals, unix: string) {
  expect(await service.stop(signal)).toEqual({
    status: 0,
    stdout: service.ready,
    stderr: expect.stringMatching(/^stopped: \d+ answers on \d+ connections, .*\n$/),
  });
  expect([existsSync(unix), existsSync(`${unix}.lock`)]).toEqual([false, false]);
}

describe("serve: being ready", () => {
  test("prints one READY line also of files whose names are none", async () => {
    const [policy, unix] = [join(directory, "new\nline\u001b[31m.onnx"), join(directory, "s\n")];
    cpSync(model, policy);
    const service = await startService([
      "--model",
      policy,
      "--obs-stats",
      OBS_STATS,
      "--socket",
      unix,
    ]);
    const shown = join(directory, String.raw`new\nline\u001b[31m.onnx`);
    expect(service.ready).toStartWith(
      `READY unix:${join(directory, String.raw`s\n`)} · ${shown} · 45 → 12 · normalizer obs-stats`,
    );
    expect((await service.stop()).status).toBe(0);
  });

  test("prints one READY line, and its socket and lock have mode 0600", async () => {
    const unix = socketPath();
    const service = await startService([...serve, "--socket", unix]);
    const [first, latency] = service.ready.split(" · warm-up ");
    expect(first).toBe(
      `READY unix:${unix} · ${model} · 45 → 12 · normalizer obs-stats · mlp (cpu)`,
    );
    expect(latency).toMatch(/^1: p50 [\d.]+ (?:µs|ms), max [\d.]+ (?:µs|ms)\n$/);
    const modes = [unix, `${unix}.lock`].map((path) => (lstatSync(path).mode & 0o777).toString(8));
    expect(modes).toEqual(["600", "600"]);
    await expectCleanEnd(service, "SIGTERM", unix);
  });

  test("prints one document with --json", async () => {
    const unix = socketPath();
    const service = await startService([...serve, "--socket", unix, "--json"]);
    const number = expect.any(Number);
    expect(JSON.parse(service.ready)).toEqual({
      ready: true,
      endpoints: [`unix:${unix}`],
      model,
      generation: 1,
      observationSize: 45,
      actionSize: 12,
      normalizer: "obs-stats",
      backend: "mlp",
      evidence: "cpu",
      warmup: { count: 1, p50Us: number, maxUs: number },
      pid: service.program.pid,
    });
    await expectCleanEnd(service, "SIGINT", unix);
  });

  test("serves without warm-up, and with the normalizer folded in", async () => {
    const folded = await exportDemoPolicy(directory, "folded.onnx", ["--obs-stats", OBS_STATS]);
    const unix = socketPath();
    const service = await startService(["--model", folded, "--socket", unix, "--warmup", "0"]);
    expect(service.ready).toBe(
      `READY unix:${unix} · ${folded} · 45 → 12 · normalizer folded · mlp (cpu) · no warm-up\n`,
    );
    const client = await Client.connect({ unix });
    client.send(exchange.requests[0]!);
    const [action] = await client.take(1);
    client.close();
    const actual = new Float32Array(action!.buffer);
    const expected = new Float32Array(exchange.answers[0]!.buffer);
    for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, 4);
    await service.stop();
  });

  test("serves on both with --socket and --tcp host:port", async () => {
    const unix = socketPath();
    const service = await startService([...serve, "--tcp", "localhost:0", "--socket", unix]);
    expect(service.ready).toStartWith(`READY unix:${unix} tcp:127.0.0.1:`);
    const port = Number(/ tcp:127\.0\.0\.1:(\d+) /.exec(service.ready)?.[1]);
    await expectAnswer({ hostname: "127.0.0.1", port });
    await expectAnswer({ unix });
    await expectCleanEnd(service, "SIGTERM", unix);
  });

  test("--tcp without a value is 127.0.0.1:3588 alone", async () => {
    const program = start(["serve", ...serve, "--tcp"]);
    const stdout = new TextStream(program.stdout);
    const stderr = new TextStream(program.stderr);
    // Another program of this machine may have that port; then the refusal names it.
    const said = await Promise.any([
      stdout.until(/^READY (tcp:\S+) · /),
      stderr.until(/^error: Cannot listen on "(.*)": the address is in use/),
    ]);
    expect(said[1]).toMatch(/^(?:tcp:)?127\.0\.0\.1:3588$/);
    program.kill("SIGTERM");
    await program.exited;
  });

  test("listens beyond loopback only with --insecure-network", async () => {
    const flags = [...serve, "--tcp", "0.0.0.0:0"];
    const [refused, service] = await Promise.all([
      run(["serve", ...flags]),
      startService([...flags, "--insecure-network"]),
    ]);
    expect(refused).toEqual(
      failed(
        2,
        "Cannot listen on 0.0.0.0: the service would answer the whole network, need 127.0.0.1 " +
          "(and ssh -L or WireGuard for other machines) or --insecure-network",
      ),
    );
    expect(service.ready).toMatch(/^READY tcp:0\.0\.0\.0:\d+ /);
    await service.stop();
  });
});

describe("serve: the end", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${signal} ends it under load, without a partial answer`, async () => {
      const unix = socketPath();
      const service = await startService([...serve, "--socket", unix]);
      const client = await Client.connect({ unix });
      client.send(...Array.from({ length: 100_000 }, () => exchange.requests[0]!));
      const answers = await client.take(64);
      await expectCleanEnd(service, signal, unix);
      for (const action of [...answers, ...(await client.takeRest())]) {
        expect(action).toEqual(exchange.answers[0]!);
      }
    });
  }

  test("SIGHUP ends it too, and with --stop-with-stdin the end of its input", async () => {
    const [hangUp, input] = [socketPath(), socketPath()];
    const [one, two] = await Promise.all([
      startService([...serve, "--socket", hangUp]),
      startService([...serve, "--socket", input, "--stop-with-stdin"], { stdin: "pipe" }),
    ]);
    await expectCleanEnd(one, "SIGHUP", hangUp);
    await expectAnswer({ unix: input });
    await (two.program.stdin as Bun.FileSink).end();
    expect(await two.program.exited).toBe(0);
    expect(existsSync(input)).toBe(false);
  });

  test("leaves its own files only: a socket that took its place stays", async () => {
    const unix = socketPath();
    const service = await startService([...serve, "--socket", unix]);
    unlinkSync(unix);
    const foreign = Bun.listen({ unix, socket: { data() {} } });
    expect((await service.stop()).status).toBe(0);
    expect([lstatSync(unix).isSocket(), existsSync(`${unix}.lock`)]).toEqual([true, false]);
    foreign.stop(true);
  });
});

describe("serve: its socket", () => {
  test("is taken over from a service that was killed, at the longest path there is", async () => {
    const unix = join(directory, "x".repeat(107 - directory.length - 1));
    const killed = await startService([...serve, "--socket", unix]);
    await killed.stop("SIGKILL");
    expect([lstatSync(unix).isSocket(), existsSync(`${unix}.lock`)]).toEqual([true, true]);
    const service = await startService([...serve, "--socket", unix]);
    await expectAnswer({ unix });
    await service.stop();
  });

  test("is left to whoever is live there, lock or no lock", async () => {
    const [ours, theirs] = [socketPath(), socketPath()];
    const service = await startService([...serve, "--socket", ours]);
    const foreign = Bun.listen({ unix: theirs, socket: { data() {} } });
    const paths = [ours, theirs];
    const ran = await Promise.all(paths.map((path) => run(["serve", ...serve, "--socket", path])));
    expect(ran).toEqual(
      paths.map((path) =>
        failed(
          7,
          `Cannot listen on "${path}": another service is live there, stop it or choose another ` +
            "--socket",
        ),
      ),
    );
    await expectAnswer({ unix: ours });
    expect(lstatSync(theirs).isSocket()).toBe(true);
    foreign.stop(true);
    await service.stop();
  });

  test("never takes the place of a file, a directory or a link", async () => {
    const [file, folder, link] = [socketPath(), socketPath(), socketPath()];
    writeFileSync(file, "mine");
    mkdirSync(folder);
    symlinkSync(file, link);
    const paths = [file, folder, link];
    const ran = await Promise.all(paths.map((path) => run(["serve", ...serve, "--socket", path])));
    expect(ran).toEqual(
      paths.map((path) =>
        failed(
          2,
          `Cannot listen on "${path}": something that is not a socket has that name, ` +
            "need a free path",
        ),
      ),
    );
    expect({
      file: readFileSync(file, "utf8"),
      folder: lstatSync(folder).isDirectory(),
      link: readlinkSync(link),
      locks: paths.filter((path) => existsSync(`${path}.lock`)),
    }).toEqual({ file: "mine", folder: true, link: file, locks: [] });
  });

  test("needs a path that fits into an address, in a directory, and a free port", async () => {
    const long = join(directory, "x".repeat(108 - directory.length - 1));
    const nowhere = join(directory, "missing", "s");
    const beside = socketPath();
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const tcp = `127.0.0.1:${listener.port}`;
    const [tooLong, noDirectory, inUse] = await Promise.all([
      run(["serve", ...serve, "--socket", long]),
      run(["serve", ...serve, "--socket", nowhere]),
      run(["serve", ...serve, "--socket", beside, "--tcp", tcp]),
    ]);
    expect(tooLong).toEqual(
      failed(
        2,
        `Cannot use socket path "${long}": it has 108 bytes, a Unix socket's path has 1 to 107; ` +
          "choose a shorter one",
      ),
    );
    expect(noDirectory).toEqual(
      failed(
        2,
        `Cannot listen on "${nowhere}": no lock file can be made beside it (ENOENT), ` +
          "need an existing directory that may be written",
      ),
    );
    expect(inUse).toEqual(
      failed(7, `Cannot listen on "${tcp}": the address is in use, choose another`),
    );
    expect([existsSync(beside), existsSync(`${beside}.lock`)]).toEqual([false, false]);
    listener.stop(true);
  });
});

describe("serve: the model", () => {
  test("needs its observation statistics, and of its own width", async () => {
    const narrow = join(directory, "narrow.npz");
    const missing = join(directory, "none.npz");
    const tensor = { dtype: "float32", shape: [44], data: new Float32Array(44).fill(1) } as const;
    writeFileSync(narrow, writeNpz({ mean: tensor, std: tensor }));
    expect(
      await Promise.all([
        run(["serve", "--model", model]),
        run(["serve", "--model", model, "--obs-stats", narrow]),
        run(["serve", "--model", model, "--obs-stats", missing]),
      ]),
    ).toEqual([
      failed(
        2,
        `Cannot run "${model}": it expects normalised observations, ` +
          "need --obs-stats obs_stats.npz",
      ),
      failed(
        2,
        `Cannot use observation statistics "${narrow}": they have 44 values, the policy observes ` +
          "45; name the file that belongs to it with --obs-stats",
      ),
      failed(3, `Cannot read "${missing}": there is no such file, need a file`),
    ]);
  });

  test("has a limit of its actions above 0, if any", async () => {
    expect(await run(["serve", "--model", "p.onnx", "--action-limit", "0"])).toEqual(
      failed(2, "--action-limit needs a number above 0, got 0"),
    );
  });

  test("must be a policy in ONNX", async () => {
    const sum = join(directory, "sum.onnx");
    writeFileSync(sum, sumOfTwo());
    const pickle = join(directory, "policy.pt");
    writeFileSync(pickle, "");
    const [notPolicy, notOnnx, checkpoint] = await Promise.all([
      run(["serve", "--model", sum]),
      run(["serve", "--model", OBS_STATS]),
      run(["serve", "--model", pickle]),
    ]);
    expect(notPolicy).toEqual(
      failed(
        5,
        `Cannot run model "${sum}": it takes "a" [1, 3], "b" [1, 3] and gives "sum" [1, 3], ` +
          "need a policy: one float observation [1, N] in, one float action [1, A] out",
      ),
    );
    expect(notOnnx).toEqual(
      failed(
        5,
        `Cannot run "${OBS_STATS}": it is a zip, as checkpoints and .npz are, ` +
          "need an .onnx model: lite3rl inspect says more",
      ),
    );
    expect(checkpoint).toEqual(
      failed(
        5,
        `Cannot run "${pickle}": it is a checkpoint, turn it into ONNX first: lite3rl export`,
      ),
    );
  });
});

/** A sound ONNX model with two inputs. */
function sumOfTwo(): Uint8Array {
  const vector = (name: string) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 1n }, { dimValue: 3n }] } } },
  });
  const model: OnnxModel = {
    irVersion: 8n,
    opsetImport: [{ version: 17n }],
    graph: {
      name: "sum",
      node: [makeNode("Add", ["a", "b"], ["sum"])],
      input: [vector("a"), vector("b")],
      output: [vector("sum")],
      initializer: [makeTensor("unused", [1], Float32Array.of(1))],
    },
  };
  return encodeOnnx(model);
}
