/** For a test: opens a double that hangs, prints its process's id, and waits in it. */

import { readFileSync, writeSync } from "node:fs";
import { openIsolated } from "./isolated.ts";

const [path = "", library = ""] = process.argv.slice(2);
using backend = await openIsolated(readFileSync(path), {
  library,
  core: "auto",
  io: "float",
  limitMs: 60_000,
  env: { LITE3RL_DOUBLE: "1", LITE3RL_DOUBLE_HANG_AT: "1" },
});
writeSync(1, String(backend.pid));
const { observationSize, actionSize } = backend;
const state = backend.createState();
await backend.infer(new Float32Array(observationSize), new Float32Array(actionSize), state, 1);
