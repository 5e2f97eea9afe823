/**
 * Bytes as they come off a socket, until they make a frame: written at the end, taken from the
 * front, allocated once. What is next always lies on a multiple of 4, so that its numbers can be
 * read as numbers.
 */

import { assert } from "../base/assert.ts";

export class ReceiveBuffer {
  /** Receive into `bytes` from `filled` on, then call `received`. */
  readonly bytes: Uint8Array;
  /** The same memory, for headers. */
  readonly view: DataView;
  readonly #numbers: Float32Array;
  #filled = 0;
  #taken = 0;

  /** @param room bytes that it holds, at least those of the longest frame */
  constructor(room: number) {
    const memory = new ArrayBuffer(Math.ceil(room / 4) * 4);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
    this.#numbers = new Float32Array(memory);
  }

  /** Where the next bytes belong; `bytes.length` means: take frames out first. */
  get filled(): number {
    return this.#filled;
  }

  /** Where the bytes begin that were not taken. */
  get taken(): number {
    return this.#taken;
  }

  get available(): number {
    return this.#filled - this.#taken;
  }

  /** Says that `count` bytes were written to `bytes` at `filled`. */
  received(count: number): void {
    assert(count >= 0 && this.#filled + count <= this.bytes.length, "received past the buffer");
    this.#filled += count;
  }

  /** Copies the float32 numbers from `offset` bytes after `taken` on into the start of `to`. */
  copyNumbers(offset: number, to: Float32Array, count: number): void {
    const from = (this.#taken + offset) / 4;
    for (let i = 0; i < count; i++) to[i] = this.#numbers[from + i] as number;
  }

  take(count: number): void {
    assert(count >= 0 && count <= this.available, "taken past what was received");
    this.#taken += count;
    if (this.#taken % 4 !== 0) this.compact();
  }

  /** Moves what was not taken to the front, which makes room behind it. */
  compact(): void {
    if (this.#taken === 0) return;
    this.bytes.copyWithin(0, this.#taken, this.#filled);
    this.#filled -= this.#taken;
    this.#taken = 0;
  }
}
