import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { run, runJson } from "../cli/program_fixture.ts";
import { DIGEST, type FramedScript, HELLO, startFramed } from "../wire/framed_service_fixture.ts";
import { STATUS } from "../wire/protocol.ts";
import { startScripted } from "../wire/scripted_service_fixture.ts";
import { compareSides } from "./compare_sides.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let services = new DisposableStack();
let count = 0;
afterEach(() => {
  services.dispose();
  services = new DisposableStack();
});

async function start(script: FramedScript = {}): Promise<string> {
  const path = join(directory, `s${count++}`);
  services.use(await startFramed(path, script));
  return `unix:${path}`;
}

/** One that speaks raw bytes only, of the same sizes. */
async function startRaw(): Promise<string> {
  const path = join(directory, `s${count++}`);
  services.use(await startScripted(path, { requestBytes: 16, answerBytes: 8 }));
  return `unix:${path}`;
}

const npu: FramedScript = {
  hello: { ...HELLO, about: { ...HELLO.about, backend: "rknn", evidence: "npu" } },
};

describe("parity of two services", () => {
  test("takes sizes and evidence from what they say, and says that it is their word", async () => {
    const [a, b] = [await start(), await start(npu)];
    const { status, json } = await runJson(["parity", a, b, "--samples", "200"]);
    expect({ status, json }).toMatchObject({
      status: 0,
      json: {
        pass: true,
        mae: 0,
        samples: 200,
        sides: { a, b },
        evidence: { a: "cpu", b: "npu" },
        services: { a: HELLO.about, b: npu.hello?.about },
      },
    });
    const { stdout } = await run(["parity", a, b, "--samples", "3"]);
    const ours = `scripted 1, mlp on policy.onnx ${DIGEST.slice(0, 12)}…`;
    expect(stdout.split("\n").slice(0, 2)).toEqual([
      `a  ${a} (by its own word computed on the CPU in float32: ${ours})`,
      `b  ${b} (by its own word measured on the NPU: ${ours.replace("mlp", "rknn")})`,
    ]);
  });

  const compare = (a: string, b: string) =>
    refusalOf(() => compareSides({ a, b, samples: 200, seed: 0, timeoutMs: 10_000 }));

  test("gives a service that says no sizes those of the other, whichever comes first", async () => {
    const [framed, raw] = [await start(), await startRaw()];
    for (const [a, b] of [
      [framed, raw],
      [raw, framed],
    ] as const) {
      const { sides } = await compareSides({ a, b, samples: 3, seed: 0, timeoutMs: 10_000 });
      expect(sides.map(({ label, actionSize }) => [label, actionSize])).toEqual([
        [a, 2],
        [b, 2],
      ]);
    }
  });

  test("refuses other sizes, one service twice, and two that say no sizes", async () => {
    const [one, other] = [await start(), await start({ hello: { ...HELLO, actionSize: 3 } })];
    const [raw, raw2] = [await startRaw(), await startRaw()];
    expect([await compare(other, one), await compare(one, one), await compare(raw, raw2)]).toEqual([
      {
        code: "WIRE",
        message:
          `Cannot use the service at ${other}: it takes 4 numbers and gives 3, ` +
          "need one that takes 4 numbers and gives 2",
      },
      {
        code: "USAGE",
        message: `Cannot compare ${one} with itself: that could not fail, name another side`,
      },
      {
        code: "WIRE",
        message:
          `Cannot use the service at ${raw}: it does not speak the framed protocol, ` +
          "and raw bytes do not say its sizes: name a model file for them; or it turned this " +
          "client away (--max-clients, --allow-uid), which its log says",
      },
    ]);
  });

  test("has no figure where another model or the fallback answered in between", async () => {
    const cases = [{ status: STATUS.fallback }, { generation: 2 }];
    const words = ["its fallback answered", "it loaded another"];
    for (const [i, answer] of cases.entries()) {
      const [one, other] = [await start(), await start({ answers: { 3: answer } })];
      expect(await compare(one, other)).toEqual({
        code: "CHECK_FAILED",
        message: `Cannot go on with the model of the service at ${other}: ${words[i]}, start again`,
      });
    }
  });
});
