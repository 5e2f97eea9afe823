import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { AssertionError } from "../base/assert.ts";
import { RequestFramer, type Taken } from "./framer.ts";
import { pour } from "./pour_fixture.ts";
import {
  createRequestHeader,
  encodeRequest,
  KIND,
  REQUEST_BYTES,
  type RequestHeader,
  ROWS_MAX,
} from "./protocol.ts";

const SIZE = 5;
const SEED = 1;

/** `rows` observations, with numbers that tell where each belongs. */
const rowsOf = (rows: number, first = 0): Float32Array =>
  Float32Array.from({ length: rows * SIZE }, (_, i) => first * 1000 + i + 0.25);

const bytesOf = (numbers: Float32Array): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(new Uint8Array(numbers.buffer));

/** What came out: a whole request, or a fault. */
type Seen = { header: RequestHeader; rows: number[]; startedUs: number } | { fault: string };

/** What comes out of the stream, cut at `cuts`. */
function feed(stream: Uint8Array, cuts: readonly number[]) {
  const observations = new Float32Array(SIZE * ROWS_MAX);
  const framer = new RequestFramer(observations);
  const seen: Seen[] = [];
  pour(framer, stream, cuts, () => takeAll(framer, observations, seen));
  const { protocol, isPartial, pending } = framer;
  return { seen, protocol, isPartial, pending: pending.length };
}

function takeAll(framer: RequestFramer, observations: Float32Array, seen: Seen[]): void {
  for (let taken: Taken = framer.next(); taken !== "nothing"; taken = framer.next()) {
    const { request, startedUs, fault = "" } = framer;
    const rows = [...observations.subarray(0, request.rows * SIZE)];
    seen.push(taken === "fault" ? { fault } : { header: { ...request }, rows, startedUs });
  }
}

const withoutTimes = (result: ReturnType<typeof feed>) => ({
  ...result,
  seen: result.seen.map((one) => ("fault" in one ? one : { header: one.header, rows: one.rows })),
});

function framed(
  fields: Partial<RequestHeader>,
  rows: Float32Array = new Float32Array(0),
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(REQUEST_BYTES + rows.byteLength);
  const sizes = { rows: rows.length / SIZE, payloadBytes: rows.byteLength };
  encodeRequest(new DataView(frame.buffer), 0, { ...createRequestHeader(), ...sizes, ...fields });
  frame.set(bytesOf(rows), REQUEST_BYTES);
  return frame;
}

const RAW_HEADER = { ...createRequestHeader(), rows: 1, payloadBytes: SIZE * 4 };
const raws = [rowsOf(1, 1), rowsOf(1, 2), rowsOf(1, 3)];
const rawStream = Buffer.concat(raws.map(bytesOf));
const rawSeen = raws.map((rows) => ({ header: RAW_HEADER, rows: [...rows] }));

/** A hello, two rows, one row, and as many rows as may be. */
const requests: readonly [Partial<RequestHeader>, Float32Array][] = [
  [{ kind: KIND.hello, id: 1 }, rowsOf(0)],
  [{ id: 2, flags: 1, deadlineUs: 5000, sentAtUs: 2 ** 40 + 1 }, rowsOf(2, 2)],
  [{ id: 0xffffffff }, rowsOf(1, 3)],
  [{ id: 4 }, rowsOf(ROWS_MAX, 4)],
];
const framedStream = Buffer.concat(requests.map(([fields, rows]) => framed(fields, rows)));
const framedSeen = requests.map(([fields, rows]) => ({
  header: {
    ...createRequestHeader(),
    rows: rows.length / SIZE,
    payloadBytes: rows.byteLength,
    ...fields,
  },
  rows: [...rows],
}));

const STREAMS = {
  raw: { stream: rawStream, seen: rawSeen },
  framed: { stream: framedStream, seen: framedSeen },
} as const;

for (const [protocol, { stream, seen }] of Object.entries(STREAMS)) {
  const whole = { seen, protocol, isPartial: false, pending: 0 };
  const result = (cuts: readonly number[]): unknown => withoutTimes(feed(stream, cuts));

  describe(`RequestFramer on a ${protocol} stream`, () => {
    test("takes the same requests out of one piece, and of single bytes", () => {
      expect(result([])).toEqual(whole);
      expect(result(Array.from({ length: stream.length - 1 }, (_, i) => i + 1))).toEqual(whole);
    });

    test("takes the same requests out however the stream is cut in two", () => {
      for (let cut = 0; cut <= stream.length; cut++) expect(result([cut])).toEqual(whole);
    });

    test("takes the same requests out of any pieces", () => {
      const places = fc.array(fc.nat(stream.length), { maxLength: 40 });
      fc.assert(
        fc.property(places, (cuts) => {
          expect(result(cuts.sort((a, b) => a - b))).toEqual(whole);
        }),
        { seed: SEED, numRuns: 500 },
      );
    });

    test("takes the whole requests of a stream that ends anywhere, and keeps the rest", () => {
      for (let length = 0; length < stream.length; length++) {
        const { seen: some, pending, isPartial } = feed(stream.subarray(0, length), []);
        expect(withoutTimes(feed(stream.subarray(0, length), [])).seen).toEqual(
          seen.slice(0, some.length),
        );
        const used = seen
          .slice(0, some.length)
          .reduce((sum, { header }) => sum + header.payloadBytes, 0);
        const headers = protocol === "framed" ? some.length * REQUEST_BYTES : 0;
        expect({ pending, isPartial }).toEqual({
          pending: length - used - headers,
          isPartial: length > used + headers,
        });
      }
    });
  });
}

describe("RequestFramer", () => {
  test("has room for the longest request, and for as many raw observations", () => {
    const framer = new RequestFramer(new Float32Array(45 * ROWS_MAX));
    const { buffer, filled, isPartial, protocol, fault } = framer;
    expect({ bytes: buffer.length, filled, isPartial, protocol, fault }).toEqual({
      bytes: REQUEST_BYTES + ROWS_MAX * 180,
      filled: 0,
      isPartial: false,
      protocol: "unknown",
      fault: undefined,
    });
  });

  test("knows the protocol from the fourth byte on, and keeps to it", () => {
    for (const [length, protocol] of [
      [3, "unknown"],
      [4, "framed"],
    ] as const) {
      expect(feed(framedStream.subarray(0, length), []).protocol).toBe(protocol);
    }
    const later = Buffer.concat([rawStream, framed({}, rowsOf(1)), new Uint8Array(8)]);
    const { protocol, seen } = feed(later, []);
    expect([protocol, seen.length]).toEqual(["raw", 6]);
  });

  test("says when a request's first byte came, not its last one", () => {
    const stream = Buffer.concat([rawStream, rawStream]);
    const times = (cuts: readonly number[]): number[] =>
      feed(stream, cuts).seen.map((one) => ("startedUs" in one ? one.startedUs : -1));
    // `feed` gives each piece the time of its end.
    expect(times([])).toEqual([120, 120, 120, 120, 120, 120]);
    expect(times([1, 30, 31, 41])).toEqual([1, 30, 41, 120, 120, 120]);
    expect(times([20, 40, 60])).toEqual([20, 40, 60, 120, 120, 120]);
  });

  const bad: Record<string, [frame: Uint8Array, fault: string]> = {
    "another magic": [
      framed({}, rowsOf(1)).fill(0, 0, 1),
      "the frame does not begin with the magic",
    ],
    "another version": [
      framed({ version: 2 }, rowsOf(1)),
      "protocol version 2 is not spoken here, need 1",
    ],
    "another kind": [
      framed({ kind: 9 }, rowsOf(1)),
      "kind 9 is not known, need 1 (hello) or 2 (infer)",
    ],
    "too many rows": [framed({}, rowsOf(ROWS_MAX + 1)), "65 rows, need 1 to 64"],
    "a payload of 4 GiB": [
      framed({ payloadBytes: 2 ** 32 - 1 }, rowsOf(1)),
      "4294967295 bytes of payload, need 1 × 20",
    ],
    "a row that is too short": [
      framed({ payloadBytes: 16, rows: 1 }, new Float32Array(4)),
      "16 bytes of payload, need 1 × 20",
    ],
  };
  for (const [name, [frame, fault]] of Object.entries(bad)) {
    test(`says once what is wrong with ${name}, after the requests before it`, () => {
      const stream = Buffer.concat([framedStream, frame, framedStream]);
      const at = framedStream.length;
      for (const cuts of [[], [at], [at + 1], [at + 31], [at + 32], [at + 33]]) {
        const { seen, protocol } = withoutTimes(feed(stream, cuts));
        expect({ seen, protocol }).toEqual({
          seen: [...framedSeen, { fault }],
          protocol: "framed",
        });
      }
    });
  }

  test("says a fault before any payload comes", () => {
    const { seen } = feed(framed({ payloadBytes: 7, rows: 1 }).subarray(0, REQUEST_BYTES), []);
    expect(seen).toEqual([{ fault: "7 bytes of payload, need 1 × 20" }]);
  });

  test("goes on elsewhere from its protocol and pending bytes, wherever it is cut", () => {
    for (const [protocol, { stream, seen }] of Object.entries(STREAMS)) {
      for (let cut = 0; cut <= stream.length; cut++) {
        const observations = new Float32Array(SIZE * ROWS_MAX);
        const all: Seen[] = [];
        const first = new RequestFramer(observations);
        pour(first, stream.subarray(0, cut), [], () => takeAll(first, observations, all));
        const second = new RequestFramer(observations, first.protocol);
        const rest = Buffer.concat([first.pending, stream.subarray(cut)]);
        pour(second, rest, [first.pending.length], () => takeAll(second, observations, all));
        expect(all.map((one) => ("header" in one ? one.header : one))).toEqual(
          seen.map(({ header }) => header),
        );
        expect(second.protocol).toBe(protocol as "raw");
      }
    }
  });

  test("fills the caller's rows and nothing beside them", () => {
    const observations = new Float32Array(SIZE * ROWS_MAX).fill(-1);
    const framer = new RequestFramer(observations);
    const frame = framed({}, rowsOf(2));
    framer.buffer.set(frame);
    framer.received(frame.length - 1);
    expect([framer.next(), observations.every((value) => value === -1)]).toEqual(["nothing", true]);
    framer.received(1);
    expect(framer.next()).toBe("frame");
    expect([...observations.subarray(0, 2 * SIZE + 1)]).toEqual([...rowsOf(2), -1]);
  });

  test("asserts that no more is received than it has room for", () => {
    const framer = new RequestFramer(new Float32Array(SIZE * ROWS_MAX));
    expect(() => framer.received(framer.buffer.length + 1)).toThrow(AssertionError);
    framer.received(framer.buffer.length);
    expect(() => framer.received(1)).toThrow(AssertionError);
    expect(() => framer.received(-1)).toThrow(AssertionError);
  });

  test("gives whole requests or one fault for any flipped byte, in bounded steps", () => {
    const at = fc.nat(framedStream.length - 1);
    fc.assert(
      fc.property(at, fc.integer({ min: 1, max: 255 }), at, (flipped, mask, cut) => {
        const stream = Uint8Array.from(framedStream);
        stream[flipped]! ^= mask;
        const { seen, pending } = feed(stream, [cut]);
        const faults = seen.filter((one) => "fault" in one);
        // A flipped first word makes it a raw stream, of as many observations as fit.
        expect(seen.length).toBeLessThanOrEqual(Math.ceil(stream.length / (SIZE * 4)));
        expect(faults.length).toBeLessThanOrEqual(1);
        if (faults.length > 0) expect(seen.at(-1)).toBe(faults[0]!);
        expect(pending).toBeLessThanOrEqual(stream.length);
      }),
      { seed: SEED, numRuns: 3000 },
    );
  });
});
