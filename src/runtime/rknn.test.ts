/**
 * What the rknn backend refuses, and recurrent policies; over the double, in a process of its own
 * as everywhere. Numbers and faults are in isolated.test.ts.
 */

import { expect, test } from "bun:test";
import { describeWith } from "../../scripts/dev/test_tools.ts";
import { present } from "../base/assert.ts";
import { createRandom } from "../base/random.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { createNetworkState, evaluate } from "../policy/network.ts";
import { TINY_NETWORK } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { openIsolated } from "./isolated.ts";
import { doubleOf, doubleOptions } from "./rknn_double_fixture.ts";

const ROWS = 50;

/** The file with `from` in its JSON become `to`, of the same length. */
function edit(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const edited = Buffer.from(bytes);
  const at = edited.lastIndexOf(from);
  expect([to.length, at > 0]).toEqual([from.length, true]);
  edited.write(to, at);
  return edited;
}

describeWith("cc")("openRknn()", () => {
  const refusal = (bytes: Uint8Array, more: Parameters<typeof doubleOptions>[1] = {}) =>
    refusalOf(() => openIsolated(bytes, doubleOptions({}, more)));
  const tiny = doubleOf(TINY_NETWORK);

  test("refuses a file of another SoC, before the library sees it", async () => {
    expect(await refusal(edit(tiny, '"rk3588"', '"rk3566"'))).toEqual({
      code: "UNSUPPORTED",
      message:
        "it was converted for rk3566, but this is rk3588, need one converted with --target rk3588",
    });
  });

  test("refuses a file without its JSON, at which the library would abort", async () => {
    const { code, message } = await refusal(tiny.slice(0, -1));
    expect(code).toBe("MALFORMED");
    expect(message).toMatch(/^the JSON at offset \d+ claims \d+ bytes, but \d+ are left$/);
  });

  test("refuses a file whose tensors the library sees otherwise", async () => {
    expect(await refusal(edit(tiny, '"url":"action"', '"url":"acting"'))).toEqual({
      code: "MALFORMED",
      message: 'the library sees the outputs "action" [1, 1], but the file names "acting" [1, 1]',
    });
  });

  test("refuses what is no policy", async () => {
    const lstm = doubleOf(seededNetwork("lstm", 1));
    const renamed = Buffer.from(lstm);
    // In the payload and in the JSON: the state that comes out has no partner any more.
    for (let at = renamed.indexOf("c_out"); at > 0; at = renamed.indexOf("c_out")) {
      renamed.write("c_new", at);
    }
    expect(await refusal(withChecksum(renamed))).toEqual({
      code: "UNSUPPORTED",
      message:
        'it takes "obs" [1, 3], "h_in" [1, 1, 5], "c_in" [1, 1, 5] and gives "action" [1, 2], ' +
        '"h_out" [1, 1, 5], "c_new" [1, 1, 5], need a policy: one float observation [1, N] in, ' +
        "one float action [1, A] out",
    });
  });

  test("refuses memory of the NPU's own for a recurrent policy", async () => {
    expect(await refusal(doubleOf(seededNetwork("lstm", 1)), { io: "zero-copy" })).toEqual({
      code: "UNSUPPORTED",
      message: "it is recurrent, which needs --io float",
    });
  });

  test("keeps a recurrent policy's state per client, through a crash too", async () => {
    const network = seededNetwork("lstm", 1);
    const random = createRandom(7);
    const observations = Array.from({ length: ROWS }, () =>
      Float32Array.from({ length: 3 }, () => random.between(-1, 1)),
    );
    using backend = await openIsolated(doubleOf(network), doubleOptions({ CRASH_AT: 60 }));
    const clients = [0, 1].map(() => ({
      npu: backend.createState(),
      reference: createNetworkState(network),
    }));
    let [worst, crashes] = [0, 0];
    for (const [row, observation] of observations.entries()) {
      for (const [index, { npu, reference }] of clients.entries()) {
        // The second client sees another order.
        const input = index === 0 ? observation : present(observations[ROWS - 1 - row]);
        const action = new Float32Array(2);
        const before = npu.tensors.map((tensor) => tensor.slice());
        try {
          await backend.infer(input, action, npu, 1);
        } catch {
          crashes++;
          expect(npu.tensors).toEqual(before);
          await backend.infer(input, action, npu, 1);
        }
        const wanted = evaluate(network, input, reference);
        for (const [i, value] of wanted.entries()) {
          worst = Math.max(worst, Math.abs(value - present(action[i])));
        }
      }
    }
    expect([crashes, backend.arithmetic]).toEqual([1, "double"]);
    expect(worst).toBeLessThan(5e-3);
  });
});

/** The payload's checksum set right, as `rknn_double.ts` computes it. */
function withChecksum(bytes: Buffer): Buffer {
  const [start, end] = [84, 64 + Number(bytes.readBigUInt64LE(16))];
  let hash = 2_166_136_261;
  for (const byte of bytes.subarray(start, end)) hash = Math.imul(hash ^ byte, 16_777_619) >>> 0;
  bytes.writeUInt32LE(hash, 80);
  return bytes;
}
