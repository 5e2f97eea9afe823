/**
 * What a user's module gets from `import … from "lite3rl"`, in the binary as well, where nothing
 * is installed: the built-in environment, to be wrapped, and what it is made of.
 */

import { createRandom } from "../base/random.ts";
import { LITE3_CONTRACT } from "../policy/contract.ts";
import { createLite3 } from "./lite3.ts";

const exports = { createLite3, createRandom, LITE3_CONTRACT } as const;
let offered = false;

/** Makes `lite3rl` known to every module that is imported from now on. */
export function offerModuleApi(): void {
  if (offered) return;
  offered = true;
  void Bun.plugin({
    name: "lite3rl",
    setup: (build) => void build.module("lite3rl", () => ({ exports, loader: "object" })),
  });
}
