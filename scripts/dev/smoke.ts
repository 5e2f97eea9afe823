/** `bun run smoke`: the demo in the built binaries; see `smoke.test.ts`. */

import build from "./build.ts";
import { ROOT, show } from "./project.ts";
import { TOOLS, toolVariable } from "./tools.ts";

export default async function smoke(): Promise<number> {
  const built = await build([]);
  if (built !== 0) return built;
  const qemu = TOOLS.qemu();
  if ("path" in qemu) process.env[toolVariable("qemu")] = qemu.path;
  else console.error(`aarch64 is skipped: ${qemu.missing}`);
  return show([process.execPath, "test", "--timeout=600000", "scripts/dev/smoke.test.ts"], ROOT);
}
