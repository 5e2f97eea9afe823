import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { compileKernel, KERNEL_WASM } from "./kernel.ts";

test("kernel.wasm is what kernel.as compiles to: bun scripts/dev.ts kernel", async () => {
  const kept = new Uint8Array(readFileSync(KERNEL_WASM));
  expect(Buffer.compare(await compileKernel(), kept)).toBe(0);
});
