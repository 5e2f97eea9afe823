/**
 * `bun run demo`: the main job, from source, in the project's directory. `--double` without a path
 * builds the test double of the NPU library first.
 */

import { join } from "node:path";
import { buildNativeDouble } from "./build_double.ts";
import { ROOT, show } from "./project.ts";

export default async function demo(args: readonly string[]): Promise<number> {
  const words = args.flatMap((word, i) => {
    const isBare = word === "--double" && (args[i + 1] ?? "--").startsWith("--");
    return isBare ? [word, buildNativeDouble()] : [word];
  });
  return show([process.execPath, join(ROOT, "src", "main.ts"), "demo", ...words]);
}
