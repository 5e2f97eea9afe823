/**
 * Compiles what of the project is C: the test double of librknnrt and the programs beside it, for
 * this machine by its own compiler and for aarch64 by zig. Kept under the user's cache by the
 * digest of the sources.
 */

import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { CACHE, ROOT, run } from "./project.ts";
import { TOOLS } from "./tools.ts";

const SOURCES = join(ROOT, "ffi", "stub");

/** No contraction to fused multiply-add: every machine shall give the same numbers. */
const FLAGS = ["-std=gnu11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"];
const SHARED = ["-shared", "-fPIC", "-fvisibility=hidden"];

/** What is built, and how. */
const PRODUCTS = {
  /** The double. */
  "librknnrt_double.so": { source: "double.c", flags: SHARED },
  /** The double without what only later versions have. */
  "librknnrt_old.so": { source: "double.c", flags: [...SHARED, "-DWITHOUT_OPTIONAL"] },
  layout_probe: { source: "layout_probe.c", flags: [] },
  call_loop: { source: "call_loop.c", flags: [] },
} as const;

export type Product = keyof typeof PRODUCTS;

/** The compiler's command: the machine's `cc`, or zig (a Python with ziglang) for aarch64. */
export type Compiler =
  | { readonly arch: "native"; readonly cc: string }
  | { readonly arch: "arm64"; readonly python: string };

/** Path of the double for this machine. Throws where there is no compiler. */
export function buildNativeDouble(): string {
  const cc = TOOLS.cc();
  if ("missing" in cc) throw new Error(`The test double cannot be built: ${cc.missing}`);
  return buildStub("librknnrt_double.so", { arch: "native", cc: cc.path });
}

/** Path of the product, built if it is not there yet. */
export function buildStub(product: Product, compiler: Compiler): string {
  const { source, flags } = PRODUCTS[product];
  const command =
    compiler.arch === "native"
      ? [compiler.cc]
      : [compiler.python, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu.2.17"];
  const hash = createHash("sha256").update(JSON.stringify([command, FLAGS, flags]));
  for (const name of readdirSync(SOURCES).sort()) hash.update(readFileSync(join(SOURCES, name)));
  const directory = join(CACHE, `stub-${hash.digest("hex").slice(0, 16)}`);
  const path = join(directory, product);
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true });
  const part = `${path}.${process.pid}.part`;
  const built = run([
    ...command,
    ...FLAGS,
    ...flags,
    "-o",
    part,
    join(SOURCES, source),
    "-lm",
    "-ldl",
  ]);
  if (built.status !== 0) throw new Error(`${source} was not compiled:\n${built.stderr}`);
  chmodSync(part, 0o755);
  renameSync(part, path);
  return path;
}
