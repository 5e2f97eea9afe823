/**
 * `lite3rl engine`: not for people. The process that `serve` starts to hold one model and its
 * connections, with commands on file descriptor 3 and a page of shared memory as 4.
 */

import { fstatSync } from "node:fs";
import { MessageSocket } from "../../ffi/message_socket.ts";
import { endWithParent, ignoreSignals, moveStdout } from "../../ffi/process.ts";
import { Lite3Error } from "../base/errors.ts";
import { redirectLog } from "../base/log.ts";
import { defineCommand } from "../cli/command.ts";
import { CONTROL_FD, describeFailure, ENGINE_VERB, PAGE_FD } from "../service/control.ts";
import { openPage } from "../service/page.ts";
import { ExhaustedError, runEngine } from "./engine.ts";
import { createEvents } from "./events.ts";

export default defineCommand({
  name: ENGINE_VERB,
  positionals: "",
  summary: "Hold a model and its connections for the service",
  example: ENGINE_VERB,
  flags: {},
  async run() {
    if (!hasSupervisor()) {
      throw new Lite3Error(
        "USAGE",
        `Cannot run ${ENGINE_VERB} by itself: it has nobody to serve for, use serve`,
      );
    }
    endWithParent();
    // Stopping is the supervisor's to decide: it drains where the terminal's Ctrl-C or systemd's
    // SIGTERM, which reach both, would cut off. A recording at its limit is an error like others.
    ignoreSignals(["SIGINT", "SIGTERM", "SIGHUP", "SIGXFSZ"]);
    const events = createEvents(moveStdout());
    redirectLog((line) => {
      const text = Bun.stripANSI(line);
      const isWarning = text.startsWith("warning: ");
      const message = isWarning ? text.slice("warning: ".length) : text;
      events.say({ event: isWarning ? "warn" : "info", name: "model", message });
    });
    using control = new MessageSocket(CONTROL_FD);
    using page = openPage(PAGE_FD);
    try {
      await runEngine(control, page, events);
    } catch (error) {
      if (!(error instanceof Lite3Error)) throw error;
      events.flush();
      const cause = error instanceof ExhaustedError ? error.failing : undefined;
      events.say({ ...describeFailure(error), cause });
      // Said already, and the supervisor has the last word with the user.
      redirectLog(() => {});
      throw error;
    }
    return undefined;
  },
});

function hasSupervisor(): boolean {
  try {
    return fstatSync(CONTROL_FD).isSocket() && fstatSync(PAGE_FD).isFile();
  } catch {
    return false;
  }
}
