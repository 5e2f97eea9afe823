import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { demoNetwork, modelOf } from "../policy/policy_fixture.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openRemote, rawRemote, type RemoteBackend } from "./remote.ts";
import type { PolicyState } from "./backend.ts";
import { type FramedScript, HELLO, startFramed } from "../wire/framed_service_fixture.ts";
import { STATUS } from "../wire/protocol.ts";
import { CLOSED_INSTEAD } from "../wire/client_socket.ts";

/** Far beyond what a loaded machine needs: no test waits for it. */
const TIMEOUT_MS = 30_000;

const directory = temporaryDirectory();
const address = { kind: "unix", path: join(directory, "policy.sock") } as const;
const sizes = { observationSize: 45, actionSize: 12, timeoutMs: TIMEOUT_MS };

let stop = async (): Promise<void> => {};
beforeAll(async () => {
  const model = join(directory, "policy.onnx");
  writeFileSync(model, encodeOnnx(modelOf(await demoNetwork())));
  stop = await serve(["--model", model, "--socket", address.path]);
}, TIMEOUT_MS);
afterAll(() => stop());

const at = `unix:${address.path}`;

runBackendSuite("remote", () => openRemote(address, sizes), { tolerance: 1e-5 });
runBackendSuite("remote, raw", () => rawRemote(address, sizes), { tolerance: 1e-5 });

describe("rawRemote()", () => {
  test("names the service, and says that it does not know what computes there", () => {
    using backend = rawRemote(address, sizes);
    const { name, arithmetic, subject, inputs, outputs, about } = backend;
    expect({ name, arithmetic, subject, inputs, outputs, about }).toEqual({
      name: "remote",
      arithmetic: "unstated",
      subject: "file",
      inputs: [{ name: at, shape: [1, 45] }],
      outputs: [{ name: at, shape: [1, 12] }],
      about: undefined,
    });
  });

  test("gives an error, and no old action, once the service refused an observation", async () => {
    using backend = rawRemote(address, sizes);
    const action = new Float32Array(12).fill(7);
    const state = backend.createState();
    const infer = (value: number) =>
      backend.infer(new Float32Array(45).fill(value), action, state, 1);
    expect([await refusalOf(() => infer(Number.NaN)), await refusalOf(() => infer(0))]).toEqual([
      {
        code: "WIRE",
        message: `The service at ${at} ${CLOSED_INSTEAD}`,
      },
      { code: "WIRE", message: `The service at ${at} is not connected any more` },
    ]);
    expect([...action]).toEqual(Array.from({ length: 12 }, () => 7));
  });
});

describe("openRemote() on a framed service", () => {
  let scripted = new DisposableStack();
  let count = 0;
  afterEach(() => {
    scripted.dispose();
    scripted = new DisposableStack();
  });

  async function open(script: FramedScript, options: { readonly oneModel?: boolean } = {}) {
    const path = join(directory, `framed${count++}`);
    scripted.use(await startFramed(path, script));
    const needs = { timeoutMs: TIMEOUT_MS, ...options };
    return { path, backend: scripted.use(openRemote({ kind: "unix", path }, needs)) };
  }

  async function run(backend: RemoteBackend, first: number, rows: number, state?: PolicyState) {
    const observation = Float32Array.from(
      { length: rows * 4 },
      (_, i) => first + Math.floor(i / 4),
    );
    const action = new Float32Array(rows * 2).fill(Number.NaN);
    await backend.infer(observation, action, state ?? backend.createState(), rows);
    return [...action].filter((_, i) => i % 2 === 0);
  }

  const sequence = (first: number, rows: number, step = 1): number[] =>
    Array.from({ length: rows }, (_, i) => first + i * step);

  test("takes its sizes, its evidence and its words from the service", async () => {
    const { path, backend } = await open({});
    const { name, arithmetic, subject, inputs, outputs, about } = backend;
    expect({ name, arithmetic, subject, inputs, outputs, about }).toEqual({
      name: "remote",
      arithmetic: "cpu",
      subject: "file",
      inputs: [{ name: `unix:${path}`, shape: [1, 4] }],
      outputs: [{ name: `unix:${path}`, shape: [1, 2] }],
      about: HELLO.about,
    });
  });

  test("takes evidence that it does not know for none", async () => {
    const hello = { ...HELLO, about: { ...HELLO.about, evidence: "better than npu" } };
    expect((await open({ hello })).backend.arithmetic).toBe("unstated");
  });

  test("asks in batches of as many rows as the service takes", async () => {
    const { backend } = await open({ hello: { ...HELLO, rowsMax: 3 } });
    for (const rows of [1, 2, 3, 4, 7]) {
      expect(await run(backend, 5, rows)).toEqual(sequence(5, rows));
    }
  });

  test("keeps the states of a recurrent policy apart, across batches", async () => {
    const { backend } = await open({ hello: { ...HELLO, isRecurrent: true, rowsMax: 3 } });
    const [one, two] = [backend.createState(), backend.createState()];
    expect([
      await run(backend, 0, 4, one),
      await run(backend, 0, 2, two),
      await run(backend, 4, 1, one),
      await run(backend, 0, 1),
    ]).toEqual([sequence(0, 4, 101), sequence(0, 2, 101), [404], [0]]);
  });

  test("says once that the fallback answers, and refuses it where one model is meant", async () => {
    const answers = { 2: { status: STATUS.fallback }, 3: { status: STATUS.fallback } };
    const { path, backend } = await open({ answers });
    const words = await linesDuring(async () => {
      for (const first of [1, 2, 3]) expect(await run(backend, first, 1)).toEqual([first]);
    });
    const said = `warning: the service at unix:${path} answers by its fallback on the CPU`;
    expect(words).toEqual([said]);
    const strict = await open({ answers }, { oneModel: true });
    expect(await run(strict.backend, 1, 1)).toEqual([1]);
    expect(await refusalOf(() => run(strict.backend, 2, 1))).toEqual({
      code: "CHECK_FAILED",
      message:
        `Cannot go on with the model of the service at unix:${strict.path}: ` +
        "its fallback answered, start again",
    });
  });

  test("goes on when the service loads another, except where one model is meant", async () => {
    const answers = { 2: { generation: 2 } };
    const { backend } = await open({ answers });
    expect([await run(backend, 1, 1), await run(backend, 2, 1)]).toEqual([[1], [2]]);
    const strict = await open({ answers }, { oneModel: true });
    expect(await run(strict.backend, 1, 1)).toEqual([1]);
    expect(await refusalOf(() => run(strict.backend, 2, 1))).toEqual({
      code: "CHECK_FAILED",
      message:
        `Cannot go on with the model of the service at unix:${strict.path}: ` +
        "it loaded another, start again",
    });
  });
});

/** `lite3rl serve` in a process of its own, ready; returns how to stop it. */
async function serve(flags: readonly string[]): Promise<() => Promise<void>> {
  const main = join(import.meta.dir, "../main.ts");
  const child = Bun.spawn([process.execPath, main, "serve", "--quiet", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toStartWith("READY ");
  return async () => {
    child.kill("SIGTERM");
    await child.exited;
  };
}
