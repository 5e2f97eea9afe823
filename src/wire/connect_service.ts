/**
 * A client of a policy service, whatever it speaks: framed where it can, else raw.
 */

import type { SocketAddress } from "../../ffi/socket.ts";
import { Lite3Error } from "../base/errors.ts";
import { probeService, RawClient } from "./client.ts";
import { describeAddress } from "./endpoint.ts";
import { FramedClient } from "./framed_client.ts";

export interface ServiceNeeds {
  /** What the caller has; what is left out may be anything, but then the service must say it. */
  readonly observationSize?: number | undefined;
  readonly actionSize?: number | undefined;
  /** Longest wait for one answer. */
  readonly timeoutMs: number;
}

/**
 * How long a service gets to answer a hello. One that speaks raw bytes only, and waits for the
 * rest of an observation, costs its clients this once; a service of ours answers in microseconds,
 * also while its engine is replaced in under 300 ms.
 */
const HELLO_MS = 1000;

/**
 * Connects, and makes sure that the service has the sizes that are needed. Throws WIRE when it
 * has others, or speaks raw bytes only and the caller does not know its sizes.
 */
export function connectService(
  address: SocketAddress,
  needs: ServiceNeeds,
): FramedClient | RawClient {
  const framed = connectFramed(address, needs.timeoutMs);
  if (framed !== undefined) {
    const { hello } = framed;
    const isFitting =
      hello.observationSize === (needs.observationSize ?? hello.observationSize) &&
      hello.actionSize === (needs.actionSize ?? hello.actionSize);
    if (isFitting) return framed;
    framed[Symbol.dispose]();
    const found = `it takes ${hello.observationSize} numbers and gives ${hello.actionSize}`;
    throw cannotUse(address, `${found}, need ${wanted(needs)}`);
  }
  const { observationSize, actionSize, timeoutMs } = needs;
  if (observationSize === undefined || actionSize === undefined) {
    throw cannotUse(
      address,
      "it does not speak the framed protocol, and raw bytes do not say its sizes: name a model " +
        "file for them; or it turned this client away (--max-clients, --allow-uid), which its " +
        "log says",
    );
  }
  probeService(address, { observationSize, actionSize, timeoutMs });
  return new RawClient(address, timeoutMs);
}

/** Does the service say its sizes? Throws where nobody is there. */
export function speaksFramed(address: SocketAddress, timeoutMs: number): boolean {
  using framed = connectFramed(address, timeoutMs);
  return framed !== undefined;
}

/** Undefined where the service does not speak framed. */
function connectFramed(address: SocketAddress, timeoutMs: number): FramedClient | undefined {
  try {
    return new FramedClient(address, timeoutMs, HELLO_MS);
  } catch (error) {
    if (error instanceof Lite3Error && error.code === "UNSUPPORTED") return undefined;
    throw error;
  }
}

function wanted({ observationSize, actionSize }: ServiceNeeds): string {
  return `one that takes ${observationSize ?? "any"} numbers and gives ${actionSize ?? "any"}`;
}

const cannotUse = (address: SocketAddress, what: string): Lite3Error =>
  new Lite3Error("WIRE", `Cannot use the service at ${describeAddress(address)}: ${what}`);
