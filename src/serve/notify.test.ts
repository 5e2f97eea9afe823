/**
 * The service as systemd sees it: its messages at a datagram socket, by a path and by an abstract
 * name.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { bindDatagram } from "../../ffi/datagram.ts";
import { closeSocket, receive, waitReadable } from "../../ffi/socket.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import { killServices, startService, untilEngines } from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
});
afterAll(killServices);

/** systemd's end. */
class Listener implements Disposable {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(4096);

  constructor(name: string) {
    this.#fd = bindDatagram(name);
  }

  /** The next message that `fits`, without the times in it. */
  async next(fits: RegExp): Promise<string> {
    const deadline = performance.now() + 20_000;
    while (performance.now() < deadline) {
      // Not for longer: the program's output is read meanwhile.
      if (!waitReadable(this.#fd, 1)) await Bun.sleep(1);
      const count = receive(this.#fd, this.#buffer);
      const text = new TextDecoder().decode(this.#buffer.subarray(0, Math.max(0, count)));
      if (fits.test(text)) return text.replaceAll(/\d+/g, "#");
    }
    throw new Error(`no ${fits} came`);
  }

  [Symbol.dispose](): void {
    closeSocket(this.#fd);
  }
}

for (const [kind, name] of [
  ["a path", join(directory, "notify")],
  ["an abstract name", `@lite3rl-notify-${process.pid}`],
] as const) {
  test(`serve tells systemd at ${kind} what it does, and that it lives`, async () => {
    using systemd = new Listener(name);
    const unix = join(directory, `${kind.length}.sock`);
    const own = join(directory, `${kind.length}.onnx`);
    cpSync(model, own);
    const service = await startService(
      ["--model", own, "--obs-stats", OBS_STATS, "--socket", unix],
      { env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: "2000000" } },
    );
    expect(await systemd.next(/READY/)).toStartWith("READY=#\nSTATUS=READY unix:");
    expect(await systemd.next(/WATCHDOG/)).toBe("WATCHDOG=#");
    service.program.kill("SIGUSR1");
    expect(await systemd.next(/RELOADING/)).toBe("RELOADING=#\nMONOTONIC_USEC=#");
    expect(await systemd.next(/READY/)).toStartWith("READY=#\nSTATUS=generation # of ");
    // The old engine has to be gone by then.
    const [engine] = await untilEngines(service.program.pid, 1);
    process.kill(engine!, "SIGKILL");
    expect(await systemd.next(/ended/)).toBe("STATUS=engine # was ended by SIGKILL");
    expect(await systemd.next(/answers/)).toBe("STATUS=engine # answers since # ms later");
    const stopped = service.stop();
    expect(await systemd.next(/STOPPING/)).toBe("STOPPING=#");
    expect((await stopped).status).toBe(0);
  });
}

test("serve goes on without systemd's socket, and says so", async () => {
  const unix = join(directory, "without.sock");
  const service = await startService(
    ["--model", model, "--obs-stats", OBS_STATS, "--socket", unix],
    { env: { NOTIFY_SOCKET: join(directory, "nobody") } },
  );
  const { status, stderr } = await service.stop();
  expect([status, stderr.includes("NOTIFY_SOCKET=")]).toEqual([0, true]);
});
