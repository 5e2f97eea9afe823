/**
 * Which of two sides is opened first: a service that speaks raw bytes only has the sizes of the
 * other, and a framed one is held against those of a file.
 */

import { isEndpoint, parseEndpoint } from "../wire/endpoint.ts";
import { speaksFramed } from "../wire/connect_service.ts";

/** The two, the one to open first in front. */
export function openingOrder(a: string, b: string, timeoutMs: number): [string, string] {
  if (!isEndpoint(a)) return [a, b];
  const isRaw = isEndpoint(b) && !speaksFramed(parseEndpoint(b), timeoutMs);
  return isRaw ? [a, b] : [b, a];
}
