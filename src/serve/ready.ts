/**
 * The service's first word on stdout: where it listens and what it serves.
 */

import type { CommandResult } from "../cli/command.ts";
import { microseconds } from "../cli/output.ts";
import type { ReadyEvent } from "../service/control.ts";
import { plain } from "../base/text.ts";
import { describeAddress } from "../wire/endpoint.ts";
import type { Listener } from "./listener.ts";

export function describeReady(
  model: string,
  listeners: readonly Listener[],
  ready: ReadyEvent,
): CommandResult {
  const endpoints = listeners.map(({ address }) => describeAddress(address));
  const { observationSize, actionSize, normalizer, backend, evidence, warmup } = ready;
  const latency =
    warmup.count === 0
      ? "no warm-up"
      : `warm-up ${warmup.count}: p50 ${microseconds(warmup.p50Us)}, ` +
        `max ${microseconds(warmup.maxUs)}`;
  return {
    text:
      `READY ${plain(`${endpoints.join(" ")} · ${model}`, Infinity)} · ` +
      `${observationSize} → ${actionSize} · ` +
      `normalizer ${normalizer} · ${backend} (${evidence}) · ${latency}`,
    json: {
      ready: true,
      endpoints,
      model,
      generation: 1,
      observationSize,
      actionSize,
      normalizer,
      backend,
      evidence,
      warmup: { count: warmup.count, p50Us: warmup.p50Us, maxUs: warmup.maxUs },
      pid: process.pid,
    },
  };
}
