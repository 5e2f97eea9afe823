/**
 * The socket protocol as a service must speak it, as one set of tests: PROTOCOL.md's rules, held
 * against a service of the demo policy. The client uses Bun's sockets, not ours.
 */

import { describe, expect, test } from "bun:test";
import { readGoldenActions } from "../policy/policy_fixture.ts";
import {
  ANSWER_BYTES,
  type AnswerHeader,
  createAnswerHeader,
  createRequestHeader,
  decodeAnswer,
  encodeRequest,
  FLAG,
  hasAction,
  hasMagic,
  KIND,
  parseHello,
  REQUEST_BYTES,
  type RequestHeader,
  ROWS_MAX,
  STATUS,
} from "../wire/protocol.ts";
import { type Address, Client } from "./service_fixture.ts";

const OBSERVATIONS = 45;
const ACTIONS = 12;
/** Largest |difference| to torch's float32 actions. */
const TOLERANCE = 1e-5;

export interface ServiceUnderTest {
  readonly address: Address;
  readonly kind: "unix" | "tcp";
  /** SHA-256 of the model that it serves. */
  readonly sha256: string;
}

type Frame = { readonly header: AnswerHeader; readonly payload: Uint8Array };

/** The observations of the golden file from `from` on; NaN in the rows that are named. */
async function observe(from: number, rows: number, nanRows: readonly number[] = []) {
  const { observations } = await readGoldenActions();
  const values = Float32Array.from(
    observations.subarray(from * OBSERVATIONS, (from + rows) * OBSERVATIONS),
  );
  for (const row of nanRows) values[row * OBSERVATIONS + 3] = Number.NaN;
  return values;
}

function frame(
  fields: Partial<RequestHeader>,
  observations = new Float32Array(0),
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(REQUEST_BYTES + observations.byteLength);
  encodeRequest(new DataView(bytes.buffer), 0, {
    ...createRequestHeader(),
    rows: observations.length / OBSERVATIONS,
    payloadBytes: observations.byteLength,
    ...fields,
  });
  bytes.set(new Uint8Array(observations.buffer), REQUEST_BYTES);
  return bytes;
}

const hello = (id: number): Uint8Array => frame({ kind: KIND.hello, id });

/** As many answers, or fewer where the service ends the connection before. */
async function ask(address: Address, parts: readonly Uint8Array[], count: number) {
  const client = await Client.connect(address, 1);
  for (const part of parts) {
    client.send(part);
    if (parts.length > 1) await Bun.sleep(0);
  }
  const read = async (bytes: number) => Uint8Array.from(Buffer.concat(await client.take(bytes)));
  const answers: Frame[] = [];
  while (answers.length < count) {
    const bytes = await read(ANSWER_BYTES);
    if (bytes.length === 0) break;
    const view = new DataView(bytes.buffer);
    const header = createAnswerHeader();
    decodeAnswer(view, 0, header);
    expect([hasMagic(view, 0), header.version]).toEqual([true, 1]);
    answers.push({ header, payload: await read(header.payloadBytes) });
  }
  return { answers, client };
}

/** The same, for a stream after which the connection goes on; closes it. */
async function answersTo(address: Address, parts: readonly Uint8Array[], count: number) {
  const { answers, client } = await ask(address, parts, count);
  expect(client.isClosed).toBe(false);
  client.close();
  return answers;
}

async function rawActions(address: Address, from: number, rows: number) {
  const client = await Client.connect(address);
  client.send(new Uint8Array((await observe(from, rows)).buffer));
  const actions = Buffer.concat(await client.take(rows));
  client.close();
  return Uint8Array.from(actions);
}

const statusesOf = (answers: readonly Frame[]): (readonly [id: number, status: number])[] =>
  answers.map(({ header }) => [header.id, header.status]);

type Cases = Readonly<Record<string, (service: ServiceUnderTest) => Promise<void>>>;

const RAW: Cases = {
  "answers what torch computed, in the order of the requests": async ({ address }) => {
    const { actions, rows } = await readGoldenActions();
    const answered = new Float32Array((await rawActions(address, 0, rows)).buffer);
    const errors = answered.map((value, i) => Math.abs(value - (actions[i] ?? Number.NaN)));
    expect([answered.length, errors.every((error) => error <= TOLERANCE)]).toEqual([
      rows * ACTIONS,
      true,
    ]);
  },

  "answers the same however the bytes are cut": async ({ address }) => {
    const expected = await rawActions(address, 0, 2);
    const stream = new Uint8Array((await observe(0, 2)).buffer);
    for (let cut = 1; cut < stream.length; cut += 1) {
      const client = await Client.connect(address);
      client.send(stream.subarray(0, cut));
      await Bun.sleep(0);
      client.send(stream.subarray(cut));
      expect(Uint8Array.from(Buffer.concat(await client.take(2)))).toEqual(expected);
      client.close();
    }
  },

  "closes the connection at a NaN, after the answers before it": async ({ address }) => {
    const client = await Client.connect(address);
    client.send(new Uint8Array((await observe(0, 3, [2])).buffer));
    const answers = await client.takeRest();
    expect([answers.length, client.isClosed]).toEqual([2, true]);
  },
};

const FRAMED: Cases = {
  "says what it is": async ({ address, sha256 }) => {
    const [answer] = await answersTo(address, [hello(7)], 1);
    const { header, payload } = answer as Frame;
    expect(header).toMatchObject({ kind: KIND.helloAnswer, status: STATUS.ok, id: 7, rows: 0 });
    const { about, ...fields } = parseHello(payload);
    expect(fields).toEqual({
      observationSize: OBSERVATIONS,
      actionSize: ACTIONS,
      rowsMax: ROWS_MAX,
      isRecurrent: false,
    });
    expect(about).toMatchObject({
      program: "lite3rl",
      protocols: [1],
      model: { sha256 },
      generation: header.generation,
      evidence: "cpu",
    });
  },

  "answers batches and single rows with the bytes that raw gives": async ({ address }) => {
    const expected = await rawActions(address, 0, ROWS_MAX);
    const all = await observe(0, ROWS_MAX);
    const rows = await Promise.all(Array.from({ length: ROWS_MAX }, (_, row) => observe(row, 1)));
    const requests = [
      frame({ id: 0xffffffff }, all),
      ...rows.map((row, i) => frame({ id: i, flags: FLAG.reset }, row)),
    ];
    const [batch, ...single] = await answersTo(address, [Buffer.concat(requests)], 65);
    expect(statusesOf([batch as Frame, ...single])).toEqual([
      [0xffffffff, STATUS.ok],
      ...rows.map((_, i) => [i, STATUS.ok] as const),
    ]);
    expect(batch?.payload).toEqual(expected);
    expect(Uint8Array.from(Buffer.concat(single.map(({ payload }) => payload)))).toEqual(expected);
    expect(batch?.header).toMatchObject({ rows: ROWS_MAX, version: 1, kind: KIND.inferAnswer });
    const { serviceUs = 0, inferenceUs = 0 } = batch?.header ?? {};
    expect(inferenceUs).toBeGreaterThan(0);
    expect(serviceUs).toBeGreaterThanOrEqual(inferenceUs);
  },

  "answers the same however the bytes are cut, and one by one": async ({ address }) => {
    const stream = Buffer.concat([
      hello(1),
      frame({ id: 2 }, await observe(0, 1)),
      frame({ id: 3 }, await observe(1, 2)),
    ]);
    const payloads = async (parts: readonly Uint8Array[]) =>
      (await answersTo(address, parts, 3)).map(({ payload }) => payload);
    const expected = await payloads([stream]);
    expect(Uint8Array.from(Buffer.concat(expected.slice(1)))).toEqual(
      await rawActions(address, 0, 3),
    );
    for (let cut = 1; cut < stream.length; cut += 1) {
      expect(await payloads([stream.subarray(0, cut), stream.subarray(cut)])).toEqual(expected);
    }
    const bytes = Array.from(stream, (_, i) => stream.subarray(i, i + 1));
    expect(await payloads(bytes)).toEqual(expected);
  },

  "refuses a request with one NaN as a whole, and goes on": async ({ address }) => {
    const requests = [
      frame({ id: 1 }, await observe(0, 1, [0])),
      frame({ id: 2 }, await observe(0, 5, [3])),
      frame({ id: 3 }, await observe(0, 5)),
    ];
    const answers = await answersTo(address, [Buffer.concat(requests)], 3);
    expect(statusesOf(answers)).toEqual([
      [1, STATUS.badInput],
      [2, STATUS.badInput],
      [3, STATUS.ok],
    ]);
    for (const { header, payload } of answers.slice(0, 2)) {
      expect(header.rows).toBe(0);
      expect(new TextDecoder().decode(payload)).toContain("NaN");
    }
  },

  "counts a deadline from when it was sent, where both share a clock": async ({
    address,
    kind,
  }) => {
    const observation = await observe(0, 1);
    const requests = [
      frame({ id: 1, deadlineUs: 2 ** 32 - 1 }, observation),
      frame({ id: 2, deadlineUs: 60_000_000, sentAtUs: 1 }, observation),
      frame({ id: 3 }, observation),
    ];
    const answers = await answersTo(address, [Buffer.concat(requests)], 3);
    expect(statusesOf(answers)).toEqual([
      [1, STATUS.ok],
      [2, kind === "unix" ? STATUS.deadlineMissed : STATUS.ok],
      [3, STATUS.ok],
    ]);
    const missed = answers.filter(({ header }) => !hasAction(header.status));
    expect(missed.every(({ header }) => header.rows === 0)).toBe(true);
  },

  "says once what is wrong with a frame, after the answers before it, and closes": async ({
    address,
  }) => {
    const observation = await observe(0, 1);
    const bad: Record<string, Uint8Array> = {
      magic: frame({ id: 2 }, observation).fill(0, 0, 1),
      "version 2": frame({ id: 2, version: 2 }, observation),
      "kind 9": frame({ id: 2, kind: 9 }, observation),
      "flags 2": frame({ id: 2, flags: 2 }, observation),
      "65 rows": frame({ id: 2 }, await observe(0, ROWS_MAX + 1)),
      "0 rows": frame({ id: 2 }),
      "bytes of payload": frame({ id: 2, payloadBytes: 2 ** 32 - 1 }, observation),
    };
    for (const [word, wrong] of Object.entries(bad)) {
      const good = frame({ id: 1 }, observation);
      const stream = Buffer.concat([good, wrong, good]);
      const { answers, client } = await ask(address, [stream], 3);
      const [first, second] = answers.map(({ header: { kind, status } }) => [kind, status]);
      expect([word, answers.length, first, second, client.isClosed]).toEqual([
        word,
        2,
        [KIND.inferAnswer, STATUS.ok],
        [KIND.inferAnswer, STATUS.badInput],
        true,
      ]);
      expect(answers[1]?.header.inferenceUs).toBe(0);
      expect(new TextDecoder().decode(answers[1]?.payload)).toContain(word);
      client.close();
    }
  },

  "answers a thousand pipelined requests in their order": async ({ address }) => {
    const observation = await observe(4, 1);
    const requests = Array.from({ length: 1000 }, (_, id) => frame({ id }, observation));
    const answers = await answersTo(address, [Buffer.concat(requests)], 1000);
    expect(statusesOf(answers)).toEqual(requests.map((_, id) => [id, STATUS.ok] as const));
    const expected = await rawActions(address, 4, 1);
    expect(answers.filter(({ payload }) => !Buffer.from(payload).equals(expected))).toEqual([]);
  },
};

/** Registers every case for one service. */
export function runProtocolSuite(name: string, open: () => ServiceUnderTest): void {
  for (const [protocol, cases] of Object.entries({ raw: RAW, framed: FRAMED })) {
    describe(`${protocol}, ${name}`, () => {
      for (const [word, run] of Object.entries(cases)) test(word, () => run(open()));
    });
  }
}
