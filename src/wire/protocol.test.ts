import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { FormatError } from "../base/errors.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import {
  ANSWER_BYTES,
  type AnswerHeader,
  createAnswerHeader,
  createRequestHeader,
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeHello,
  encodeRequest,
  framingFault,
  hasAction,
  hasMagic,
  type Hello,
  HELLO_BYTES_MAX,
  KIND,
  MAGIC,
  parseHello,
  REQUEST_BYTES,
  type RequestHeader,
  ROWS_MAX,
  STATUS,
  statusName,
} from "./protocol.ts";

const document = readFileSync(join(import.meta.dir, "PROTOCOL.md"), "utf8");

/** The bytes of one of the document's examples. */
function example(name: string): Uint8Array<ArrayBuffer> {
  const [, hex = ""] = new RegExp(`\`\`\`${name}\n([^\`]+)\`\`\``).exec(document) ?? [];
  return Uint8Array.from(hex.match(/[0-9A-F]{2}/g) ?? [], (byte) => Number.parseInt(byte, 16));
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const REQUEST: RequestHeader = {
  kind: KIND.infer,
  flags: 1,
  id: 7,
  payloadBytes: 8,
  deadlineUs: 20_000,
  rows: 1,
  version: 1,
  sentAtUs: 1_000_000,
};
const ANSWER: AnswerHeader = {
  kind: KIND.inferAnswer,
  status: STATUS.ok,
  id: 7,
  payloadBytes: 4,
  serviceUs: 18,
  rows: 1,
  version: 1,
  inferenceUs: 9,
  generation: 1,
};

describe("PROTOCOL.md", () => {
  test("has a request as encodeRequest() writes it and decodeRequest() reads it", () => {
    const bytes = example("request");
    const ours = new Uint8Array(REQUEST_BYTES + 8);
    encodeRequest(viewOf(ours), 0, REQUEST);
    new Float32Array(ours.buffer, REQUEST_BYTES).set([0.5, -1]);
    const header = createRequestHeader();
    decodeRequest(viewOf(bytes), 0, header);
    expect({ bytes: ours, header }).toEqual({ bytes, header: REQUEST });
    expect(framingFault(header, 8)).toBeUndefined();
  });

  test("has an answer as encodeAnswer() writes it and decodeAnswer() reads it", () => {
    const bytes = example("answer");
    const ours = new Uint8Array(ANSWER_BYTES + 4);
    encodeAnswer(viewOf(ours), 0, ANSWER);
    new Float32Array(ours.buffer, ANSWER_BYTES).set([0.25]);
    const header = createAnswerHeader();
    decodeAnswer(viewOf(bytes), 0, header);
    expect({ bytes: ours, header }).toEqual({ bytes, header: ANSWER });
  });

  test("has every status with its number, its name, and whether there is an action", () => {
    const rows = [
      ...document.matchAll(/^\| (\d+) +\| ([a-z ]+?) +\| (rows × A f32|UTF-8 reason)/gm),
    ];
    expect(rows.map(([, status, name, payload]) => [Number(status), name, payload])).toEqual(
      Object.values(STATUS).map((status) => [
        status,
        statusName(status),
        hasAction(status) ? "rows × A f32" : "UTF-8 reason",
      ]),
    );
  });

  test("begins frames with a NaN, which no raw observation can begin with", () => {
    const bytes = example("request");
    expect(new Float32Array(bytes.buffer, 0, 1)[0]).toBeNaN();
    expect([hasMagic(viewOf(bytes), 0), hasMagic(viewOf(bytes), 4)]).toEqual([true, false]);
    expect(MAGIC).toBe(0x7ff4334c);
  });
});

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });

describe("headers", () => {
  test("decodeRequest() is the inverse of encodeRequest() for every header", () => {
    const any = fc.record({
      kind: u16,
      flags: u16,
      id: u32,
      payloadBytes: u32,
      deadlineUs: u32,
      rows: u16,
      version: u16,
      sentAtUs: fc.maxSafeNat(),
    });
    fc.assert(
      fc.property(any, fc.integer({ min: 0, max: 9 }), (header, at) => {
        const view = viewOf(new Uint8Array(REQUEST_BYTES + 9));
        const decoded = createRequestHeader();
        encodeRequest(view, at, header);
        decodeRequest(view, at, decoded);
        expect(decoded).toEqual(header);
        expect(hasMagic(view, at)).toBe(true);
      }),
      { seed: 1, numRuns: 1000 },
    );
  });

  test("decodeAnswer() is the inverse of encodeAnswer() for every header", () => {
    const any = fc.record({
      kind: u16,
      status: u16,
      id: u32,
      payloadBytes: u32,
      serviceUs: u32,
      rows: u16,
      version: u16,
      inferenceUs: u32,
      generation: u32,
    });
    fc.assert(
      fc.property(any, fc.integer({ min: 0, max: 9 }), (header, at) => {
        const view = viewOf(new Uint8Array(ANSWER_BYTES + 9));
        const decoded = createAnswerHeader();
        encodeAnswer(view, at, header);
        decodeAnswer(view, at, decoded);
        expect(decoded).toEqual(header);
      }),
      { seed: 2, numRuns: 1000 },
    );
  });

  test("encodeAnswer() says of a time that does not fit that it is the longest", () => {
    const view = viewOf(new Uint8Array(ANSWER_BYTES));
    encodeAnswer(view, 0, { ...ANSWER, serviceUs: 2 ** 40, inferenceUs: Infinity });
    const header = createAnswerHeader();
    decodeAnswer(view, 0, header);
    expect(header).toEqual({ ...ANSWER, serviceUs: 0xffffffff, inferenceUs: 0xffffffff });
  });
});

describe("framingFault()", () => {
  const HELLO = { ...REQUEST, kind: KIND.hello, flags: 0, rows: 0, payloadBytes: 0 };
  const cases: readonly [header: RequestHeader, fault: string | undefined][] = [
    [REQUEST, undefined],
    [HELLO, undefined],
    [{ ...REQUEST, rows: ROWS_MAX, payloadBytes: ROWS_MAX * 8 }, undefined],
    [{ ...REQUEST, version: 2 }, "protocol version 2 is not spoken here, need 1"],
    [{ ...REQUEST, kind: 3 }, "kind 3 is not known, need 1 (hello) or 2 (infer)"],
    [{ ...REQUEST, kind: 0x8002 }, "kind 32770 is not known, need 1 (hello) or 2 (infer)"],
    [{ ...REQUEST, flags: 2 }, "flags 2 are not known here"],
    [{ ...HELLO, flags: 1 }, "flags 1 are not known here"],
    [{ ...REQUEST, rows: 0, payloadBytes: 0 }, "0 rows, need 1 to 64"],
    [{ ...REQUEST, rows: 65, payloadBytes: 65 * 8 }, "65 rows, need 1 to 64"],
    [{ ...HELLO, rows: 1 }, "1 rows, need 0 in a hello"],
    [{ ...REQUEST, payloadBytes: 4 }, "4 bytes of payload, need 1 × 8"],
    [{ ...REQUEST, payloadBytes: 0xffffffff }, "4294967295 bytes of payload, need 1 × 8"],
    [{ ...HELLO, payloadBytes: 8 }, "8 bytes of payload, need none in a hello"],
  ];
  for (const [header, fault] of cases) {
    test(`says ${fault ?? `nothing of kind ${header.kind} with ${header.rows} rows`}`, () => {
      expect(framingFault(header, 8)).toBe(fault as string);
    });
  }
});

const DIGEST = "0123456789abcdef".repeat(4);
const HELLO: Hello = {
  observationSize: 3,
  actionSize: 2,
  rowsMax: 64,
  isRecurrent: true,
  about: {
    program: "lite3rl",
    version: "0.1.0",
    protocols: [1],
    model: { file: "policy.onnx", sha256: DIGEST },
    generation: 1,
    backend: "mlp",
    evidence: "cpu",
    normalizer: "folded",
    contract: { robot: "lite3", kp: 30 },
    observationNames: ["a", "b", "c"],
    actionNames: ["FL_HipX", "FL_HipY"],
    controlPeriodMs: 20,
  },
};

describe("parseHello()", () => {
  test("is the inverse of encodeHello()", () => {
    expect(parseHello(encodeHello(HELLO))).toEqual(HELLO);
    const { observationNames: _o, actionNames: _a, controlPeriodMs: _c, ...about } = HELLO.about;
    const bare = { ...HELLO, isRecurrent: false, about: { ...about, contract: null } };
    expect(parseHello(encodeHello(bare))).toEqual(bare);
  });

  test("ignores what it does not know, as a later service may say it", () => {
    const about = { ...HELLO.about, later: 1, model: { ...HELLO.about.model, later: 2 } };
    expect(parseHello(encodeHello({ ...HELLO, about }))).toEqual(HELLO);
  });

  test("does without names that do not fit", () => {
    const observationNames = Array.from({ length: 10_000 }, (_, i) => `observation ${i}`);
    const bytes = encodeHello({ ...HELLO, about: { ...HELLO.about, observationNames } });
    const { observationNames: _o, actionNames: _a, ...about } = HELLO.about;
    expect(bytes.length).toBeLessThan(HELLO_BYTES_MAX);
    expect(parseHello(bytes)).toEqual({ ...HELLO, about });
  });

  const said = (about: object): Uint8Array =>
    encodeHello({ ...HELLO, about: { ...HELLO.about, ...about } });
  const bad: Record<string, [bytes: Uint8Array, message: string]> = {
    "an empty one": [new Uint8Array(0), "its hello has 0 bytes, need 49 to 65536"],
    "one cut before its JSON": [
      encodeHello(HELLO).subarray(0, 48),
      "its hello has 48 bytes, need 49 to 65536",
    ],
    "one that is too long": [
      new Uint8Array(HELLO_BYTES_MAX + 1),
      "its hello has 65537 bytes, need 49 to 65536",
    ],
    "one cut in its JSON": [
      encodeHello(HELLO).subarray(0, -1),
      "its hello is not followed by JSON",
    ],
    "no observations": [
      encodeHello({ ...HELLO, observationSize: 0 }),
      "its hello says 0 observations, 2 actions, 64 rows, need 1 to 65536 numbers and " +
        "at least a row",
    ],
    "a wrong type": [
      said({ generation: "1" }),
      'its hello\'s generation: Invalid type: Expected number but received "1"',
    ],
    "a digest that is none": [
      said({ model: { file: "x", sha256: "abc" } }),
      'its hello\'s model.sha256: Invalid format: Expected /^[0-9a-f]{64}$/ but received "abc"',
    ],
  };
  for (const [name, [bytes, message]] of Object.entries(bad)) {
    test(`refuses ${name}`, async () => {
      expect(await refusalOf(() => parseHello(bytes))).toEqual({ code: "MALFORMED", message });
    });
  }

  test("refuses two digests that differ", () => {
    const bytes = encodeHello(HELLO);
    bytes[20]! ^= 1;
    expect(() => parseHello(bytes)).toThrow("its hello names two models");
  });

  test("gives a hello or a FormatError for any bytes, and for any flipped byte", () => {
    const whole = encodeHello(HELLO);
    const isBounded = (bytes: Uint8Array): void => {
      try {
        expect(parseHello(bytes).about.program).toBeString();
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), isBounded), { seed: 3 });
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const bytes = whole.slice();
        bytes[at]! ^= mask;
        isBounded(bytes);
      }),
      { seed: 4, numRuns: 2000 },
    );
  });
});
