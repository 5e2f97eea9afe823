/**
 * Looks at every engine from when it starts until it ends, and ends those that hang: while they
 * open their model, wait for their turn, or serve.
 */

import type { EngineProcess } from "./engine_process.ts";
import { LOOK_MS, type Watchdog } from "./watchdog.ts";

/** @param openLimitMs how long an engine may take until it is ready */
export function watchEngines(
  engines: ReadonlyMap<EngineProcess, Watchdog>,
  openLimitMs: number,
): Disposable {
  let timer: Timer | undefined;
  const look = (): void => {
    let nextMs = LOOK_MS;
    for (const [engine, watchdog] of engines) {
      const isLate = performance.now() - engine.startedMs > openLimitMs;
      const leftMs = engine.ready === undefined ? LOOK_MS : watchdog.look(engine.word);
      if (leftMs === 0 || (engine.ready === undefined && isLate)) engine.kill("hang");
      else nextMs = Math.min(nextMs, leftMs);
    }
    timer = setTimeout(look, nextMs);
  };
  look();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
