/**
 * `bun scripts/dev.ts kernel`: compiles the AssemblyScript of `src/runtime/mlp_kernel/` into the
 * `kernel.wasm` beside it. The result is kept in the repository, so that the program runs from
 * source without a compiler; a test compiles it again and compares the bytes.
 */

import { main as compile } from "assemblyscript/asc";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./project.ts";

const DIRECTORY = join(ROOT, "src", "runtime", "mlp_kernel");
export const KERNEL_WASM = join(DIRECTORY, "kernel.wasm");

/** No runtime, no checks, and the memory given from outside; the compiler wants its own suffix. */
const OPTIONS = "kernel.ts --enable simd --runtime stub -O3 --noAssert --importMemory".split(" ");

export async function compileKernel(): Promise<Uint8Array> {
  const source = readFileSync(join(DIRECTORY, "kernel.as"), "utf8");
  let wasm = new Uint8Array();
  const { error, stderr } = await compile([...OPTIONS, "--outFile", "kernel.wasm"], {
    readFile: (name) => (name === "kernel.ts" ? source : null),
    writeFile: (_name, contents) => void (wasm = new Uint8Array(contents as Uint8Array)),
    listFiles: () => [],
  });
  if (error !== null) throw new Error(stderr.toString());
  return wasm;
}

export default async function kernel(): Promise<number> {
  const wasm = await compileKernel();
  writeFileSync(KERNEL_WASM, wasm);
  console.error(`${KERNEL_WASM.slice(ROOT.length + 1)}: ${wasm.length} bytes`);
  return 0;
}
