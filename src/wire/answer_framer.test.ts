import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { AssertionError } from "../base/assert.ts";
import { AnswerFramer } from "./framer.ts";
import { pour } from "./pour_fixture.ts";
import {
  ANSWER_BYTES,
  type AnswerHeader,
  createAnswerHeader,
  encodeAnswer,
  hasAction,
  KIND,
  STATUS,
} from "./protocol.ts";

const ACTIONS = 3;
const SEED = 1;

/** `rows` actions, with numbers that tell where each belongs. */
const rowsOf = (rows: number, first = 0): Float32Array =>
  Float32Array.from({ length: rows * ACTIONS }, (_, i) => first * 1000 + i + 0.25);

const bytesOf = (numbers: Float32Array): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(new Uint8Array(numbers.buffer));

const OK: AnswerHeader = {
  ...createAnswerHeader(),
  rows: 1,
  payloadBytes: ACTIONS * 4,
  id: 7,
  generation: 1,
};

function answer(
  fields: Partial<AnswerHeader>,
  payload: Uint8Array = bytesOf(rowsOf(1, 0)),
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(ANSWER_BYTES + payload.length);
  const header = { ...OK, payloadBytes: payload.length, ...fields };
  encodeAnswer(new DataView(frame.buffer), 0, header);
  frame.set(payload, ANSWER_BYTES);
  return frame;
}

const text = (words: string): Uint8Array => new TextEncoder().encode(words);

describe("AnswerFramer", () => {
  const stream = Buffer.concat([
    answer({ id: 1 }),
    answer({ id: 2, status: STATUS.busy, rows: 0 }, text("busy?")),
    answer({ id: 3, rows: 2 }, bytesOf(rowsOf(2, 3))),
    answer({ id: 4, kind: KIND.helloAnswer, rows: 0 }, text("a hello of 9")),
    answer({ id: 5, status: STATUS.failed, rows: 0 }, text("")),
    answer({ id: 6, status: STATUS.degraded }),
  ]);
  const expected = [
    [1, STATUS.ok, [...rowsOf(1, 0)]],
    [2, STATUS.busy, "busy?"],
    [3, STATUS.ok, [...rowsOf(2, 3)]],
    [4, STATUS.ok, "a hello of 9"],
    [5, STATUS.failed, ""],
    [6, STATUS.degraded, [...rowsOf(1, 0)]],
  ];

  function receive(bytes: Uint8Array, cuts: readonly number[]): unknown[] {
    const framer = new AnswerFramer(ACTIONS, 2 * ACTIONS * 4);
    const seen: unknown[] = [];
    pour(framer, bytes, cuts, () => {
      for (let taken = framer.next(); taken === "frame"; taken = framer.next()) {
        const { id, status, kind, rows } = framer.answer;
        const isAction = kind === KIND.inferAnswer && hasAction(status);
        const action = new Float32Array(isAction ? rows * ACTIONS : 0);
        if (isAction) framer.copyAction(action);
        const words = new TextDecoder().decode(framer.payload);
        seen.push([id, status, isAction ? [...action] : words]);
        framer.take();
      }
    });
    return framer.fault === undefined ? seen : [...seen, framer.fault];
  }

  test("finds the same answers however the stream is cut, and whatever their lengths", () => {
    expect(receive(stream, [])).toEqual(expected);
    expect(
      receive(
        stream,
        Array.from({ length: stream.length - 1 }, (_, i) => i + 1),
      ),
    ).toEqual(expected);
    for (let cut = 0; cut <= stream.length; cut++) {
      expect(receive(stream, [cut])).toEqual(expected);
    }
  });

  const bad: Record<string, [frame: Uint8Array, fault: string]> = {
    "another magic": [answer({}).fill(0, 0, 1), "its answer does not begin with the magic"],
    "another version": [answer({ version: 2 }), "its answer is of protocol version 2, need 1"],
    "a request's kind": [
      answer({ kind: KIND.infer }),
      "its answer is of kind 2, which is not known",
    ],
    "no rows": [answer({ rows: 0 }), "its answer has 12 bytes for 0 rows, need 12 each"],
    "half an action": [
      answer({}, new Uint8Array(6)),
      "its answer has 6 bytes for 1 rows, need 12 each",
    ],
    "more rows than there is room for": [
      answer({ rows: 100 }, new Uint8Array(1200)),
      "its answer has 1200 bytes, need at most 512",
    ],
    "a long reason": [
      answer({ status: STATUS.busy }, new Uint8Array(513)),
      "its answer has 513 bytes, need at most 512",
    ],
  };
  for (const [name, [frame, fault]] of Object.entries(bad)) {
    test(`says what is wrong with ${name}`, () => {
      for (const cuts of [[], [10], [31], [32]]) {
        expect(receive(frame, cuts)).toEqual([fault]);
      }
      expect(receive(Buffer.concat([stream, frame]), [])).toEqual([...expected, fault]);
    });
  }

  test("takes no action before it knows the size of one", () => {
    const framer = new AnswerFramer(0, 100);
    framer.buffer.set(answer({}));
    framer.received(ANSWER_BYTES + 12);
    expect([framer.next(), framer.fault, framer.next()]).toEqual([
      "fault",
      "its answer has 12 bytes for 1 rows, need 0 each",
      "nothing",
    ]);
  });

  test("asserts that the caller's array is as long as the action", () => {
    const framer = new AnswerFramer(ACTIONS, 100);
    framer.buffer.set(answer({}));
    framer.received(ANSWER_BYTES + 12);
    expect(framer.next()).toBe("frame");
    expect(() => framer.copyAction(new Float32Array(4))).toThrow(AssertionError);
  });

  test("gives whole answers or one fault for any flipped byte", () => {
    const at = fc.nat(stream.length - 1);
    fc.assert(
      fc.property(at, fc.integer({ min: 1, max: 255 }), at, (flipped, mask, cut) => {
        const bytes = Uint8Array.from(stream);
        bytes[flipped]! ^= mask;
        expect(receive(bytes, [cut]).length).toBeLessThanOrEqual(expected.length + 1);
      }),
      { seed: SEED, numRuns: 3000 },
    );
  });
});
