/**
 * `bun run bench`: speeds and sizes of the built binary, one JSON line each, with the budget where
 * there is one. Figures of a busy machine are shapes, not promises: each line has the best and the
 * median of its runs, and ratios are taken in the same run. `bun run bench service` takes one part.
 */

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEMO_POLICY } from "../../src/policy/policy_fixture.ts";
import { againstTorch, startUp } from "./bench/checkpoints.ts";
import { conversion } from "./bench/conversion.ts";
import { kernel } from "./bench/kernel.ts";
import { line, time } from "./bench/measure.ts";
import { npuCalls } from "./bench/npu_calls.ts";
import { service } from "./bench/service.ts";
import build from "./build.ts";
import { BINARIES, NATIVE_BINARY, run } from "./project.ts";

/** Each takes the directory of the run, where those before it left their files. */
const PARTS: Readonly<Record<string, (directory: string) => void | Promise<void>>> = {
  sizes,
  export: startUp,
  torch: againstTorch,
  npu: npuCalls,
  kernel,
  service,
  conversion,
  demo: (directory) =>
    time("demo, whole process", 1, 30_000, [NATIVE_BINARY, "demo", "--quiet"], directory),
};

export default async function bench(args: readonly string[]): Promise<number> {
  const unknown = args.find((part) => !Object.hasOwn(PARTS, part));
  if (unknown !== undefined) {
    console.error(`no part "${unknown}", there are ${Object.keys(PARTS).join(", ")}`);
    return 2;
  }
  const built = await build([]);
  if (built !== 0) return built;
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-bench-"));
  try {
    exportDemo(directory);
    for (const [name, part] of Object.entries(PARTS)) {
      if (args.length === 0 || args.includes(name)) await part(directory);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return 0;
}

function sizes(): void {
  for (const [arch, path] of Object.entries(BINARIES)) {
    line({ name: `binary, ${arch}`, unit: "MB", value: statSync(path).size / 1e6, budget: 140 });
  }
}

/** The policy that later parts run: `p.onnx`. */
function exportDemo(directory: string): void {
  const { checkpoint, config } = DEMO_POLICY;
  const words = ["export", checkpoint, "--config", config, "--output", "p.onnx"];
  const { status, stderr } = run([NATIVE_BINARY, ...words], { cwd: directory });
  if (status !== 0) throw new Error(stderr);
}
