/**
 * Where the service listens, from its flags and from systemd.
 */

import { Lite3Error } from "../base/errors.ts";
import type { SocketAccess, SocketAddress } from "../../ffi/socket.ts";
import { DEFAULT_SOCKET, DEFAULT_TCP, tcpAddress, unixAddress } from "../wire/endpoint.ts";
import { parseId } from "./accounts.ts";
import { type Listener, openListener } from "./listener.ts";

export interface EndpointFlags {
  readonly socket?: string | undefined;
  readonly socketMode?: number | undefined;
  readonly socketGroup?: string | undefined;
  readonly tcp?: string | true | undefined;
  readonly insecureNetwork: boolean;
}

export interface Endpoints {
  readonly addresses: readonly SocketAddress[];
  readonly access: SocketAccess;
}

/**
 * What to listen on beside `given`, systemd's listeners, and who may connect to a Unix socket. The
 * default socket is for when nothing else is said. Throws USAGE for what the network could reach.
 */
export function chooseEndpoints(flags: EndpointFlags, given: readonly Listener[]): Endpoints {
  const { socket, socketMode, socketGroup, tcp, insecureNetwork } = flags;
  const addresses: SocketAddress[] = [];
  if (socket !== undefined || (tcp === undefined && given.length === 0)) {
    addresses.push(unixAddress(socket ?? DEFAULT_SOCKET));
  }
  if (tcp !== undefined) addresses.push(tcp === true ? DEFAULT_TCP : tcpAddress(tcp));
  for (const address of [...addresses, ...given.map((listener) => listener.address)]) {
    checkReach(address, insecureNetwork, "actions");
  }
  const mode = socketMode ?? (socketGroup === undefined ? 0o600 : 0o660);
  const gid =
    socketGroup === undefined ? undefined : parseId("group", socketGroup, "--socket-group");
  return { addresses, access: { mode, gid } };
}

const DEFAULT_HTTP = { kind: "tcp", host: "127.0.0.1", port: 3589 } as const;

/** `--http [host:port|unix:PATH]`; what is left out is 127.0.0.1 and 3589. */
export function httpAddress(text: string | true): SocketAddress {
  if (text === true) return DEFAULT_HTTP;
  if (text.startsWith("unix:")) return unixAddress(text.slice("unix:".length));
  const address = tcpAddress(text);
  const saysPort = /\d$/.test(text) && (/:/.test(text) || /^\d+$/.test(text));
  return address.kind === "tcp" && !saysPort ? { ...address, port: DEFAULT_HTTP.port } : address;
}

/** Refuses what is reached from beyond this machine, unless the user says so. */
export function checkReach(address: SocketAddress, isAllowed: boolean, what: string): void {
  if (address.kind === "unix" || address.host.startsWith("127.") || isAllowed) return;
  throw new Lite3Error(
    "USAGE",
    `Cannot listen on ${address.host}: the service would answer the whole network` +
      `${what === "actions" ? "" : ` with ${what}`}, need 127.0.0.1 (and ssh -L or WireGuard for ` +
      "other machines) or --insecure-network",
  );
}

/** Opens all or none. */
export function openEndpoints({ addresses, access }: Endpoints): Listener[] {
  const listeners: Listener[] = [];
  try {
    for (const address of addresses) listeners.push(openListener(address, access));
    return listeners;
  } catch (error) {
    for (const listener of listeners) listener[Symbol.dispose]();
    throw error;
  }
}
