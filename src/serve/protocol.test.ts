/**
 * The protocol suite on the program from source, and on the aarch64 binary under qemu; each on a
 * Unix socket and on TCP, and each watched over HTTP.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AARCH64_ENV, asAarch64 } from "../../scripts/dev/emulate.ts";
import { BINARIES } from "../../scripts/dev/project.ts";
import { describeOnAarch64, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS, TextStream } from "../cli/program_fixture.ts";
import { runProtocolSuite } from "./protocol_suite.ts";
import type { ServiceStatus } from "./http/status.ts";
import { type Address, Client, OBSERVATION_BYTES } from "./service_fixture.ts";

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
      const listen = ["--tcp", "127.0.0.1:0", "--http", `unix:${unix}.http`];
      const words = ["serve", ...flags, ...listen, "--quiet", "--no-config-file"];
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

    test("shows itself over HTTP, with what the engine's page says", async () => {
      const get = (path: string): Promise<Response> =>
        fetch(`http://localhost${path}`, { unix: `${unix}.http` });
      const client = await Client.connect({ unix });
      client.send(new Uint8Array(OBSERVATION_BYTES));
      const [action] = await client.take(1);
      client.close();
      const values = Array.from(new Float32Array(action!.slice().buffer), (x) =>
        Number(x.toPrecision(6)),
      );
      // The page is filled when the engine rests.
      let status = (await (await get("/status.json")).json()) as ServiceStatus;
      while (!Bun.deepEquals(status.action, values)) {
        status = (await (await get("/status.json")).json()) as ServiceStatus;
      }
      expect(status.totals.answered).toBeGreaterThan(0);
      expect(status.service.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
      expect(status).toMatchObject({ ready: true, model: { sha256, backend: "mlp" } });
      const metrics = await (await get("/metrics")).text();
      expect(metrics).toContain("\nlite3rl_ready 1\n");
      expect(metrics).toContain(`\nlite3rl_answers_total ${status.totals.answered}\n`);
      const pages = await Promise.all(["/", "/healthz", "/readyz", "/none"].map(get));
      expect(pages.map((page) => page.status)).toEqual([200, 200, 200, 404]);
      expect(await pages[0]!.text()).toContain("</html>");
    });
  });
}
