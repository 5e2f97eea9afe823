import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { demoNetwork, modelOf } from "../policy/policy_fixture.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openRemote } from "./remote.ts";

/** Far beyond what a loaded machine needs: no test waits for it. */
const TIMEOUT_MS = 30_000;

const directory = temporaryDirectory();
const address = { kind: "unix", path: join(directory, "policy.sock") } as const;
const sizes = { observationSize: 45, actionSize: 12, timeoutMs: TIMEOUT_MS };

let stop = async (): Promise<void> => {};
beforeAll(async () => {
  const model = join(directory, "policy.onnx");
  writeFileSync(model, encodeOnnx(modelOf(await demoNetwork())));
  stop = await serve(["--model", model, "--socket", address.path]);
}, TIMEOUT_MS);
afterAll(() => stop());

runBackendSuite("remote", () => openRemote(address, sizes), { tolerance: 1e-5 });

describe("openRemote()", () => {
  test("names the service, and says that it does not know what computes there", () => {
    using backend = openRemote(address, sizes);
    const { name, arithmetic, subject, inputs, outputs } = backend;
    expect({ name, arithmetic, subject, inputs, outputs }).toEqual({
      name: "remote",
      arithmetic: "unstated",
      subject: "file",
      inputs: [{ name: `unix:${address.path}`, shape: [1, 45] }],
      outputs: [{ name: `unix:${address.path}`, shape: [1, 12] }],
    });
  });

  const refuseSizes = (observationSize: number, actionSize: number, timeoutMs: number) =>
    refusalOf(() => openRemote(address, { observationSize, actionSize, timeoutMs }));
  const refused = (found: string, need: string) =>
    ({
      code: "WIRE",
      message: `Cannot use the service at unix:${address.path}: ${found}, need one that ${need}`,
    }) as const;

  test("refuses a service that gives longer actions", async () => {
    expect(await refuseSizes(45, 11, TIMEOUT_MS)).toEqual(
      refused("it answers one observation with more bytes", "takes 45 numbers and gives 11"),
    );
  });

  test("refuses a service that waits for more numbers than it gets", async () => {
    const silent = `The service at unix:${address.path} did not answer within 50 ms`;
    expect(await refuseSizes(44, 12, 50)).toEqual(
      refused(
        `it did not answer one observation (${silent} (0 of 48 bytes))`,
        "takes 44 numbers and gives 12",
      ),
    );
  });

  test("gives an error, and no old action, once the service refused an observation", async () => {
    using backend = openRemote(address, sizes);
    const action = new Float32Array(12).fill(7);
    const state = backend.createState();
    const infer = (value: number) =>
      backend.infer(new Float32Array(45).fill(value), action, state, 1);
    expect([await refusalOf(() => infer(Number.NaN)), await refusalOf(() => infer(0))]).toEqual([
      {
        code: "WIRE",
        message: `The service at unix:${address.path} closed the connection instead of answering`,
      },
      { code: "WIRE", message: `The service at unix:${address.path} is not connected any more` },
    ]);
    expect([...action]).toEqual(Array.from({ length: 12 }, () => 7));
  });
});

/** `lite3rl serve` in a process of its own, ready; returns how to stop it. */
async function serve(flags: readonly string[]): Promise<() => Promise<void>> {
  const main = join(import.meta.dir, "../main.ts");
  const child = Bun.spawn([process.execPath, main, "serve", "--quiet", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toStartWith("READY ");
  return async () => {
    child.kill("SIGTERM");
    await child.exited;
  };
}
