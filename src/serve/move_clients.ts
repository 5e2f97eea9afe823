/**
 * One engine gives its clients to another, each with all that is known of it; where that cannot be
 * done it keeps them.
 */

import { closeSync } from "node:fs";
import { messagePair } from "../../ffi/message_socket.ts";
import { Lite3Error } from "../base/errors.ts";
import { plural } from "../base/text.ts";
import type { Bell } from "./bell.ts";
import type { EngineProcess } from "./engine_process.ts";

export interface Move {
  /** Connections that the other engine has. */
  readonly moved: number;
  /** Connections that could not be given to it. */
  readonly left: number;
}

/** Waits for at most `limitMs`. Throws NATIVE where the clients stay with the engine that had them. */
export async function moveClients(
  from: EngineProcess,
  to: EngineProcess,
  bell: Bell,
  limitMs: number,
): Promise<Move> {
  const [give, take] = messagePair();
  to.tell({ type: "take-over" }, [take]);
  from.tell({ type: "hand-over" }, [give]);
  closeSync(give);
  closeSync(take);
  await bell.until(() => from.handed !== undefined || from.end !== undefined, limitMs);
  const { connections: moved, left } = from.handed ?? { connections: 0, left: 0 };
  if (left > 0 && (moved === 0 || to.end !== undefined)) {
    const lost = moved === 0 ? "" : `, and ${plural(moved, "connection")} ended with it`;
    throw new Lite3Error(
      "NATIVE",
      `could not take the clients over${to.end ? `, it ${to.describeEnd()}` : ""}${lost}`,
    );
  }
  return { moved, left };
}
