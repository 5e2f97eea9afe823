/**
 * `lite3rl npu-process`: not for people. The process that `runtime/isolated.ts` starts to hold the
 * NPU library, with its requests on file descriptor 3.
 */

import { fstatSync } from "node:fs";
import { Lite3Error } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { CHILD_FD } from "../runtime/isolated_channel.ts";
import { runIsolatedChild } from "../runtime/isolated_child.ts";
import { CHILD_VERB } from "../runtime/isolated.ts";

export default defineCommand({
  name: CHILD_VERB,
  positionals: "",
  summary: "Hold the NPU library for another process of this program",
  example: CHILD_VERB,
  flags: {},
  async run() {
    if (!hasParent()) {
      throw new Lite3Error(
        "USAGE",
        `Cannot run ${CHILD_VERB} by itself: it has nobody to answer, use serve, agent or parity`,
      );
    }
    await runIsolatedChild();
    return undefined;
  },
});

function hasParent(): boolean {
  try {
    return fstatSync(CHILD_FD).isSocket();
  } catch {
    return false;
  }
}
