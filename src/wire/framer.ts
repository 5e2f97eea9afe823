/**
 * Raw framing without any IO: bytes go in as they come off a socket, whole observations come out.
 * One framer per connection; its buffer is allocated once.
 */

import { assert } from "../base/assert.ts";

export class RawFramer {
  /** Bytes of one observation. */
  readonly frameBytes: number;
  /** Receive into `buffer` from `filled` on, then call `received`. */
  readonly buffer: Uint8Array;
  #filled = 0;
  #taken = 0;
  readonly #frame: Uint8Array;

  /**
   * @param observation the caller's array that `next` fills, shape [observationSize]
   * @param frames how many observations are taken from a socket at once
   */
  constructor(observation: Float32Array, frames: number) {
    this.#frame = new Uint8Array(
      observation.buffer,
      observation.byteOffset,
      observation.byteLength,
    );
    this.frameBytes = observation.byteLength;
    this.buffer = new Uint8Array(this.frameBytes * frames);
  }

  /** Where the next bytes belong; `buffer.length` means: take frames out first. */
  get filled(): number {
    return this.#filled;
  }

  /** Are bytes of an unfinished observation waiting for the rest? */
  get isPartial(): boolean {
    return this.#filled > this.#taken;
  }

  /** Says that `count` bytes were written to `buffer` at `filled`. */
  received(count: number): void {
    assert(count >= 0 && this.#filled + count <= this.buffer.length, "received past the buffer");
    this.#filled += count;
  }

  /** Puts the next whole observation into the caller's array; false when there is none. */
  next(): boolean {
    const { frameBytes, buffer } = this;
    if (this.#filled - this.#taken < frameBytes) {
      if (this.#taken > 0) {
        buffer.copyWithin(0, this.#taken, this.#filled);
        this.#filled -= this.#taken;
        this.#taken = 0;
      }
      return false;
    }
    for (let i = 0; i < frameBytes; i++) this.#frame[i] = buffer[this.#taken + i] as number;
    this.#taken += frameBytes;
    return true;
  }
}
