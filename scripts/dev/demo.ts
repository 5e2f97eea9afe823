/** `bun run demo`: the main job, from source, in the project's directory. */

import { join } from "node:path";
import { ROOT, show } from "./project.ts";

export default (args: readonly string[]): Promise<number> =>
  show([process.execPath, join(ROOT, "src", "main.ts"), "demo", ...args]);
