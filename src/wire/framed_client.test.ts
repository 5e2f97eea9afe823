import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { AssertionError } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { FramedClient, type InferOptions } from "./framed_client.ts";
import { type FramedScript, HELLO, startFramed } from "./framed_service_fixture.ts";
import { KIND, ROWS_MAX, STATUS } from "./protocol.ts";
import { CLOSED_INSTEAD } from "./client_socket.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let services = new DisposableStack();
let count = 0;
afterEach(() => {
  services.dispose();
  services = new DisposableStack();
});

/** A client of a service that follows the script; the hello is its answer 0. */
async function connect(script: FramedScript, timeoutMs = 10_000) {
  const path = join(directory, `f${count++}`);
  services.use(await startFramed(path, script));
  const client = services.use(new FramedClient({ kind: "unix", path }, timeoutMs));
  return { client, at: `The service at unix:${path}` };
}

/** Observations that begin with `first`, `first` + 1, …; the rest of each is 9. */
function observe(first: number, rows = 1): Float32Array {
  return Float32Array.from({ length: rows * 4 }, (_, i) => (i % 4 === 0 ? first + i / 4 : 9));
}

function ask(client: FramedClient, first: number, options?: InferOptions): number[] {
  const action = new Float32Array(2);
  client.infer(observe(first), action, options);
  return [...action];
}

const answerOf = (first: number): number[] => [first, first + 0.25];

describe("FramedClient", () => {
  test("knows what the service said of itself", async () => {
    const { client } = await connect({});
    expect({ hello: client.hello, rowsMax: client.rowsMax }).toEqual({ hello: HELLO, rowsMax: 64 });
  });

  test("gives each request its own answer, also one that comes in pieces", async () => {
    for (const piece of [1, 3, 39, 40]) {
      const { client } = await connect({
        answers: { 0: { piece: 7 }, 2: { piece }, 3: { piece } },
      });
      for (let i = 0; i < 10; i++) expect(ask(client, i)).toEqual(answerOf(i));
      expect(client.answer).toEqual({
        kind: KIND.inferAnswer,
        status: STATUS.ok,
        id: 9,
        payloadBytes: 8,
        serviceUs: 20,
        rows: 1,
        version: 1,
        inferenceUs: 10,
        generation: 1,
      });
    }
  });

  test("asks for up to as many rows at once as the service takes", async () => {
    const { client } = await connect({ hello: { ...HELLO, rowsMax: 3 } });
    const action = new Float32Array(6);
    expect(client.infer(observe(5, 3), action)).toBe(STATUS.ok);
    expect([...action]).toEqual([5, 5.25, 6, 6.25, 7, 7.25]);
    expect(() => client.infer(observe(5, 4), new Float32Array(8))).toThrow(AssertionError);
    expect(() => client.infer(observe(5, 1), action)).toThrow(AssertionError);
    const { client: other } = await connect({ hello: { ...HELLO, rowsMax: 10_000 } });
    expect(other.rowsMax).toBe(ROWS_MAX);
  });

  test("begins an episode where it is told to", async () => {
    const { client } = await connect({ hello: { ...HELLO, isRecurrent: true } });
    const steps = [{}, {}, { reset: true }, {}].map((options) => ask(client, 1, options)[0]);
    expect(steps).toEqual([1, 101, 1, 101]);
  });

  test("says with which status an action came", async () => {
    const { client } = await connect({
      answers: {
        1: { status: STATUS.fallback },
        2: { status: STATUS.degraded },
        3: { status: 15 },
      },
    });
    const action = new Float32Array(2);
    const statuses = [1, 2, 3, 4].map((first) => client.infer(observe(first), action));
    expect({ statuses, action: [...action] }).toEqual({
      statuses: [STATUS.fallback, STATUS.degraded, 15, STATUS.ok],
      action: answerOf(4),
    });
  });

  const refusals = {
    MALFORMED: [STATUS.badInput, "bad input"],
    DEADLINE: [STATUS.deadlineMissed, "deadline missed"],
    BUSY: [STATUS.busy, "busy"],
    NATIVE: [STATUS.failed, "failed"],
    WIRE: [99, "status 99"],
  } as const;
  for (const [code, [status, name]] of Object.entries(refusals)) {
    test(`throws ${code} for an answer of ${name}, keeps the action, and goes on`, async () => {
      const { client, at } = await connect({ answers: { 1: { status, text: "so it is" } } });
      const action = new Float32Array(2).fill(7);
      expect(await refusalOf(() => client.infer(observe(1), action))).toEqual({
        code: code as "WIRE",
        message: `${at} gave no action: ${name}, "so it is"`,
      });
      expect([...action]).toEqual([7, 7]);
      expect(ask(client, 2)).toEqual(answerOf(2));
    });
  }

  test("drops late answers, and gives none of them to a later request", async () => {
    const late = { delayMs: 300 };
    const { client, at } = await connect({ answers: { 2: late, 3: late } });
    const action = new Float32Array(2).fill(7);
    expect(ask(client, 1)).toEqual(answerOf(1));
    for (const first of [2, 3]) {
      const infer = () => client.infer(observe(first), action, { deadlineUs: 50_000 });
      expect(await refusalOf(infer)).toEqual({
        code: "DEADLINE",
        message: `${at} did not answer within 50 ms`,
      });
    }
    expect([...action]).toEqual([7, 7]);
    expect([ask(client, 4), ask(client, 5)]).toEqual([answerOf(4), answerOf(5)]);
    await Bun.sleep(400);
    expect(ask(client, 6)).toEqual(answerOf(6));
  });

  test("drops a late answer of which a part has come", async () => {
    const { client } = await connect({ answers: { 1: { piece: 1 } } });
    expect(() => ask(client, 1, { deadlineUs: 5000 })).toThrow("did not answer within 5 ms");
    expect(ask(client, 2)).toEqual(answerOf(2));
  });

  test("waits no longer than its time limit, whatever the deadline is", async () => {
    const { client } = await connect({ answers: { 1: { silence: true } } }, 60);
    expect(() => ask(client, 1, { deadlineUs: 1e9 })).toThrow("did not answer within 60 ms");
  });

  const broken: Record<string, [answer: object, found: string]> = {
    "an answer to another request": [{ id: 5 }, "answer 5 of kind 32770, need 0"],
    "a refusal of another request": [
      { id: 5, status: STATUS.badInput, text: "bad magic" },
      'answer 5 of kind 32770, bad input "bad magic", need 0',
    ],
    "a hello": [{ kind: KIND.helloAnswer }, "answer 0 of kind 32769, need 0"],
    "bytes that are no frame": [{ broken: true }, "its answer does not begin with the magic"],
    "half an action": [{ text: "half" }, "its answer has 4 bytes for 1 rows, need 8 each"],
    "more rows": [{ rows: 2, text: "x".repeat(16) }, "it answered 2 of 1 rows"],
    "another version": [{ version: 2 }, "its answer is of protocol version 2, need 1"],
  };
  for (const [name, [answer, found]] of Object.entries(broken)) {
    test(`closes the connection at ${name}`, async () => {
      const { client, at } = await connect({ answers: { 1: answer } });
      const action = new Float32Array(2).fill(7);
      const infer = () => client.infer(observe(1), action);
      expect([await refusalOf(infer), await refusalOf(infer)]).toEqual([
        { code: "WIRE", message: `${at} is out of step: ${found}` },
        { code: "WIRE", message: `${at} is not connected any more` },
      ]);
      expect([...action]).toEqual([7, 7]);
    });
  }

  test("says that the service closed the connection", async () => {
    const { client, at } = await connect({ answers: { 1: { close: true } } });
    expect(await refusalOf(() => ask(client, 1))).toEqual({
      code: "WIRE",
      message: `${at} ${CLOSED_INSTEAD}`,
    });
  });

  const hellos: Record<string, [script: FramedScript, code: string, what: string]> = {
    "is silent": [
      { answers: { 0: { silence: true } } },
      "UNSUPPORTED",
      "does not speak the framed protocol: it did not answer a hello within 200 ms",
    ],
    "closes the connection": [
      { answers: { 0: { close: true } } },
      "UNSUPPORTED",
      "does not speak the framed protocol: it closed the connection at a hello",
    ],
    "answers something else": [
      { answers: { 0: { broken: true } } },
      "UNSUPPORTED",
      "does not speak the framed protocol: its answer does not begin with the magic",
    ],
    "is busy": [
      { answers: { 0: { status: STATUS.busy, text: "loading" } } },
      "BUSY",
      'refused a hello: busy, "loading"',
    ],
    "speaks other versions only": [
      { answers: { 0: { status: STATUS.badInput, text: "need 2" } } },
      "MALFORMED",
      'refused a hello: bad input, "need 2"',
    ],
    "says nothing of itself": [
      { answers: { 0: { text: "x".repeat(60) } } },
      "WIRE",
      "cannot be used: its hello says 2021161080 observations, 2021161080 actions, " +
        "2021161080 rows, need 1 to 65536 numbers and at least a row",
    ],
    "says more than a hello": [
      { answers: { 0: { trailing: "more" } } },
      "WIRE",
      "cannot be used: its hello is followed by more bytes",
    ],
  };
  for (const [name, [script, code, what]] of Object.entries(hellos)) {
    test(`refuses a service that ${name} at a hello`, async () => {
      const path = join(directory, `f${count++}`);
      services.use(await startFramed(path, script));
      expect(await refusalOf(() => new FramedClient({ kind: "unix", path }, 9999, 200))).toEqual({
        code: code as "WIRE",
        message: `The service at unix:${path} ${what}`,
      });
    });
  }
});

describe("README.md", () => {
  test("has a client in TypeScript that runs as it stands", async () => {
    const root = join(import.meta.dir, "..", "..");
    const readme = await Bun.file(join(root, "README.md")).text();
    const [, example = ""] = /```ts\n(import \{ FramedClient \}[^]*?)```/.exec(readme) ?? [];
    const path = join(directory, `f${count++}`);
    services.use(await startFramed(path));
    const program = example
      .replace("./src/", `${root}/src/`)
      .replace("/tmp/lite3_policy.sock", path);
    await Bun.write(join(directory, "client.ts"), program);
    const child = Bun.spawn([process.execPath, join(directory, "client.ts")], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect({ stdout, stderr, status: await child.exited }).toEqual({
      stdout: "policy.onnx on mlp: 10 µs\n",
      stderr: "",
      status: 0,
    });
  });
});
