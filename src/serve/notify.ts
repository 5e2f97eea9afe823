/**
 * What systemd is told of the service (sd_notify(3)), where it asks for it: that it is ready, that
 * it opens a model anew, that it stops, what happens meanwhile, and that it is alive.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import { connectDatagram, sendDatagram } from "../../ffi/datagram.ts";
import { closeSocket } from "../../ffi/socket.ts";
import { warn } from "../base/log.ts";
import { plain } from "../base/text.ts";
import type { ServiceEvent } from "./view.ts";

/** For what must not be lost, where systemd is behind with its reading. */
const PATIENCE_MS = 500;
/** Of a status line: as much as a terminal shows. */
const STATUS_CHARACTERS_MAX = 200;

export interface Notify extends Disposable {
  ready(status: string): void;
  /** Ends with `ready`. */
  reloading(): void;
  stopping(): void;
  /** Shows what happened, and sees in it the end of a reload. */
  heard(event: ServiceEvent): void;
}

/**
 * Takes NOTIFY_SOCKET and WATCHDOG_USEC out of the environment, so that no engine answers for the
 * service. Without them all of it does nothing.
 */
export function openNotify(environment: NodeJS.ProcessEnv = process.env): Notify {
  const { NOTIFY_SOCKET: name, WATCHDOG_USEC: period, WATCHDOG_PID: pid } = environment;
  for (const one of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete environment[one];
  const fd = name === undefined || name === "" ? undefined : connect(name);
  const say = (lines: readonly string[], limitMs = 0): void => {
    if (fd !== undefined) sendDatagram(fd, lines.join("\n"), limitMs);
  };
  const statusOf = (text: string): string => `STATUS=${plain(text, STATUS_CHARACTERS_MAX)}`;
  const isOurs = pid === undefined || Number(pid) === process.pid;
  const watchdogMs = isOurs && fd !== undefined ? Number(period) / 1000 : NaN;
  let alive: Timer | undefined;
  const ready = (status: string): void => {
    say(["READY=1", statusOf(status)], PATIENCE_MS);
    // Twice as often as it must be, from when systemd begins to count.
    if (watchdogMs > 0) alive ??= setInterval(() => say(["WATCHDOG=1"]), watchdogMs / 2);
  };
  return {
    ready,
    reloading() {
      const since = `MONOTONIC_USEC=${Math.floor(monotonicUs())}`;
      say(["RELOADING=1", since], PATIENCE_MS);
    },
    stopping: () => say(["STOPPING=1"], PATIENCE_MS),
    heard({ name: event, message }) {
      if (event === "swap" || event === "reload") ready(message);
      else say([statusOf(message)]);
    },
    [Symbol.dispose]() {
      clearInterval(alive);
      if (fd !== undefined) closeSocket(fd);
    },
  };
}

function connect(name: string): number | undefined {
  try {
    return connectDatagram(name);
  } catch (error) {
    warn(`NOTIFY_SOCKET=${plain(name, STATUS_CHARACTERS_MAX)}: ${(error as Error).message}`);
    return undefined;
  }
}
