/**
 * The protocol suite on the program from source, and on the aarch64 binary under qemu; each on a
 * Unix socket and on TCP.
 */

import { afterAll, beforeAll, describe, setDefaultTimeout } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AARCH64_ENV, asAarch64 } from "../../scripts/dev/emulate.ts";
import { BINARIES } from "../../scripts/dev/project.ts";
import { describeOnAarch64, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, TextStream } from "../cli/program_fixture.ts";
import { runProtocolSuite } from "./protocol_suite.ts";
import type { Address } from "./service_fixture.ts";

const LIMIT_MS = 300_000;
setDefaultTimeout(LIMIT_MS);

const directory = temporaryDirectory();
const MAIN = join(import.meta.dir, "..", "main.ts");

const MACHINES = {
  "from source": { of: describe, command: () => [process.execPath, MAIN], env: {} },
  "on aarch64": {
    of: describeOnAarch64(),
    command: () => asAarch64(findTool("qemu") ?? "", [BINARIES.arm64]),
    env: AARCH64_ENV,
  },
} as const;

for (const [name, { of, command, env }] of Object.entries(MACHINES)) {
  of(`serve ${name}`, () => {
    const unix = join(directory, `${name.length}`);
    let port = 0;
    let sha256 = "";
    let stop = async (): Promise<void> => {};

    beforeAll(async () => {
      const model = await exportDemoPolicy(directory, `${name.length}.onnx`);
      sha256 = createHash("sha256").update(readFileSync(model)).digest("hex");
      const flags = ["--model", model, "--obs-stats", OBS_STATS, "--socket", unix];
      const words = ["serve", ...flags, "--tcp", "127.0.0.1:0", "--quiet", "--no-config-file"];
      const child = Bun.spawn([...command(), ...words], {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "inherit"],
        timeout: LIMIT_MS,
        killSignal: "SIGKILL",
      });
      const ready = await new TextStream(child.stdout).until(/^READY.*tcp:127\.0\.0\.1:(\d+).*\n/);
      port = Number(ready[1]);
      stop = async () => {
        child.kill("SIGTERM");
        await child.exited;
      };
    });
    afterAll(() => stop());

    const tcp = (): Address => ({ hostname: "127.0.0.1", port });
    runProtocolSuite("on a Unix socket", () => ({ address: { unix }, kind: "unix", sha256 }));
    runProtocolSuite("on TCP", () => ({ address: tcp(), kind: "tcp", sha256 }));
  });
}
