/**
 * `lite3rl inspect`: the words. What it finds out is in `inspect.ts`.
 */

import { defineCommand } from "../cli/command.ts";
import { inspect, inspectionDocument } from "./inspect.ts";
import { renderInspection } from "./render.ts";

export default defineCommand({
  name: "inspect",
  positionals: "<file>",
  summary: "Say what a checkpoint, model or array file is, and what can be done with it",
  example: "inspect policy.pt",
  flags: {},
  async run([file = ""]) {
    const inspection = await inspect(file);
    return { json: inspectionDocument(inspection), text: renderInspection(inspection) };
  },
});
