/**
 * `lite3rl doctor`: the words. What is checked is in `doctor.ts`.
 */

import { existsSync, statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import * as v from "valibot";
import { LIBRARY_VARIABLE } from "../../ffi/rknn_library.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { checkOutput, checkReplaces, writeFileAtomic } from "../base/files.ts";
import { notice } from "../base/log.ts";
import { plural } from "../base/text.ts";
import { terminalColumns } from "../cli/output.ts";
import { defineCommand, pathValue, switchValue, textValue } from "../cli/command.ts";
import { NAME } from "./account.ts";
import { isCapture, openCaptured } from "./captured.ts";
import { describeAllowed, recordMachine } from "./capture.ts";
import { diagnose, SOCKET } from "./doctor.ts";
import { renderFixScript } from "./fix_script.ts";
import type { Machine } from "./machine.ts";
import { diagnosisDocument, renderDiagnosis } from "./render.ts";
import { openTree } from "./tree.ts";

export default defineCommand({
  name: "doctor",
  positionals: "",
  summary: "Say whether a board can run the service on its NPU, and what mends it",
  example: "doctor --model policy.rknn --user lite3",
  flags: {
    root: {
      value: "<dir>",
      help: "Look at a capture (tar or directory) or a tree of another machine",
      schema: v.optional(pathValue()),
    },
    model: {
      value: "<rknn>",
      help: "Hold this model against board, library and driver",
      schema: v.optional(pathValue()),
    },
    user: {
      value: "<name>",
      help: "Who runs the service, by name or number (default: who runs the doctor)",
      schema: v.optional(userName()),
    },
    librknnrt: {
      value: "<file>",
      help: `The NPU's library, instead of the system's (also ${LIBRARY_VARIABLE})`,
      schema: v.optional(pathValue()),
    },
    socket: {
      value: "<path>",
      help: `Where the service's socket will be (default: ${SOCKET})`,
      schema: v.optional(absolutePath(), SOCKET),
    },
    fix: {
      help: "Print a script that sets the board up, and run nothing",
      schema: switchValue(),
    },
    capture: {
      value: "<tar>",
      help: "Write what the doctor reads into a file for a bug report, without secrets",
      schema: v.optional(pathValue()),
    },
  },
  // A library of this machine's is none of another's.
  unused: (_, valueOf) => (valueOf("root") === undefined ? [] : ["librknnrt"]),
  async run(_, { root, model, user, librknnrt, socket, fix, capture }) {
    if (capture !== undefined) {
      if (root !== undefined) {
        throw new Lite3Error("USAGE", "--capture takes this machine, leave --root out");
      }
      checkOutput(capture, [model]);
      checkReplaces(capture, isCapture, "capture of the doctor's", "--capture");
    }
    const machine = await openMachine(root);
    const library = placeLibrary(librknnrt, machine);
    const named = [socket, `${socket}.lock`, ...(library === undefined ? [] : [library])];
    const recorder = recordMachine(machine, named);
    const diagnosis = await diagnose(recorder.machine, { user, model, library, socket });
    const script = renderFixScript(diagnosis);
    if (capture !== undefined) {
      writeFileAtomic(capture, await recorder.encode(diagnosis.user), "--capture");
      notice(
        `wrote ${capture}: ${plural(recorder.contents().length, "file")}, all of these kinds:`,
      );
      notice(describeAllowed());
      if (model !== undefined) {
        notice(`${model} is not in it: to see its rows again, name it with --root and --model`);
      }
    }
    const failed = diagnosis.rows.filter(({ state }) => state === "fails");
    const checks = failed.map(({ check }) => check).join(", ");
    return {
      json: {
        ...diagnosisDocument(diagnosis),
        ...(fix && { script }),
        ...(capture !== undefined && { capture, contents: recorder.contents() }),
      },
      text: fix ? script : renderDiagnosis(diagnosis, terminalColumns()),
      ...(failed.length > 0 && { failure: `the service could not run on the NPU: ${checks}` }),
    };
  },
});

function userName(): v.GenericSchema<unknown, string> {
  return v.pipe(
    textValue("a user's name"),
    v.regex(NAME, (issue) => `needs a user's name, got ${quote(issue.input)}`),
  );
}

function absolutePath(): v.GenericSchema<unknown, string> {
  return v.pipe(
    pathValue(),
    v.check(isAbsolute, (issue) => `needs an absolute path, got ${quote(issue.input)}`),
  );
}

/** Where the library is on the machine that is looked at. */
function placeLibrary(path: string | undefined, { isLive }: Machine): string | undefined {
  if (path === undefined || isAbsolute(path)) return path;
  if (isLive) return resolve(path);
  throw new Lite3Error(
    "USAGE",
    `--librknnrt needs an absolute path of the machine that --root shows, got ${quote(path)}`,
  );
}

async function openMachine(root: string | undefined): Promise<Machine> {
  if (root === undefined) return openTree("/");
  if (statSync(root, { throwIfNoEntry: false }) === undefined) {
    throw new Lite3Error(
      "NOT_FOUND",
      `Cannot look at ${quote(root)}: there is nothing of that name, need a capture or a directory`,
    );
  }
  return (await openCaptured(root)) ?? openTree(checkSystem(root));
}

/** What every Linux system's root directory has one of; a kernel runs on some only. */
const SYSTEM = ["etc", "proc", "sys"];

function checkSystem(root: string): string {
  if (SYSTEM.some((name) => existsSync(join(root, name)))) return root;
  throw new Lite3Error(
    "NOT_FOUND",
    `Cannot look at ${quote(root)}: it has none of ${SYSTEM.join(", ")}, ` +
      "need a capture, or a system's root directory",
  );
}
