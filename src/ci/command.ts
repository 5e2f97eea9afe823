/**
 * `lite3rl ci init`: the workflow of a project's CI, which makes the .rknn anew whenever the policy
 * changes and fails where it is not the policy any more.
 */

import { existsSync } from "node:fs";
import { arch, platform } from "node:os";
import { join, relative, resolve } from "node:path";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { checkOutput, openFile, sha256Source, writeFileAtomic } from "../base/files.ts";
import { defineCommand, pathValue, switchValue } from "../cli/command.ts";
import { table } from "../cli/output.ts";
import { readProject } from "./project.ts";
import { isKind, WORKFLOWS } from "./workflows.ts";

export default defineCommand({
  name: "ci",
  positionals: "<action> <kind> [dir]",
  summary: "Write a CI workflow that exports, converts and checks parity on each change",
  details: [
    "  init github [DIR]   .github/workflows/lite3rl.yml at the repository's root",
    "  init gitlab [DIR]   .gitlab-ci.yml there",
    "DIR is a project, with its lite3rl.yaml (default: here).",
  ],
  example: "ci init github",
  flags: {
    output: {
      value: "<file>",
      help: "Where it goes instead, for a .gitlab-ci.yml of yours to include",
      schema: v.optional(pathValue()),
    },
    force: { help: "Write over a workflow that is there", schema: switchValue() },
  },
  async run([action = "", kind = "", directory = "."], { output, force }) {
    if (action !== "init") {
      throw new Lite3Error("USAGE", `Unknown action ${quote(action)} for ci: need init`);
    }
    if (!isKind(kind)) {
      const known = Object.keys(WORKFLOWS).join(", ");
      throw new Lite3Error("USAGE", `Cannot write a workflow for ${quote(kind)}: need ${known}`);
    }
    const project = readProject(directory);
    const { file, render, shown } = WORKFLOWS[kind];
    const path = output ?? relative(process.cwd(), join(project.root, file));
    checkOutput(
      path,
      project.watched.map((name) => join(directory, name)),
    );
    if (existsSync(path) && !force) {
      throw new Lite3Error(
        "CONFIG",
        `Cannot write ${quote(path)}: it exists, name another file by --output, ` +
          "or --force writes over it",
      );
    }
    const digest = ownDigest();
    writeFileAtomic(path, render(project, relative(project.root, resolve(path)), digest));
    const variables: (keyof typeof NEEDS)[] =
      digest === undefined ? ["LITE3RL_URL", "LITE3RL_SHA256"] : ["LITE3RL_URL"];
    return {
      json: { kind, path, directory: project.inside, watched: project.watched, variables, digest },
      text: [
        table(
          ["variable of the CI", "what it needs"],
          variables.map((name) => [name, NEEDS[name]]),
        ),
        "",
        `${path}: runs when ${project.watched.join(", ")} change; ${shown}`,
        "Of a private release, LITE3RL_HEADER is a secret with the token's header",
      ].join("\n"),
    };
  },
});

const NEEDS = {
  LITE3RL_URL: "where your lite3rl-linux-x64 can be downloaded from",
  LITE3RL_SHA256: "that file's SHA-256, by sha256sum",
} as const;

/** Of this program, where it is the binary that a CI runs. */
function ownDigest(): string | undefined {
  if (!Bun.isStandaloneExecutable || platform() !== "linux" || arch() !== "x64") return undefined;
  using binary = openFile(process.execPath);
  return sha256Source(binary);
}
