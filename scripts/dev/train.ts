/** `bun run train`: trains a demo policy from nothing, in a Python environment of its own. */

import { join } from "node:path";
import { ROOT, show } from "./project.ts";
import { makeVenv } from "./tools.ts";

export default async function train(args: readonly string[]): Promise<number> {
  const folder = join(ROOT, "scripts", "train");
  // --no-deps: the list is complete, and leaves out gigabytes that training does not touch.
  const python = makeVenv(join(folder, "requirements.txt"), ["--no-deps"]);
  if ("missing" in python) {
    console.error(`cannot train: ${python.missing}`);
    return 1;
  }
  return show([
    python.path,
    "-B",
    join(folder, "train.py"),
    ...args.filter((word) => word !== "--"),
  ]);
}
