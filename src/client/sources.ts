/**
 * The clients as single files: each is written in several, of which one includes the others by
 * name; here their text takes the place of the line that includes them.
 */

import { version } from "../../package.json" with { type: "json" };
import { assert } from "../base/assert.ts";
import lite3Runner from "./cpp/lite3_socket_policy_runner.hpp" with { type: "text" };
import cppClient from "./cpp/lite3rl_client.hpp" with { type: "text" };
import cppProtocol from "./cpp/lite3rl_protocol.hpp" with { type: "text" };
import cppSocket from "./cpp/lite3rl_socket.hpp" with { type: "text" };
import protocol from "../wire/PROTOCOL.md" with { type: "text" };
import pythonClient from "./python/lite3rl_client.py" with { type: "text" };
import pythonProtocol from "./python/lite3rl_protocol.py" with { type: "text" };

const PARTS: Readonly<Record<string, string>> = {
  "lite3rl_client.hpp": cppClient,
  "lite3rl_protocol.hpp": cppProtocol,
  "lite3rl_socket.hpp": cppSocket,
  "lite3rl_protocol.py": pythonProtocol,
};

interface ClientSource {
  readonly file: string;
  /** How a comment begins in it, and how it ends where a line does not end it. */
  readonly comment: string;
  readonly end?: string;
  readonly source: string;
}

/** What the verb prints: by name, the file's usual name and its text. */
export const CLIENTS = {
  cpp: { file: "lite3rl_client.hpp", comment: "//", source: cppClient },
  "cpp --lite3": {
    file: "lite3_socket_policy_runner.hpp",
    comment: "//",
    source: lite3Runner,
  },
  python: { file: "lite3rl_client.py", comment: "#", source: pythonClient },
  protocol: { file: "PROTOCOL.md", comment: "<!--", end: " -->", source: protocol },
} as const satisfies Readonly<Record<string, ClientSource>>;

export type ClientName = keyof typeof CLIENTS;

/** A whole client, or the protocol that others are written by; its first line says of which version it is. */
export function clientText(name: ClientName): string {
  const { comment, end = "", source }: ClientSource = CLIENTS[name];
  return `${comment} lite3rl ${version}: lite3rl client ${name}${end}\n${inlined(source)}`;
}

/** Is this the beginning of such a file? */
export function isClientText(head: Uint8Array): boolean {
  return /^(?:\/\/|#|<!--) lite3rl /.test(new TextDecoder().decode(head));
}

const INCLUDE = /^#include "(lite3rl_\w+\.hpp)"$|^from (lite3rl_\w+) import \*$/gm;

/** In a header, each part's own guard lets it stand there more than once. */
function inlined(source: string): string {
  return source.replaceAll(INCLUDE, (_, header?: string, module?: string) => {
    const text = PARTS[header ?? `${module}.py`];
    assert(text !== undefined, `no part ${header ?? module}`);
    return inlined(text.replace(/^"""[^]*?"""\n/, "")).trim();
  });
}
