import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { AssertionError } from "../base/assert.ts";
import { RawFramer } from "./framer.ts";

const SIZE = 5;
const FRAMES = 8;

/** `count` different observations, with bytes that tell where each belongs. */
function observations(count: number): Float32Array[] {
  return Array.from({ length: count }, (_, frame) =>
    Float32Array.from({ length: SIZE }, (_, i) => frame * 1000 + i + 0.25),
  );
}

const bytesOf = (frames: readonly Float32Array[]): Buffer =>
  Buffer.concat(frames.map((frame) => new Uint8Array(frame.buffer)));

/** Feeds the stream cut at `cuts`, as a socket would: no more at once than there is room for. */
function feed(stream: Uint8Array, cuts: readonly number[], frames = FRAMES) {
  const observation = new Float32Array(SIZE);
  const framer = new RawFramer(observation, frames);
  const taken: Float32Array[] = [];
  let from = 0;
  for (const to of [...cuts, stream.length]) {
    while (from < to) {
      const count = Math.min(to - from, framer.buffer.length - framer.filled);
      framer.buffer.set(stream.subarray(from, from + count), framer.filled);
      framer.received(count);
      from += count;
      while (framer.next()) taken.push(observation.slice());
    }
  }
  return { taken, isPartial: framer.isPartial, filled: framer.filled };
}

describe("RawFramer", () => {
  const whole = observations(3);
  const stream = bytesOf(whole);

  test("has room for the frames it was made for", () => {
    const { frameBytes, buffer, filled, isPartial } = new RawFramer(new Float32Array(45), 64);
    expect({ frameBytes, bytes: buffer.length, filled, isPartial }).toEqual({
      frameBytes: 180,
      bytes: 64 * 180,
      filled: 0,
      isPartial: false,
    });
  });

  test("takes the same frames out however a stream is cut in two, or in three", () => {
    const expected = { taken: whole, isPartial: false, filled: 0 };
    for (let first = 0; first <= stream.length; first++) {
      expect(feed(stream, [first])).toEqual(expected);
      for (const second of [first + 1, first + 19, first + 20, first + 21]) {
        if (second <= stream.length) expect(feed(stream, [first, second])).toEqual(expected);
      }
    }
  });

  test("takes frames out of single bytes", () => {
    const cuts = Array.from({ length: stream.length - 1 }, (_, i) => i + 1);
    expect(feed(stream, cuts)).toEqual({ taken: whole, isPartial: false, filled: 0 });
  });

  test("takes 1 to 200 frames out of one piece, whatever its own room is", () => {
    for (let count = 1; count <= 200; count++) {
      const frames = observations(count);
      for (const room of [1, 2, 64, count]) {
        expect(feed(bytesOf(frames), [], room)).toEqual({
          taken: frames,
          isPartial: false,
          filled: 0,
        });
      }
    }
  });

  test("takes the same frames out of any pieces", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 0, max: SIZE * 4 - 1 }),
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 }),
        (count, rest, room, places) => {
          const frames = observations(count + 1);
          const bytes = bytesOf(frames).subarray(0, count * SIZE * 4 + rest);
          const cuts = places.map((place) => Math.floor(place * bytes.length));
          expect(
            feed(
              bytes,
              cuts.sort((a, b) => a - b),
              room,
            ),
          ).toEqual({
            taken: frames.slice(0, count),
            isPartial: rest > 0,
            filled: rest,
          });
        },
      ),
      { numRuns: 500, seed: 1 },
    );
  });

  test("says that an observation is unfinished, from its first byte to its last", () => {
    for (let bytes = 1; bytes < SIZE * 4; bytes++) {
      expect(feed(stream.subarray(0, bytes), [])).toEqual({
        taken: [],
        isPartial: true,
        filled: bytes,
      });
    }
  });

  test("leaves the caller's array as it is while a frame is unfinished", () => {
    const observation = Float32Array.from([1, 2, 3, 4, 5]);
    const framer = new RawFramer(observation, 2);
    framer.buffer.set(stream.subarray(0, 19));
    framer.received(19);
    expect(framer.next()).toBe(false);
    expect([...observation]).toEqual([1, 2, 3, 4, 5]);
  });

  test("fills the caller's part of a larger array and nothing beside it", () => {
    const memory = new Float32Array(SIZE + 2).fill(-1);
    const framer = new RawFramer(memory.subarray(1, 1 + SIZE), 1);
    framer.buffer.set(stream.subarray(0, 20));
    framer.received(20);
    expect(framer.next()).toBe(true);
    expect([...memory]).toEqual([-1, ...whole[0]!, -1]);
  });

  test("asserts that no more is received than it has room for", () => {
    const framer = new RawFramer(new Float32Array(SIZE), 1);
    expect(() => framer.received(21)).toThrow(AssertionError);
    framer.received(20);
    expect(() => framer.received(1)).toThrow(AssertionError);
    expect(() => framer.received(-1)).toThrow(AssertionError);
  });
});
