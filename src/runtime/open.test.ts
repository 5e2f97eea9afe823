import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { encodeOnnx, makeNode, makeValueInfo } from "../formats/onnx.ts";
import { writeNpz } from "../formats/npz.ts";
import type { PolicyMetadata } from "../policy/metadata.ts";
import type { Network } from "../policy/network.ts";
import type { Normalizer } from "../policy/normalizer.ts";
import {
  DEMO_POLICY,
  demoNetwork,
  demoNormalizer,
  METADATA,
  modelOf,
  readGoldenActions,
  TINY_NETWORK,
} from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import {
  chooseNormalizer,
  type ModelFile,
  openModel,
  openPolicy,
  type PolicyOptions,
  readModel,
  type RunBackend,
} from "./open.ts";

const directory = temporaryDirectory();
const { obsStats } = DEMO_POLICY;
const { digest } = await demoNormalizer();

function modelFile(name: string, network: Network, metadata: Partial<PolicyMetadata>): string {
  const path = join(directory, name);
  writeFileSync(path, encodeOnnx(modelOf(network, { metadata })));
  return path;
}

/** A model file of which only the metadata is read. */
function fileWith(metadata: Partial<PolicyMetadata> | undefined): ModelFile {
  return {
    path: "policy.onnx",
    bytes: new Uint8Array(),
    model: { graph: {} },
    metadata: metadata === undefined ? undefined : { ...METADATA, ...metadata },
  };
}

test("openPolicy() says which flags are for the NPU alone", async () => {
  const path = modelFile("plain.onnx", TINY_NETWORK, { normalizer: "folded" });
  const open = async (options: PolicyOptions): Promise<void> =>
    (await openPolicy(path, undefined, options))[Symbol.dispose]();
  const given = { librknnrt: "/usr/lib/librknnrt.so", core: "1", io: "float" } as const;
  expect(await linesDuring(() => open(given))).toEqual([
    `warning: ${path}: without effect, for a .rknn on the NPU only: --librknnrt, --core 1, --io float`,
  ]);
  expect(await linesDuring(() => open({ core: "auto", io: "auto" }))).toEqual([]);
});

interface Chosen {
  readonly digest: string | undefined;
  readonly said: readonly string[];
}

async function choose(file: ModelFile, stats: string | undefined): Promise<Chosen> {
  let normalizer: Normalizer | undefined;
  const said = await linesDuring(async () => {
    normalizer = await chooseNormalizer(file, 45, stats);
  });
  return { digest: normalizer?.digest, said };
}

const external = { normalizer: "external", normalizerDigest: digest } as const;

describe("chooseNormalizer()", () => {
  test("without statistics takes none, and says so unless they are folded in", async () => {
    const notice =
      "warning: policy.onnx: no normalizer known and no --obs-stats, observations go in as they are";
    expect([
      await choose(fileWith({ normalizer: "folded" }), undefined),
      await choose(fileWith({ normalizer: "none" }), undefined),
      await choose(fileWith(undefined), undefined),
    ]).toEqual([
      { digest: undefined, said: [] },
      { digest: undefined, said: [notice] },
      { digest: undefined, said: [notice] },
    ]);
  });

  test("with statistics takes them unless they are folded in", async () => {
    expect([
      await choose(fileWith(external), obsStats),
      await choose(fileWith({ normalizer: "none" }), obsStats),
      await choose(fileWith(undefined), obsStats),
    ]).toEqual([
      { digest, said: [] },
      { digest, said: [] },
      { digest, said: ["policy.onnx: no lite3rl metadata, taking --obs-stats as said"] },
    ]);
  });

  test("refuses to normalise twice, and not at all where that is needed", async () => {
    expect([
      await refusalOf(() => chooseNormalizer(fileWith({ normalizer: "folded" }), 45, obsStats)),
      await refusalOf(() => chooseNormalizer(fileWith(external), 45, undefined)),
    ]).toEqual([
      {
        code: "CONFIG",
        message:
          `Cannot apply "${obsStats}" to "policy.onnx": its normalizer is folded in already, ` +
          "it would be applied twice; leave --obs-stats out",
      },
      {
        code: "CONFIG",
        message:
          'Cannot run "policy.onnx": it expects normalised observations, ' +
          "need --obs-stats obs_stats.npz",
      },
    ]);
  });

  test("refuses other statistics than those the model was exported for", async () => {
    const other = fileWith({ ...external, normalizerDigest: "0123456789abcdef" });
    expect(await refusalOf(() => chooseNormalizer(other, 45, obsStats))).toEqual({
      code: "CONFIG",
      message:
        `Cannot apply "${obsStats}" to "policy.onnx": it was exported for other statistics ` +
        `(0123456789ab…, these are ${digest.slice(0, 12)}…); name those, ` +
        "or export the checkpoint again",
    });
  });

  test("refuses statistics of another width, whatever the metadata says", async () => {
    const path = join(directory, "narrow.npz");
    const two = { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) } as const;
    writeFileSync(path, writeNpz({ mean: two, std: two }));
    for (const file of [fileWith(external), fileWith({}), fileWith(undefined)]) {
      expect(await refusalOf(() => chooseNormalizer(file, 45, path))).toEqual({
        code: "CONFIG",
        message:
          `Cannot use observation statistics "${path}": they have 2 values, ` +
          "the policy observes 45; name the file that belongs to it with --obs-stats",
      });
    }
  });
});

describe("openPolicy()", () => {
  test("gives the golden actions from raw observations, folded or external", async () => {
    const network = await demoNetwork();
    const { mean, divisor } = await demoNormalizer();
    const layers = [{ kind: "normalize", mean, divisor } as const, ...network.layers];
    const folded = { ...network, layers };
    const files: readonly [string, string | undefined][] = [
      [modelFile("folded.onnx", folded, { normalizer: "folded" }), undefined],
      [modelFile("external.onnx", network, external), obsStats],
    ];
    const { observations, actions } = await readGoldenActions();
    for (const [path, stats] of files) {
      using policy = await openPolicy(path, stats);
      const action = new Float32Array(12);
      let worst = 0;
      for (let row = 0; row < 32; row++) {
        const observation = observations.subarray(row * 45, (row + 1) * 45);
        await policy.act(observation, action, policy.backend.createState());
        const errors = action.map((x, i) => Math.abs(x - present(actions[row * 12 + i])));
        worst = Math.max(worst, ...errors);
      }
      expect(worst).toBeLessThanOrEqual(1e-5);
    }
  });

  test("takes the backend that is asked for; the reference where none is", async () => {
    const path = modelFile("plain.onnx", TINY_NETWORK, { normalizer: "folded" });
    const nameOf = async (backend?: RunBackend) => {
      using policy = await openPolicy(path, undefined, { backend });
      return policy.backend.name;
    };
    expect([
      await nameOf(),
      await nameOf("onnx"),
      await nameOf("mlp"),
      await nameOf("auto"),
    ]).toEqual(["onnx", "onnx", "mlp", "mlp"]);
  });

  test("takes ONNX Runtime for what the kernel cannot run, and says why", async () => {
    const path = modelFile("gru.onnx", seededNetwork("gru", 1), { normalizer: "folded" });
    let name = "";
    const said = await linesDuring(async () => {
      using policy = await openPolicy(path, undefined, { backend: "auto" });
      name = policy.backend.name;
    });
    const why = "it does not fit the mlp backend: it is recurrent; the onnx backend runs it";
    expect([
      name,
      said,
      await refusalOf(() => openPolicy(path, undefined, { backend: "mlp" })),
    ]).toEqual([
      "onnx",
      [`${path}: ${why}`],
      { code: "UNSUPPORTED", message: `Cannot run model "${path}": ${why}` },
    ]);
  });

  test("refuses a backend of another kind of file", async () => {
    const path = modelFile("kind.onnx", TINY_NETWORK, { normalizer: "folded" });
    const refusal = (file: string, backend: RunBackend) =>
      refusalOf(() => openPolicy(file, undefined, { backend }));
    expect([await refusal("policy.rknn", "mlp"), await refusal(path, "rknn")]).toEqual([
      {
        code: "USAGE",
        message:
          'Cannot run "policy.rknn" with --backend mlp: a .rknn runs on the NPU only, ' +
          "name the .onnx that it was converted from",
      },
      {
        code: "USAGE",
        message:
          `Cannot run "${path}" with --backend rknn: it is an ONNX model, need a .rknn: ` +
          "lite3rl convert makes one",
      },
    ]);
  });

  test("opens nothing for statistics that are refused", async () => {
    const path = modelFile("needs_stats.onnx", await demoNetwork(), external);
    expect(await refusalOf(() => openPolicy(path, undefined))).toEqual({
      code: "CONFIG",
      message:
        `Cannot run "${path}": it expects normalised observations, ` +
        "need --obs-stats obs_stats.npz",
    });
  });
});

describe("readModel()", () => {
  test("reads the model with its metadata", async () => {
    const path = modelFile("read.onnx", await demoNetwork(), external);
    const { model, bytes, metadata } = await readModel(path);
    expect([metadata, model.graph.node?.length, Buffer.compare(bytes, encodeOnnx(model))]).toEqual([
      { ...METADATA, ...external },
      7,
      0,
    ]);
  });

  test("refuses other kinds of files with what to do about them", async () => {
    const found = async (path: string) => {
      const { code, message } = await refusalOf(() => readModel(path));
      return [code, message];
    };
    const text = join(directory, "text.onnx");
    writeFileSync(text, "");
    const checkpoint = "it is a checkpoint, turn it into ONNX first: lite3rl export";
    expect([
      await found("policy.pt"),
      await found("POLICY.PTH"),
      await found("policy.rknn"),
      await found(text),
      await found(join(directory, "absent.onnx")),
    ]).toEqual([
      ["UNSUPPORTED", `Cannot run "policy.pt": ${checkpoint}`],
      ["UNSUPPORTED", `Cannot run "POLICY.PTH": ${checkpoint}`],
      [
        "UNSUPPORTED",
        'Cannot run "policy.rknn": here an ONNX model is needed, ' +
          "name the .onnx that it was converted from",
      ],
      ["MALFORMED", `Cannot read model "${text}": it is empty, need an ONNX model`],
      [
        "NOT_FOUND",
        `Cannot read "${join(directory, "absent.onnx")}": there is no such file, need a file`,
      ],
    ]);
  });
});

describe("readModel() of what is no ONNX", () => {
  const refusal = (name: string, content: string | Uint8Array) => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return refusalOf(() => readModel(path)).then(({ code, message }) => [
      code,
      message.replace(`Cannot read model "${path}": `, ""),
    ]);
  };

  test("says what it is, and of a broken one where it breaks", async () => {
    const whole = encodeOnnx(modelOf(await demoNetwork(), { metadata: METADATA }));
    expect([
      await refusal("page.onnx", "<!doctype html>\n<title>404</title>"),
      await refusal("noise.onnx", Uint8Array.of(0xff, 0xfe, 0, 7)),
      await refusal("cut.onnx", whole.subarray(0, 1000)),
    ]).toEqual([
      [
        "MALFORMED",
        expect.stringMatching(
          /^it is a text, "<!doctype html>\\n<title>404<\/title>"…, need an ONNX model \(protobuf /,
        ),
      ],
      ["MALFORMED", expect.stringMatching(/^it is another file, need an ONNX model \(protobuf /)],
      ["MALFORMED", expect.stringMatching(/^protobuf Model\.graph at byte \d+: it needs /)],
    ]);
  });
});

describe("openModel()", () => {
  test("names the file of a model that is no policy or that cannot run", async () => {
    const graph = {
      name: "policy",
      node: [makeNode("Walk", ["obs"], ["action"])],
      input: [makeValueInfo("obs", [1, 2])],
      output: [makeValueInfo("action", [1, 2])],
    };
    const model = { irVersion: 8, opsetImport: [{ domain: "", version: 18 }], graph };
    const noPolicy = { ...model, graph: { ...graph, output: [] } };
    const open = (it: typeof model) =>
      refusalOf(() => openModel({ ...fileWith({}), bytes: encodeOnnx(it), model: it }, "onnx"));
    expect([await open(noPolicy), await open(model)]).toEqual([
      {
        code: "UNSUPPORTED",
        message:
          'Cannot run model "policy.onnx": it takes "obs" [1, 2] and gives nothing, ' +
          "need a policy: one float observation [1, N] in, one float action [1, A] out",
      },
      {
        code: "UNSUPPORTED",
        message: expect.stringMatching(
          /^Cannot run model "policy.onnx": ONNX Runtime refuses it: .*Walk/,
        ),
      },
    ]);
  });
});
