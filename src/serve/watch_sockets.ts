/**
 * Looks every now and then whether clients still find the service where it listens: a socket whose
 * name was removed is made again, and one that another program has the name of is said.
 */

import { quote } from "../base/errors.ts";
import { describeAddress } from "../wire/endpoint.ts";
import type { EngineProcess } from "./engine_process.ts";
import type { Listener } from "./listener.ts";
import type { Supervisor } from "./supervisor.ts";

const LOOK_MS = 500;

export interface SocketWatch extends Disposable {
  /** Why clients do not find the service; undefined: they do. */
  readonly problem: string | undefined;
}

export function watchSockets(
  listeners: readonly Listener[],
  supervisor: Pick<Supervisor, "history" | "current">,
): SocketWatch {
  const { history } = supervisor;
  let problem: string | undefined;
  const look = (): void => {
    const before = problem;
    problem = undefined;
    for (const listener of listeners) {
      const found = listener.look();
      if (found === "there") continue;
      const name = quote(describeAddress(listener.address));
      if (found === "renewed") {
        giveAlso(listener, supervisor.current);
        history.tell("warn", "socket", `${name} was removed, and is there again`);
      } else {
        problem = `clients do not find ${name}: ${found.problem}`;
      }
    }
    if (problem !== undefined && problem !== before) history.tell("error", "socket", problem);
  };
  const timer = setInterval(look, LOOK_MS);
  return {
    get problem() {
      return problem;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** One more for an engine that has the others; one that has none yet is given all. */
function giveAlso({ fd, address }: Listener, engine: EngineProcess | undefined): void {
  if (engine?.isTold) engine.tell({ type: "listen", kinds: [address.kind] }, [fd]);
}
