/**
 * The supervisor as a `ServiceView`.
 */

import { readFileSync } from "node:fs";
import { version } from "../../package.json" with { type: "json" };
import type { ReadyEvent } from "../service/control.ts";
import type { EngineProcess } from "./engine_process.ts";
import type { Supervisor } from "./supervisor.ts";
import type { ServedModel, ServiceView } from "./view.ts";
import type { SocketWatch } from "./watch_sockets.ts";

const PAGE_BYTES = 4096;

/** @param sockets where clients come to the service */
export function createServiceView(
  supervisor: Supervisor,
  sockets: Pick<SocketWatch, "problem">,
): ServiceView {
  return {
    version,
    startedMs: performance.timeOrigin,
    snapshot() {
      const { current, history } = supervisor;
      const why =
        current?.isListening === true ? sockets.problem : "no engine is ready, another one starts";
      const hello = current?.ready?.hello ?? {};
      return {
        ready: why === undefined,
        ...(why === undefined ? {} : { why }),
        model: current?.ready === undefined ? undefined : describeModel(current, current.ready),
        engine: current?.snapshot(),
        totals: supervisor.totals(),
        deaths: { ...history.deaths },
        restarts: history.restarts,
        swaps: history.swaps,
        engineRssBytes: current === undefined ? 0 : rssBytes(current.pid),
        supervisorRssBytes: rssBytes(process.pid),
        events: history.events,
        observationNames: namesOf(hello.observationNames),
        actionNames: namesOf(hello.actionNames),
      };
    },
  };
}

function describeModel({ open }: EngineProcess, ready: ReadyEvent): ServedModel {
  const { backend, evidence, sha256, hello } = ready;
  const { version: modelVersion } = (hello.model ?? {}) as { version?: unknown };
  return {
    file: open.model,
    sha256,
    generation: open.generation,
    backend,
    evidence,
    ...(typeof modelVersion === "string" ? { version: modelVersion } : {}),
  };
}

const namesOf = (names: unknown): readonly string[] =>
  Array.isArray(names) ? names.map(String) : [];

/** Resident memory of a process (proc(5)); 0 once it has ended. */
function rssBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
