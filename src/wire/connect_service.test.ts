import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { RawClient } from "./client.ts";
import { connectService } from "./connect_service.ts";
import { FramedClient } from "./framed_client.ts";
import { HELLO, startFramed } from "./framed_service_fixture.ts";
import { STATUS } from "./protocol.ts";
import { startScripted } from "./scripted_service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const SIZES = { observationSize: 4, actionSize: 2, timeoutMs: 10_000 } as const;
let services = new DisposableStack();
let count = 0;
afterEach(() => {
  services.dispose();
  services = new DisposableStack();
});

async function start(run: (path: string) => Promise<Disposable>) {
  const path = join(directory, `c${count++}`);
  services.use(await run(path));
  return { kind: "unix", path } as const;
}

/** 16 bytes in, 8 out: a hello of 32 is two observations to it. */
const startRaw = (path: string): Promise<Disposable> =>
  startScripted(path, { requestBytes: 16, answerBytes: 8 });

/** The blueprint's kind: whole observations, one client at a time; a NaN ends the connection. */
async function startPython(path: string, atNan: "closes" | "answers NaN"): Promise<Disposable> {
  const script = `import socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8)
print("listening", flush=True)
while True:
    c, _ = s.accept()
    try:
        while True:
            data = b""
            while len(data) < 180:
                part = c.recv(180 - len(data))
                if not part: raise EOFError
                data += part
            first = struct.unpack_from("<f", data)[0]
            if first != first and sys.argv[2] == "closes": raise EOFError
            c.sendall(struct.pack("<12f", *[first + i for i in range(12)]))
    except (EOFError, OSError): c.close()
`;
  const child = Bun.spawn(["python3", "-c", script, path, atNan], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await child.stdout[Symbol.asyncIterator]().next();
  return { [Symbol.dispose]: () => child.kill("SIGKILL") };
}

describe("connectService()", () => {
  test("speaks framed to a service that does, and does not need its sizes", async () => {
    const address = await start(startFramed);
    for (const needs of [SIZES, { timeoutMs: 10_000 }]) {
      using client = connectService(address, needs);
      expect(client).toBeInstanceOf(FramedClient);
    }
  });

  test("refuses a framed service of other sizes", async () => {
    const address = await start(startFramed);
    const at = `Cannot use the service at unix:${address.path}: it takes 4 numbers and gives 2`;
    const needed = (sizes: object) =>
      refusalOf(() => connectService(address, { timeoutMs: 10_000, ...sizes }));
    expect([
      await needed({ observationSize: 5, actionSize: 2 }),
      await needed({ actionSize: 3 }),
    ]).toEqual([
      { code: "WIRE", message: `${at}, need one that takes 5 numbers and gives 2` },
      { code: "WIRE", message: `${at}, need one that takes any numbers and gives 3` },
    ]);
  });

  test("does not take a framed service's refusal for a raw service", async () => {
    const answers = { 0: { status: STATUS.busy, text: "loading" } };
    const address = await start((path) => startFramed(path, { hello: HELLO, answers }));
    expect(await refusalOf(() => connectService(address, SIZES))).toEqual({
      code: "BUSY",
      message: `The service at unix:${address.path} refused a hello: busy, "loading"`,
    });
  });

  test("speaks raw to a service that answers a hello as observations", async () => {
    using client = connectService(await start(startRaw), SIZES);
    expect(client).toBeInstanceOf(RawClient);
  });

  test("speaks raw to a service that waits for the rest of an observation", async () => {
    for (const atNan of ["closes", "answers NaN"] as const) {
      const address = await start((path) => startPython(path, atNan));
      const needs = { observationSize: 45, actionSize: 12, timeoutMs: 10_000 };
      using client = connectService(address, needs);
      const action = new Float32Array(12);
      if (client instanceof RawClient) client.infer(new Float32Array(45).fill(3), action);
      expect([...action]).toEqual(Array.from({ length: 12 }, (_, i) => 3 + i));
    }
  });

  test("needs the sizes of a service that speaks raw bytes only", async () => {
    const address = await start(startRaw);
    const at = `the service at unix:${address.path}`;
    expect(await refusalOf(() => connectService(address, { timeoutMs: 10_000 }))).toEqual({
      code: "WIRE",
      message:
        `Cannot use ${at}: it does not speak the framed protocol, and raw bytes do not say ` +
        "its sizes: name a model file for them; or it turned this client away (--max-clients, " +
        "--allow-uid), which its log says",
    });
  });

  test("needs a service", async () => {
    const path = join(directory, "nobody");
    expect(await refusalOf(() => connectService({ kind: "unix", path }, SIZES))).toEqual({
      code: "WIRE",
      message: `Cannot connect to "${path}": there is no such socket, start lite3rl serve there`,
    });
  });
});
