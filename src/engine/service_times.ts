/**
 * How long requests took: from the read of their last byte until their answer was given to the
 * kernel. Answers that go out together are over together, so one look at the clock is enough for
 * all of them.
 */

import { type PageHistogram, recordUs } from "../service/page.ts";

/** Answers of one turn; pipelined requests beyond are answered in the next. */
const UNSENT_MAX = 256;

export class ServiceTimes {
  readonly #histogram: PageHistogram;
  readonly #fromUs = new Float64Array(UNSENT_MAX);
  #count = 0;

  constructor(histogram: PageHistogram) {
    this.#histogram = histogram;
  }

  get unsent(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === UNSENT_MAX;
  }

  /** A request has its answer, which is not sent yet; there is room for it. */
  answered(fromUs: number): void {
    this.#fromUs[this.#count++] = fromUs;
  }

  /** Every answer is with the kernel, or waits there for a client that does not read. */
  sent(nowUs: number): void {
    for (let i = 0; i < this.#count; i++) {
      recordUs(this.#histogram, nowUs - (this.#fromUs[i] as number));
    }
    this.#count = 0;
  }
}
