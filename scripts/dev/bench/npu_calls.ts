/** What a call of the NPU library costs through FFI. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { emptyDouble } from "../../../src/runtime/rknn_double_fixture.ts";
import { buildStub } from "../build_double.ts";
import { ROOT, run } from "../project.ts";
import { TOOLS } from "../tools.ts";
import { line, RUNS } from "./measure.ts";

/** The NPU library's calls through FFI against those of C, on a network that computes nothing. */
export function npuCalls(directory: string): void {
  const name = "NPU calls through FFI, set + run + get above C's, p50";
  const cc = TOOLS.cc();
  if ("missing" in cc) {
    line({ name, skipped: cc.missing });
    return;
  }
  const compiler = { arch: "native", cc: cc.path } as const;
  const [library, loop] = (["librknnrt_double.so", "call_loop"] as const).map((product) =>
    buildStub(product, compiler),
  ) as [string, string];
  const model = join(directory, "empty.rknn");
  writeFileSync(model, emptyDouble(1));
  const medianNs = (command: readonly string[]): number => {
    const env = { LITE3RL_DOUBLE: "1" };
    const { status, stdout, stderr } = run([...command, library, model, "100000"], { env });
    if (status !== 0) throw new Error(stderr);
    return Number(stdout);
  };
  const script = join(ROOT, "scripts", "dev", "call_loop.ts");
  const pairs = Array.from({ length: RUNS }, () => ({
    ours: medianNs([process.execPath, script]),
    c: medianNs([loop]),
  }));
  const above = pairs.map(({ ours, c }) => ours - c).sort((a, b) => a - b);
  line({ name, unit: "ns", median: above[RUNS >> 1], runs: RUNS, c: pairs[0]?.c, budget: 1000 });
}
