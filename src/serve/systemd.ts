/**
 * Sockets that systemd has opened for the service (sd_listen_fds(3)): they are there before it
 * starts and stay when it ends, so that no client finds nobody.
 */

import { adoptListener, closeSocket } from "../../ffi/socket.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import type { Listener } from "./listener.ts";

/** SD_LISTEN_FDS_START */
const FIRST_FD = 3;

/** Are there sockets for this process? */
export const hasSystemdListeners = ({ LISTEN_PID, LISTEN_FDS } = process.env): boolean =>
  LISTEN_FDS !== undefined && Number(LISTEN_PID) === process.pid;

/**
 * The listeners of `LISTEN_FDS`, none where it is not said or meant for another process. The
 * variables are removed, so that no child takes them for its own.
 */
export function takeSystemdListeners(environment: NodeJS.ProcessEnv = process.env): Listener[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[name];
  if (pid === undefined || count === undefined || Number(pid) !== process.pid) return [];
  if (!/^\d{1,3}$/.test(count)) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot take sockets over: LISTEN_FDS is ${quote(count)}, need a number`,
    );
  }
  return Array.from({ length: Number(count) }, (_, i) => {
    const fd = FIRST_FD + i;
    const address = adoptListener(fd);
    return { fd, address, look: () => "there" as const, [Symbol.dispose]: () => closeSocket(fd) };
  });
}
