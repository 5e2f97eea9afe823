/**
 * The service's HTTP server, for people and Prometheus: read only, and apart from the data path.
 * Whoever can reach it may look; other web pages of the same browser may not, so there is no CORS,
 * and a Host that a foreign name server could have made up is refused (DNS rebinding).
 */

import { hostname } from "node:os";
import { isIP } from "node:net";
import type { SocketAddress } from "../../../ffi/socket.ts";
import { Lite3Error, quote } from "../../base/errors.ts";
import { warn } from "../../base/log.ts";
import { describeAddress } from "../../wire/endpoint.ts";
import { claimSocketPath } from "../listener.ts";
import type { ServiceView } from "../view.ts";
import { renderLivePage } from "./live_page.ts";
import { METRICS_TYPE, renderMetrics } from "./metrics.ts";
import { statusOf } from "./status.ts";

/** A request has no body; the least that lets a small one be refused in words. */
const BODY_BYTES_MAX = 4096;
/** Seconds that a connection may do nothing: more than Prometheus waits between two scrapes. */
const IDLE_S = 75;

const HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
} as const;

/** What is answered at each path; paths that are not here do not exist. */
const PAGES: Readonly<Record<string, (view: ServiceView) => Response | Promise<Response>>> = {
  /** Says in itself what it may run and ask; a policy in the header could only take from that. */
  "/": (view) =>
    respond(200, renderLivePage(view), "text/html; charset=utf-8", {
      "Content-Security-Policy": "frame-ancestors 'none'",
    }),
  "/metrics": async (view) => respond(200, await renderMetrics(view), METRICS_TYPE),
  "/status.json": (view) => respond(200, JSON.stringify(statusOf(view)), "application/json"),
  /** The supervisor lives, or this would not be answered. */
  "/healthz": () => respond(200, "ok\n"),
  "/readyz": (view) => {
    const { ready, why = "no engine is ready" } = view.snapshot();
    return ready ? respond(200, "ready\n") : respond(503, `not ready: ${why}\n`);
  },
};

export interface HttpServer extends Disposable {
  /** `http://127.0.0.1:3589/` or `unix:PATH`. */
  readonly address: string;
}

/**
 * Serves until disposed. Throws BUSY when the address is taken, NATIVE when it cannot be bound.
 * A Unix socket is made with mode 0600.
 */
export async function startHttp(address: SocketAddress, view: ServiceView): Promise<HttpServer> {
  const claim = address.kind === "unix" ? claimSocketPath(address) : undefined;
  try {
    const server = listen(address, view);
    return {
      address: address.kind === "unix" ? describeAddress(address) : server.url.href,
      [Symbol.dispose]() {
        void server.stop(true);
        claim?.[Symbol.dispose]();
      },
    };
  } catch (error) {
    claim?.[Symbol.dispose]();
    throw cannotServe(address, error as NodeJS.ErrnoException);
  }
}

function listen(address: SocketAddress, view: ServiceView): Bun.Server<undefined> {
  const hasHost = address.kind === "tcp";
  const options = {
    development: false,
    maxRequestBodySize: BODY_BYTES_MAX,
    fetch: (request: Request) => answer(request, view, hasHost),
    error: failed,
  };
  if (address.kind === "tcp") {
    const { host, port } = address;
    // Said, because without `development` Bun lets several programs share a port.
    const alone = { reusePort: false };
    return Bun.serve({ ...options, ...alone, hostname: host, port, idleTimeout: IDLE_S });
  }
  const umask = process.umask(0o177);
  try {
    return Bun.serve({ ...options, unix: address.path });
  } finally {
    process.umask(umask);
  }
}

async function answer(request: Request, view: ServiceView, hasHost: boolean): Promise<Response> {
  if (hasHost && !isOurHost(request.headers.get("host"))) {
    return respond(421, "this host name is not ours: use an address, or localhost\n");
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return respond(405, "only GET and HEAD\n", undefined, { Allow: "GET, HEAD" });
  }
  const { pathname = "" } = URL.parse(request.url) ?? {};
  const page = Object.hasOwn(PAGES, pathname) ? PAGES[pathname] : undefined;
  return page === undefined
    ? respond(404, `not found: need one of ${Object.keys(PAGES).join(" ")}\n`)
    : page(view);
}

/**
 * May a request that was sent to this host be for us? Addresses are as good as what they reach,
 * and of names only those that no foreign name server answers for.
 */
export function isOurHost(header: string | null): boolean {
  const host = /^(\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?$/i.exec(header ?? "")?.[1]?.toLowerCase();
  if (host === undefined) return false;
  const own = hostname().toLowerCase();
  return (
    isIP(host.replace(/^\[|\]$/g, "")) !== 0 || ["localhost", own, `${own}.local`].includes(host)
  );
}

function respond(
  status: number,
  body: string,
  type = "text/plain; charset=utf-8",
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(body, { status, headers: { ...HEADERS, "Content-Type": type, ...headers } });
}

/** An error ends its request and never the service. */
function failed(error: Error): Response {
  warn(`HTTP: ${error.message}`);
  return respond(500, "failed: the log of the service says why\n");
}

function cannotServe(address: SocketAddress, error: NodeJS.ErrnoException): Error {
  if (error instanceof Lite3Error) return error;
  const text = `Cannot serve HTTP on ${quote(describeAddress(address))}`;
  if (error.code === "EADDRINUSE") {
    return new Lite3Error("BUSY", `${text}: the address is in use, choose another --http`);
  }
  return new Lite3Error("NATIVE", `${text}: ${error.code ?? error.message}`, { cause: error });
}
