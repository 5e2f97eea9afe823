/**
 * What every client does, in whatever language: questions and answers, lateness, and a service
 * that goes away.
 */

import { expect, test } from "bun:test";
import { ANSWER_BYTES, KIND, STATUS } from "../wire/protocol.ts";
import { PATIENCE_MS } from "./driver_fixture.ts";
import {
  ABOUT,
  actionFrame,
  answering,
  answerWell,
  frame,
  reasonFrame,
} from "./framed_service_fixture.ts";
import { ONE, SHORT_MS, type Stage, UNTOUCHED } from "./stage_fixture.ts";

export function testFramedClient(stage: Stage): void {
  testQuestions(stage);
  testStatuses(stage);
  testLateness(stage);
  testLateParts(stage);
  testReconnection(stage);
}

/** The hello, the request as it goes out, the action. */
function testQuestions({ serve, drive }: Stage): void {
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

  for (const kind of ["unix", "tcp"] as const) {
    test(`infer() asks for actions as the protocol wants, over ${kind}`, async () => {
      const service = serve(undefined, kind);
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

  test("infer() takes batches of 64 rows, and asks nothing that is too large", async () => {
    const service = serve();
    const client = drive(service.address);
    const rows = Array.from({ length: 64 * 3 }, (_, i) => i / 8);
    const { status, action } = await client.infer(rows, PATIENCE_MS, 64);
    expect(status).toBe(0);
    expect(action).toEqual(Array.from({ length: 128 }, (_, i) => ((i >> 1) * 3) / 8 + (i % 2)));
    expect(service.infers()).toMatchObject([{ rows: 64, payloadBytes: 64 * 12 }]);
  });
}

/** With and without an action. */
function testStatuses({ serve, drive }: Stage): void {
  test("infer() tells statuses with an action from those without", async () => {
    const statuses = [0, 1, 2, 5, 16, 17, 18, 19, 99];
    let next = 0;
    const service = serve(
      answering((request, socket) => {
        const status = statuses[next++] ?? 0;
        const has = status < STATUS.badInput;
        socket.write(
          has ? actionFrame(request, { status }) : reasonFrame(request, status, `why\n${status}`),
        );
      }),
    );
    const client = drive(service.address);
    const outcomes = [];
    for (const _ of statuses) outcomes.push(await client.infer(ONE));
    expect(outcomes.map(({ reason, action }) => [reason, action])).toEqual(
      statuses.map((status) =>
        status < STATUS.badInput ? ["", [1, 2]] : [`why?${status}`, UNTOUCHED],
      ),
    );
    const names = ["ok", "fallback", "degraded"];
    expect(outcomes.slice(0, 3).map(({ name }) => name)).toEqual(names);
    const failures = ["bad input", "deadline missed", "busy", "failed"];
    expect(outcomes.slice(4, 8).map(({ name }) => name)).toEqual(failures);
    expect(service.connections).toBe(1);
  });

  test("infer() says busy of a service that is full, and asks again later", async () => {
    const service = serve((request, socket) => {
      socket.write(reasonFrame(request, STATUS.busy, "full"));
      socket.end();
    });
    const client = drive(service.address);
    const busy = { status: STATUS.busy, name: "busy", reason: "full", action: UNTOUCHED };
    expect(await client.infer(ONE)).toMatchObject(busy);
    service.answer = answerWell;
    let outcome = await client.infer(ONE);
    while (outcome.status === STATUS.busy) outcome = await client.infer(ONE);
    expect(outcome).toMatchObject({ status: 0, action: [1, 2] });
    expect(service.connections).toBe(2);
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
}

/** Episodes, and answers after their time. */
function testLateness({ serve, drive }: Stage): void {
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
}

/** Answers in pieces, in time and not. */
function testLateParts({ serve, drive }: Stage): void {
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
}

/** A service that goes, and comes. */
function testReconnection({ serve, drive, newPath }: Stage): void {
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
    const path = newPath();
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
