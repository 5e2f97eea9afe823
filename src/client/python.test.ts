import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { testFramedClient } from "./client_suite.ts";
import { type Launch, placeDriver } from "./driver_fixture.ts";
import { type Answer, frame, listen } from "./framed_service_fixture.ts";
import { testHostileService } from "./hostile_service_suite.ts";
import { testRawClient } from "./raw_client_suite.ts";
import { createStage } from "./stage_fixture.ts";

setDefaultTimeout(120_000);

describeWith("python")("the Python client", () => {
  const directory = temporaryDirectory();
  let launch: Launch;
  beforeAll(async () => {
    launch = await placeDriver(findTool("python") ?? "", directory);
  });
  const stage = createStage({ directory, launch: () => launch });
  describe("with a framed service", () => testFramedClient(stage));
  describe("with a hostile service", () => testHostileService(stage));
  describe("with raw bytes", () => testRawClient(stage));

  /** Runs a program with `client`, of a service of three numbers in and two out; its words. */
  const runWith = async (program: string, answer?: Answer): Promise<string[]> => {
    using service = listen(join(directory, `p${Bun.nanoseconds()}`));
    if (answer !== undefined) service.answer = answer;
    const python = findTool("python") ?? "";
    const child = Bun.spawn(
      [python, "-W", "error::RuntimeWarning", "-c", HEAD + program, service.address],
      {
        cwd: directory,
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const stdout = await child.stdout.text();
    expect(await child.exited).toBe(0);
    return stdout.trim().split("\n");
  };

  test("takes lists, rows and numpy's arrays, and fills lists and arrays", async () => {
    const words = await runWith(`
a = array("f", [0, 0])
print(client.infer([1, 2, 3], a).name, a.tolist())
b = [0] * 4
print(client.infer([[1, 2, 3], [4, 5, 6]], b).name, b)
c = np.zeros((2, 2), np.float32)
print(client.infer(np.arange(6.0).reshape(2, 3), c).name, c.tolist())
print(client.infer(np.arange(12, dtype=np.float32)[::2], c).name, c.tolist())
print(client.infer(np.array([1e300, 0, 0], np.float64), a).name, a.tolist())
print(client.infer([1e300, 0, 0], a).name, client.observation_size, client.action_size)
`);
    expect(words).toEqual([
      "OK [1.0, 2.0]",
      "OK [1.0, 2.0, 4.0, 5.0]",
      "OK [[0.0, 1.0], [3.0, 4.0]]",
      "OK [[0.0, 1.0], [6.0, 7.0]]",
      "BAD_INPUT [1.0, 2.0]",
      "BAD_INPUT 3 2",
    ]);
  });

  test("raises ValueError for arguments of a wrong form only", async () => {
    const words = await runWith(`
for observation, action in [
    ([1, 2], [0, 0]),
    ([], []),
    ([1, 2, 3], [0]),
    ([1, 2, 3], np.zeros(2)),
    ([1, 2, 3], np.zeros(4, np.float32)[::2]),
    ([1, 2, 3], array("i", [0, 0])),
    ([1, 2, 3], bytes(8)),
]:
    try:
        print(client.infer(observation, action))
    except ValueError as error:
        print(error)
for address in ["/tmp/x", "unix:", "unix:" + "x" * 108, "tcp:host:1", "tcp:127.0.0.1:0", "tcp:1"]:
    try:
        print(lite3rl_client.Client(address))
    except ValueError:
        print("refused")
try:
    print(lite3rl_client.Client(sys.argv[1], raw=True))
except ValueError as error:
    print(error)
`);
    const room = "need a list, or an array of float32 that can be written, for the action";
    expect(words).toEqual([
      "2 numbers are no observations of 3",
      "0 numbers are no observations of 3",
      "need room for 1 x 2 actions",
      room,
      room,
      room,
      room,
      ...Array<string>(6).fill("refused"),
      "raw bytes carry no sizes: give observation_size and action_size",
    ]);
  });

  test("raises nothing for a hello that is none, whatever sizes and JSON it has", async () => {
    const hello = (observationSize: number, actionSize: number, json: string): Uint8Array => {
      const fixed = Uint32Array.of(observationSize, actionSize, 64, 0, ...Array<number>(8).fill(0));
      return Buffer.concat([new Uint8Array(fixed.buffer), Buffer.from(json)]);
    };
    for (const payload of [
      hello(0, 2, "{}"),
      hello(3, 0, "{}"),
      hello(3, 2 ** 32 - 1, "{}"),
      hello(3, 2, "["),
      hello(3, 2, "[".repeat(60_000)),
      hello(3, 2, "[]"),
    ]) {
      const words = await runWith(
        "print(client.infer([1, 2, 3], [0, 0]).name, client.reason)",
        (request, socket) => void socket.write(frame(request, payload)),
      );
      expect(words).toEqual(["INCOMPATIBLE the service's hello is not one"]);
    }
  });

  test("is Python 3.8", async () => {
    const words = await runWith(`
import ast
ast.parse(open("lite3rl_client.py").read(), feature_version=(3, 8))
print(client.infer([1, 2, 3], [0, 0]).name)
`);
    expect(words).toEqual(["OK"]);
  });
});

const HEAD = `
import sys
from array import array
import numpy as np
import lite3rl_client
client = lite3rl_client.Client(sys.argv[1])
`;
