import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { probeService, RawClient } from "./client.ts";
import { type Script, startScripted } from "./scripted_service_fixture.ts";
import { CLOSED_INSTEAD } from "./client_socket.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
/** Four numbers in, two out. */
const SIZES = { observationSize: 4, actionSize: 2 } as const;
const HONEST: Script = { requestBytes: 16, answerBytes: 8 };

let services = new DisposableStack();
let count = 0;
afterEach(() => {
  services.dispose();
  services = new DisposableStack();
});

async function serve(script: Script) {
  const path = join(directory, `s${count++}`);
  services.use(await startScripted(path, script));
  return { kind: "unix", path } as const;
}

/** The answer, its bytes as one number each. */
function ask(client: RawClient): number[] {
  const action = new Float32Array(SIZES.actionSize);
  client.infer(new Float32Array(SIZES.observationSize), action);
  return [...new Uint8Array(action.buffer)];
}

const filled = (byte: number): number[] => Array(8).fill(byte) as number[];

describe("RawClient", () => {
  test("gives each question its own answer, also one that comes in pieces", async () => {
    for (const piece of [8, 3, 1]) {
      using client = new RawClient(await serve({ ...HONEST, piece }), 10_000);
      for (let i = 0; i < 20; i++) expect(ask(client)).toEqual(filled(i));
    }
  });

  test("gives no old answer to a new question after a missed deadline", async () => {
    const address = await serve({ ...HONEST, delayMs: [0, 400] });
    using client = new RawClient(address, 200);
    expect(ask(client)).toEqual(filled(0));
    expect(await refusalOf(() => ask(client))).toEqual({
      code: "DEADLINE",
      message: `The service at unix:${address.path} did not answer within 200 ms (0 of 8 bytes)`,
    });
    // The late answer is on its way; the stream would be one answer behind for ever.
    await Bun.sleep(400);
    expect(await refusalOf(() => ask(client))).toEqual({
      code: "WIRE",
      message: `The service at unix:${address.path} is not connected any more`,
    });
    using again = new RawClient(address, 10_000);
    expect(ask(again)).toEqual(filled(0));
  });

  test("counts what came of an answer that is not complete in time", async () => {
    const address = await serve({ ...HONEST, answerBytes: 5 });
    using client = new RawClient(address, 100);
    expect(await refusalOf(() => ask(client))).toEqual({
      code: "DEADLINE",
      message: `The service at unix:${address.path} did not answer within 100 ms (5 of 8 bytes)`,
    });
  });

  test("says that the service closed the connection", async () => {
    const address = await serve({ ...HONEST, answers: 2, afterwards: "close" });
    using client = new RawClient(address, 10_000);
    expect([ask(client), ask(client)]).toEqual([filled(0), filled(1)]);
    expect(await refusalOf(() => ask(client))).toEqual({
      code: "WIRE",
      message: `The service at unix:${address.path} ${CLOSED_INSTEAD}`,
    });
  });

  test("does not send for ever to a service that does not read", async () => {
    // Nothing accepts here: the kernel takes bytes until its buffer is full.
    const path = join(directory, `s${count++}`);
    const script = `import socket,sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
print(flush=True); sys.stdin.read()`;
    const python = Bun.spawn(["python3", "-c", script, path], { stdin: "pipe", stdout: "pipe" });
    await python.stdout[Symbol.asyncIterator]().next();
    using client = new RawClient({ kind: "unix", path }, 100);
    expect(await refusalOf(() => client.sendBytes(new Uint8Array(64 << 20)))).toEqual({
      code: "DEADLINE",
      message: `The service at unix:${path} took no request within 100 ms`,
    });
    await python.stdin.end();
    await python.exited;
  });

  test("can be disposed of twice, and is not connected then", async () => {
    const address = await serve(HONEST);
    const client = new RawClient(address, 1000);
    client[Symbol.dispose]();
    client[Symbol.dispose]();
    expect(() => ask(client)).toThrow("is not connected any more");
  });

  test("needs a service", async () => {
    const path = join(directory, "nobody");
    expect(await refusalOf(() => new RawClient({ kind: "unix", path }, 1000))).toEqual({
      code: "WIRE",
      message: `Cannot connect to "${path}": there is no such socket, start lite3rl serve there`,
    });
  });
});

describe("probeService()", () => {
  test("takes a service of its sizes, and leaves it as it was", async () => {
    const address = await serve(HONEST);
    probeService(address, { ...SIZES, timeoutMs: 10_000 });
    probeService(address, { ...SIZES, timeoutMs: 10_000 });
    using client = new RawClient(address, 10_000);
    expect(ask(client)).toEqual(filled(0));
  });

  const TIMEOUT_MS = 250;
  const silent = `did not answer within ${TIMEOUT_MS} ms`;
  const refused: Record<string, { script: Script; found: (at: string) => string }> = {
    "takes more numbers": {
      script: { ...HONEST, requestBytes: 20 },
      found: (at) => `it did not answer one observation (${at} ${silent} (0 of 8 bytes))`,
    },
    "takes many more numbers": {
      script: { ...HONEST, requestBytes: 4000 },
      found: (at) => `it did not answer one observation (${at} ${silent} (0 of 8 bytes))`,
    },
    "takes one number less": {
      script: { ...HONEST, requestBytes: 12 },
      found: () => "it takes shorter observations",
    },
    "takes one number less, and is slow": {
      script: { ...HONEST, requestBytes: 12, delayMs: [60, 60] },
      found: () => "it takes shorter observations",
    },
    "takes half": {
      script: { ...HONEST, requestBytes: 8 },
      found: () => "it answers one observation with more bytes",
    },
    "takes one number": {
      script: { ...HONEST, requestBytes: 4 },
      found: () => "it answers one observation with more bytes",
    },
    "gives one number more": {
      script: { ...HONEST, answerBytes: 12 },
      found: () => "it answers one observation with more bytes",
    },
    "gives one number less": {
      script: { ...HONEST, answerBytes: 4 },
      found: (at) => `it did not answer one observation (${at} ${silent} (4 of 8 bytes))`,
    },
    "never answers": {
      script: { ...HONEST, answers: 0 },
      found: (at) => `it did not answer one observation (${at} ${silent} (0 of 8 bytes))`,
    },
    "answers once": {
      script: { ...HONEST, answers: 1 },
      found: (at) => `it did not answer one observation (${at} ${silent} (0 of 8 bytes))`,
    },
    "closes after an answer": {
      script: { ...HONEST, answers: 1, afterwards: "close" },
      found: (at) => `it did not answer one observation (${at} ${CLOSED_INSTEAD})`,
    },
  };
  for (const [name, { script, found }] of Object.entries(refused)) {
    test(`refuses a service that ${name}, in bounded time`, async () => {
      const address = await serve(script);
      const at = `unix:${address.path}`;
      const started = performance.now();
      expect(
        await refusalOf(() => probeService(address, { ...SIZES, timeoutMs: TIMEOUT_MS })),
      ).toEqual({
        code: "WIRE",
        message:
          `Cannot use the service at ${at}: ${found(`The service at ${at}`)}, ` +
          "need one that takes 4 numbers and gives 2",
      });
      expect(performance.now() - started).toBeLessThan(3 * TIMEOUT_MS + 2000);
    });
  }

  test("refuses a service that closes at once", async () => {
    const address = await serve({ ...HONEST, answers: 0, afterwards: "close" });
    // It may be gone before the observation is sent, or after.
    expect(await refusalOf(() => probeService(address, { ...SIZES, timeoutMs: 10_000 }))).toEqual({
      code: "WIRE",
      message:
        `Cannot use the service at unix:${address.path}: it did not answer one observation ` +
        `(The service at unix:${address.path} ${CLOSED_INSTEAD}), ` +
        "need one that takes 4 numbers and gives 2",
    });
  });
});
