/**
 * What the engine tells its supervisor: JSON lines, each name at most once a second, with what it
 * said and how often each, so that no flood of clients becomes a flood of words.
 */

import { writeSync } from "node:fs";
import { encodeEvent, type EngineEvent } from "../service/control.ts";

const INTERVAL_US = 1e6;

type Level = "warn" | "info";

export interface Events {
  say(event: EngineEvent): void;
  /** One of those that may come often. */
  report(level: Level, name: string, message: string, nowUs: number): void;
  /** Says what was held back for at least a second; all of it where no time is given. */
  flush(nowUs?: number): void;
}

/** Different words of one name within a second; more come together, without them. */
const MESSAGES_MAX = 8;

interface Held {
  level: Level;
  /** How often each came since it was last said. */
  readonly counts: Map<string, number>;
  saidUs: number;
}

/** @param fd where the lines go; it must not block: a line that finds it full is lost */
export function createEvents(fd: number): Events {
  const held = new Map<string, Held>();
  /** Of a line that did not fit: no other one may get into it. */
  let rest: Uint8Array = new Uint8Array(0);
  const writeRest = (): void => {
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
    } catch {
      // The supervisor is gone or does not read: there is nobody to tell.
    }
  };
  const write = (event: EngineEvent): void => {
    writeRest();
    if (rest.length > 0) return;
    rest = Buffer.from(encodeEvent(event));
    const { length } = rest;
    writeRest();
    if (rest.length === length) rest = new Uint8Array(0);
  };
  const release = (name: string, entry: Held, nowUs: number): void => {
    const { level, counts } = entry;
    for (const [message, count] of counts) write({ event: level, name, message, count });
    counts.clear();
    entry.saidUs = nowUs;
  };
  return {
    say: write,
    report(level, name, message, nowUs) {
      const entry = held.get(name) ?? { level, counts: new Map(), saidUs: -Infinity };
      held.set(name, entry);
      entry.level = level;
      const { counts } = entry;
      const isKept = counts.has(message) || counts.size < MESSAGES_MAX;
      const words = isKept ? message : `${name}, for other reasons`;
      counts.set(words, (counts.get(words) ?? 0) + 1);
      if (nowUs - entry.saidUs >= INTERVAL_US) release(name, entry, nowUs);
    },
    flush(nowUs = Infinity) {
      for (const [name, entry] of held) {
        if (entry.counts.size > 0 && nowUs - entry.saidUs >= INTERVAL_US)
          release(name, entry, nowUs);
      }
    },
  };
}
