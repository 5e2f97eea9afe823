/**
 * What every client does, in whatever language: with a service that is good, and with services
 * that are late, broken, gone or hostile.
 */

import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { ANSWER_BYTES, KIND, STATUS } from "../wire/protocol.ts";
import { type Driver, type Launch, PATIENCE_MS, startDriver } from "./driver_fixture.ts";
import {
  ABOUT,
  actionFrame,
  type Answer,
  answering,
  answerWell,
  frame,
  type FramedService,
  helloFrame,
  listen,
  reasonFrame,
} from "./framed_service_fixture.ts";

/** A deadline that the service of a test never makes. */
const SHORT_MS = 40;
/** What the drivers fill the array with before a call. */
const UNTOUCHED = [-7, -7];
const ONE = [1, 2, 3];

export interface Place {
  readonly directory: string;
  /** The driver's command; called when the tests run. */
  launch(): Launch;
}

export function testFramedClient({ directory, launch }: Place): void {
  const open = new AsyncDisposableStack();
  let stack = open;
  let count = 0;
  afterEach(async () => {
    const used = stack;
    stack = new AsyncDisposableStack();
    await used.disposeAsync();
  });

  const serve = (answer?: Answer, path = join(directory, `f${count++}`)): FramedService =>
    stack.use(listen(path, answer));
  const drive = (address: string, n = 3, a = 2): Driver =>
    stack.use(startDriver(launch()([address, String(n), String(a), "framed"])));

  test("connect() learns what the service is", async () => {
    const { address } = serve();
    expect(await drive(address).connect()).toMatchObject({
      status: 0,
      reason: "",
      open: true,
      sizes: [3, 2, 64],
      recurrent: true,
      digest: "ab".repeat(32),
      about: ABOUT,
    });
  });

  for (const kind of ["unix", "tcp"]) {
    test(`infer() asks for actions as the protocol wants, over ${kind}`, async () => {
      const service = kind === "unix" ? serve() : stack.use(listen(undefined));
      const client = drive(service.address);
      const outcomes = [await client.infer(ONE, 9000), await client.infer([-0.1, 0, 0], 9000)];
      const expected = { status: 0, name: "ok", reason: "", open: true, generation: 1 };
      expect(outcomes).toMatchObject([
        { ...expected, action: [1, 2] },
        { ...expected, action: [...Float32Array.of(-0.1, Math.fround(-0.1) + 1)] },
      ]);
      const header = { kind: KIND.infer, payloadBytes: 12, deadlineUs: 9_000_000, rows: 1 };
      expect(service.requests).toMatchObject([
        { kind: KIND.hello, flags: 0, payloadBytes: 0, deadlineUs: 0, rows: 0, version: 1 },
        { ...header, flags: 1, version: 1, values: Float32Array.from(ONE) },
        { ...header, flags: 0, version: 1, values: Float32Array.of(-0.1, 0, 0) },
      ]);
      expect(new Set(service.requests.map(({ id }) => id)).size).toBe(3);
      for (const { sentAtUs } of service.infers()) {
        expect(sentAtUs).toBeGreaterThan(0);
        expect(Number.isSafeInteger(sentAtUs)).toBe(true);
      }
    });
  }

  test("infer() tells statuses with an action from those without", async () => {
    const statuses = [0, 1, 2, 5, 16, 17, 18, 19, 99];
    let next = 0;
    const service = serve(
      answering((request, socket) => {
        const status = statuses[next++] ?? 0;
        const has = status < STATUS.badInput;
        socket.write(
          has ? actionFrame(request, { status }) : reasonFrame(request, status, `why ${status}`),
        );
      }),
    );
    const client = drive(service.address);
    const outcomes = [];
    for (const _ of statuses) outcomes.push(await client.infer(ONE));
    expect(outcomes.map(({ reason, action }) => [reason, action])).toEqual(
      statuses.map((status) =>
        status < STATUS.badInput ? ["", [1, 2]] : [`why ${status}`, UNTOUCHED],
      ),
    );
    const names = ["ok", "fallback", "degraded"];
    expect(outcomes.slice(0, 3).map(({ name }) => name)).toEqual(names);
    const failures = ["bad input", "deadline missed", "busy", "failed"];
    expect(outcomes.slice(4, 8).map(({ name }) => name)).toEqual(failures);
    expect(service.connections).toBe(1);
  });

  test("infer() takes batches of 64 rows, and asks nothing that is too large", async () => {
    const service = serve();
    const client = drive(service.address);
    const rows = Array.from({ length: 64 * 3 }, (_, i) => i / 8);
    const { status, action } = await client.infer(rows, PATIENCE_MS, 64);
    expect(status).toBe(0);
    expect(action).toEqual(Array.from({ length: 128 }, (_, i) => ((i >> 1) * 3) / 8 + (i % 2)));
    expect(service.infers()).toMatchObject([{ rows: 64, payloadBytes: 64 * 12 }]);
  });

  test("infer() asks for no action to a number that is not finite, and gives none", async () => {
    const service = serve();
    const client = drive(service.address);
    for (const wrong of [NaN, Infinity, -Infinity]) {
      const bad = { status: 16, reason: "a number is not finite", action: UNTOUCHED };
      const named = [
        1,
        wrong === Infinity ? ("inf" as never) : wrong === -Infinity ? ("-inf" as never) : wrong,
        3,
      ];
      expect(await client.infer(named)).toMatchObject(bad);
    }
    expect(service.requests).toEqual([]);
    service.answer = answering((request, socket) => {
      socket.write(frame(request, new Uint8Array(Float32Array.of(1, NaN).buffer)));
    });
    const failed = { status: 19, reason: "an action is not finite", action: UNTOUCHED };
    expect(await client.infer(ONE)).toMatchObject(failed);
  });

  test("reset() begins an episode with the next request that is run", async () => {
    const statuses = [0, 0, 18, 16, 0, 0, 17, 0, 19, 0, 0];
    let next = 0;
    const service = serve(
      answering((request, socket) => {
        const status = statuses[next++] ?? 0;
        socket.write(status === 0 ? actionFrame(request) : reasonFrame(request, status, "why"));
      }),
    );
    const client = drive(service.address);
    for (let i = 0; i < statuses.length; i++) {
      if (i === 2 || i === 6) client.reset();
      await client.infer(ONE);
    }
    // The first of a connection; then until one is run; after a failure the state is unknown.
    expect(service.infers().map(({ flags }) => flags)).toEqual([1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 0]);
  });

  test("infer() gives no late answer to a later question", async () => {
    const service = serve();
    const client = drive(service.address);
    await client.connect();
    let late: () => void = () => {};
    service.answer = (request, socket) => void (late = () => socket.write(actionFrame(request)));
    const missed = await client.infer([50, 0, 0], SHORT_MS);
    expect(missed).toMatchObject({ status: 17, reason: "no action in time", action: UNTOUCHED });
    expect(missed.ms).toBeGreaterThanOrEqual(SHORT_MS);
    // Once before the next question, and once between it and its answer.
    late();
    service.answer = (request, socket) => {
      late();
      socket.write(actionFrame(request));
    };
    expect(await client.infer(ONE)).toMatchObject({ status: 0, action: [1, 2] });
    expect(service.connections).toBe(1);
  });

  test("infer() leaves a connection after three questions without an answer", async () => {
    const service = serve(answering(() => {}));
    const client = drive(service.address);
    const missed = [];
    for (let i = 0; i < 3; i++) missed.push(await client.infer(ONE, SHORT_MS));
    expect(missed.map(({ status, open: isOpen }) => [status, isOpen])).toEqual([
      [17, true],
      [17, true],
      [17, false],
    ]);
    service.answer = answerWell;
    expect(await client.infer([4, 0, 0])).toMatchObject({ status: 0, action: [4, 5] });
    expect(service.infers().map(({ connection }) => connection)).toEqual([0, 0, 0, 1]);
  });

  test("infer() takes an answer that comes in pieces, split anywhere", async () => {
    const service = serve();
    const client = drive(service.address);
    await client.connect();
    for (let split = 1; split < ANSWER_BYTES + 8; split++) {
      service.answer = async (request, socket) => {
        const bytes = actionFrame(request);
        socket.write(bytes.subarray(0, split));
        await Bun.sleep(2);
        socket.write(bytes.subarray(split));
      };
      expect(await client.infer([split, 0, 0])).toMatchObject({ action: [split, split + 1] });
    }
    expect(service.connections).toBe(1);
  });

  test("infer() goes on after an answer of which a part came too late", async () => {
    const service = serve();
    const client = drive(service.address);
    await client.connect();
    for (const split of [1, 31, 32, 36]) {
      let rest: () => void = () => {};
      service.answer = (request, socket) => {
        const bytes = actionFrame(request);
        socket.write(bytes.subarray(0, split));
        rest = () => void socket.write(bytes.subarray(split));
      };
      expect(await client.infer(ONE, SHORT_MS)).toMatchObject({ status: 17, action: UNTOUCHED });
      service.answer = (request, socket) => {
        rest();
        socket.write(actionFrame(request));
      };
      expect(await client.infer([split, 0, 0])).toMatchObject({ action: [split, split + 1] });
    }
    expect(service.connections).toBe(1);
  });

  test("infer() connects again when the service went away between two questions", async () => {
    const service = serve();
    const client = drive(service.address);
    await client.infer(ONE);
    service.drop();
    expect(await client.infer([2, 0, 0])).toMatchObject({ status: 0, action: [2, 3] });
    expect(service.infers().map(({ flags, connection }) => [flags, connection])).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  test("infer() connects again after one that died in the middle of an answer", async () => {
    const service = serve();
    const client = drive(service.address);
    for (const sent of [0, 1, 31, 32, 39]) {
      await client.connect();
      service.answer = answering((request, socket) => {
        if (sent > 0) socket.write(actionFrame(request).subarray(0, sent));
        socket.end();
      });
      const gone = { status: 256, reason: "the service closed", open: false, action: UNTOUCHED };
      expect(await client.infer(ONE)).toMatchObject(gone);
      service.answer = answerWell;
      expect(await client.infer([sent, 0, 0])).toMatchObject({ action: [sent, sent + 1] });
    }
    // No question was sent twice.
    expect(service.infers().length).toBe(10);
  });

  test("infer() says at once that nobody is there, and finds who comes", async () => {
    const path = join(directory, `later${count++}`);
    const client = drive(`unix:${path}`);
    const nobody = await client.infer(ONE);
    expect(nobody).toMatchObject({ status: 256, open: false, action: UNTOUCHED });
    expect(nobody.reason).toBe("No such file or directory");
    expect(nobody.ms).toBeLessThan(PATIENCE_MS / 2);
    expect(await client.connect(60)).toMatchObject({ status: 256, reason: nobody.reason });
    serve(answerWell, path);
    expect(await client.connect()).toMatchObject({ status: 0, reason: "" });
    expect(await client.infer(ONE)).toMatchObject({ status: 0, action: [1, 2] });
  });
}

export function testHostileService({ directory, launch }: Place): void {
  let stack = new AsyncDisposableStack();
  let count = 0;
  afterEach(async () => {
    const used = stack;
    stack = new AsyncDisposableStack();
    await used.disposeAsync();
  });
  const meet = (answer: Answer, n = 3, a = 2): { service: FramedService; client: Driver } => {
    const service = stack.use(listen(join(directory, `h${count++}`), answer));
    const args = [service.address, String(n), String(a), "framed"];
    return { service, client: stack.use(startDriver(launch()(args))) };
  };

  test("a service of other sizes is refused, with both", async () => {
    const { client } = meet((request, socket) => {
      socket.write(helloFrame(request, { observationSize: 4 as never }));
    });
    const reason = "it takes 4 and gives 2 numbers, need 3 and 2";
    const refused = { status: 257, reason, open: false, action: UNTOUCHED };
    expect(await client.infer(ONE)).toMatchObject(refused);
    expect(await client.connect()).toMatchObject({ status: 257, reason });
  });

  const strange: readonly (readonly [string, (good: Uint8Array) => Uint8Array])[] = [
    ["another magic", (good) => good.with(0, 0x4d)],
    ["another version", (good) => good.with(22, 2)],
    ["a kind that is not known", (good) => good.with(4, 9)],
    ["more bytes than there is room for", (good) => good.with(15, 0xff)],
  ];
  for (const [what, spoil] of strange) {
    test(`an answer of ${what} ends the connection, and the next is tried`, async () => {
      const bad = answering((request, socket) => void socket.write(spoil(actionFrame(request))));
      const { service, client } = meet(bad);
      const reason = "the service does not speak this protocol";
      const refused = { status: 257, reason, open: false, action: UNTOUCHED };
      expect(await client.infer(ONE)).toMatchObject(refused);
      service.answer = (request, socket) => void socket.write(spoil(helloFrame(request)));
      expect(await client.connect()).toMatchObject({ status: 257, reason });
      service.answer = answerWell;
      await Bun.sleep(30);
      expect(await client.connect()).toMatchObject({ status: 0 });
      expect(await client.infer(ONE)).toMatchObject({ action: [1, 2] });
    });
  }

  test("an action of another size is none", async () => {
    const { service, client } = meet(answerWell);
    for (const count of [0, 1, 3, 12]) {
      service.answer = answering((request, socket) => {
        socket.write(frame(request, new Uint8Array(4 * count)));
      });
      const reason = "the service's action has another size";
      expect(await client.infer(ONE)).toMatchObject({ status: 257, reason, action: UNTOUCHED });
      await Bun.sleep(30);
    }
    service.answer = answering((request, socket) => {
      socket.write(frame(request, new Uint8Array(8), { rows: 2 }));
    });
    expect(await client.infer(ONE)).toMatchObject({ status: 257, action: UNTOUCHED });
  });

  test("a hello that is none is refused", async () => {
    const { service, client } = meet((request, socket) => {
      socket.write(frame(request, new Uint8Array(20)));
    });
    const reason = "the service's hello is not one";
    expect(await client.connect()).toMatchObject({ status: 257, reason });
    service.answer = (request, socket) => {
      const refusal = { status: 16, kind: KIND.inferAnswer, id: 0, rows: 0 };
      socket.end(frame(request, new TextEncoder().encode("speaks version 9"), refusal));
    };
    await Bun.sleep(30);
    expect(await client.connect()).toMatchObject({ status: 257, reason: "speaks version 9" });
  });

  test("a service that closes instead of saying hello is not asked", async () => {
    const { client } = meet((_, socket) => void socket.end());
    expect(await client.infer(ONE)).toMatchObject({
      status: 256,
      reason: "the service closed instead of saying hello; does it speak raw bytes only?",
      action: UNTOUCHED,
    });
  });

  test("a hello that does not come is waited for across calls, and given up", async () => {
    let hello: () => void = () => {};
    const { service, client } = meet((request, socket) => {
      hello = () => void socket.write(helloFrame(request));
    });
    const waiting = { status: 17, reason: "the service says no hello", action: UNTOUCHED };
    expect(await client.infer(ONE, SHORT_MS)).toMatchObject(waiting);
    service.answer = answerWell;
    hello();
    expect(await client.infer(ONE)).toMatchObject({ status: 0, action: [1, 2] });
    expect(service.connections).toBe(1);

    service.answer = () => {};
    client.close();
    // The drivers give a connection up that is not ready within 300 ms.
    const statuses = new Set<number>();
    while (service.connections < 3) statuses.add((await client.infer(ONE, 50)).status);
    expect(statuses).toEqual(new Set([17, 256]));
  });

  test("answers to nothing, without end, do not hold infer() up", async () => {
    const { service, client } = meet(answerWell);
    await client.connect();
    service.answer = (request, socket) => {
      const flood = Buffer.concat(Array(500).fill(actionFrame(request, { id: 0xfffff })));
      const pour = (): void => {
        while (socket.write(flood) === flood.length);
        if (socket.readyState > 0) setTimeout(pour, 1);
      };
      pour();
    };
    expect(await client.infer(ONE, 100)).toMatchObject({ status: 17, action: UNTOUCHED });
    const next = await client.infer(ONE, 100);
    expect(next.action).toEqual(UNTOUCHED);
    client.close();
  });

  test("a service that does not read cuts a request, and is left", async () => {
    const size = 2000;
    const big = (request: Parameters<Answer>[0], socket: Parameters<Answer>[1]): void => {
      socket.write(helloFrame(request, { observationSize: size as never }));
      socket.pause();
    };
    const { service, client } = meet(big, size);
    await client.connect();
    const observation = Array(size * 64).fill(0.5) as number[];
    const missed = await client.infer(observation, 200, 64);
    expect(missed).toMatchObject({ status: 17, open: false });
    expect(service.infers()).toEqual([]);
  });
}
