/**
 * `lite3rl client`: the words. The clients themselves are beside it, in their own languages.
 */

import * as v from "valibot";
import { version } from "../../package.json" with { type: "json" };
import { Lite3Error, quote } from "../base/errors.ts";
import { checkOutput, checkReplaces, sha256, writeFileAtomic } from "../base/files.ts";
import { defineCommand, pathValue, switchValue } from "../cli/command.ts";
import { type ClientName, clientText, isClientText } from "./sources.ts";

const LANGUAGES = ["cpp", "python", "protocol"] as const;

export default defineCommand({
  name: "client",
  positionals: "<language>",
  summary: "Print a client of the service, as one file of C++ or Python",
  details: [
    "cpp: a C++17 header without dependencies; with --lite3 the policy runner that",
    "Lite3_rl_deploy takes in the place of its own. python: a module for Python 3.8",
    "and later, standard library only. Each begins with how it is used.",
    "protocol: what goes over the socket, for a client in another language.",
  ],
  example: "client cpp --output lite3rl_client.hpp",
  flags: {
    lite3: {
      help: "The policy runner for DeepRobotics' Lite3_rl_deploy",
      schema: switchValue(),
    },
    output: {
      value: "<file>",
      help: "Write the file there (default: print it)",
      schema: v.optional(pathValue()),
    },
  },
  async run([language = ""], { lite3, output }) {
    const name = clientName(language, lite3);
    if (output !== undefined) {
      checkOutput(output, []);
      checkReplaces(output, isClientText, "client of lite3rl");
    }
    const source = clientText(name);
    const digest = sha256(new TextEncoder().encode(source));
    const json = { language, lite3, version, sha256: digest };
    if (output === undefined) return { json: { ...json, source }, text: source.trimEnd() };
    writeFileAtomic(output, source);
    return { json: { ...json, output }, text: `wrote ${output}` };
  },
});

function clientName(language: string, lite3: boolean): ClientName {
  const known = LANGUAGES.find((word) => word === language);
  if (known === undefined) {
    throw new Lite3Error(
      "USAGE",
      `Unknown language ${quote(language)} for client: need one of ${LANGUAGES.join(", ")}`,
    );
  }
  if (!lite3) return known;
  if (known === "cpp") return "cpp --lite3";
  throw new Lite3Error(
    "USAGE",
    `Cannot print --lite3 for ${known}: Lite3_rl_deploy takes C++, need lite3rl client cpp --lite3`,
  );
}
