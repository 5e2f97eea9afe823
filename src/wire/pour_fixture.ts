/**
 * For tests: gives a framer bytes as a socket would.
 */

import type { AnswerFramer, RequestFramer } from "./framer.ts";

/** No more at once than there is room for; each piece is read at the time of its end. */
export function pour(
  framer: RequestFramer | AnswerFramer,
  bytes: Uint8Array,
  cuts: readonly number[],
  take: () => void,
): void {
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    while (from < to && framer.fault === undefined) {
      const count = Math.min(to - from, framer.buffer.length - framer.filled);
      framer.buffer.set(bytes.subarray(from, from + count), framer.filled);
      framer.received(count, to);
      from += count;
      take();
    }
  }
}
