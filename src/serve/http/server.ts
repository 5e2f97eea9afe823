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
import {
  type HttpAnswer,
  type HttpListener,
  type HttpRequest,
  listenForRequests,
  REASONS,
} from "./one_request.ts";
import { statusOf } from "./status.ts";

/** A request has no body; a small one is refused for its method. */
const BODY_BYTES_MAX = 4096;
/** What a page said stays true for so long: a person sees no less, and a flood costs no more. */
export const KEEP_MS = 250;

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
const PAGES: Readonly<Record<string, (view: ServiceView) => HttpAnswer | Promise<HttpAnswer>>> = {
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
    const listener = listen(address, view);
    return {
      address:
        address.kind === "unix"
          ? describeAddress(address)
          : `http://${address.host}:${listener.port}/`,
      [Symbol.dispose]() {
        listener[Symbol.dispose]();
        claim?.[Symbol.dispose]();
      },
    };
  } catch (error) {
    claim?.[Symbol.dispose]();
    throw cannotServe(address, error as NodeJS.ErrnoException);
  }
}

function listen(address: SocketAddress, view: ServiceView): HttpListener {
  const hasHost = address.kind === "tcp";
  const pages = keepPages(view);
  const refuse = (status: 400 | 431): HttpAnswer => respond(status, `${REASONS[status]}\n`);
  const umask = process.umask(0o177);
  try {
    return listenForRequests(address, (request) => answer(request, pages, hasHost), refuse);
  } finally {
    process.umask(umask);
  }
}

/** What a path answers, kept for a moment; undefined where there is nothing. */
function keepPages(view: ServiceView): (path: string) => Promise<HttpAnswer> | undefined {
  const kept = new Map<string, { readonly atMs: number; readonly answer: Promise<HttpAnswer> }>();
  return (path) => {
    const page = Object.hasOwn(PAGES, path) ? PAGES[path] : undefined;
    if (page === undefined) return undefined;
    const atMs = performance.now();
    const last = kept.get(path);
    if (last !== undefined && atMs - last.atMs < KEEP_MS) return last.answer;
    const answer = (async () => page(view))().catch(failed);
    kept.set(path, { atMs, answer });
    return answer;
  };
}

async function answer(
  { method, target, hosts, bodyBytes }: HttpRequest,
  pages: ReturnType<typeof keepPages>,
  hasHost: boolean,
): Promise<HttpAnswer> {
  if (hasHost && (hosts.length === 0 || !hosts.every(isOurHost))) {
    return respond(421, "this host name is not ours: use an address, or localhost\n");
  }
  if (bodyBytes > BODY_BYTES_MAX) return respond(413, "no body is taken\n");
  if (method !== "GET" && method !== "HEAD") {
    return respond(405, "only GET and HEAD\n", undefined, { Allow: "GET, HEAD" });
  }
  const [path = ""] = target.split("?");
  return (
    (await pages(path)) ?? respond(404, `not found: need one of ${Object.keys(PAGES).join(" ")}\n`)
  );
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
  status: HttpAnswer["status"],
  body: string,
  type = "text/plain; charset=utf-8",
  headers: Readonly<Record<string, string>> = {},
): HttpAnswer {
  return { status, body, headers: { ...HEADERS, "Content-Type": type, ...headers } };
}

/** An error ends its request and never the service. */
function failed(error: Error): HttpAnswer {
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
