import { expect, test } from "bun:test";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { demoNetwork, modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { requireToolkit } from "../rknn_toolkit/environment.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openToolkit } from "./toolkit.ts";

if (findTool("toolkit") !== undefined) {
  runBackendSuite(
    "toolkit",
    async () => {
      const model = modelOf(await demoNetwork());
      return openToolkit(requireToolkit(), encodeOnnx(model), model, { target: "rk3588" });
    },
    {
      tolerance: 0.003,
      skip: [
        {
          test: "gives a batch the actions that its rows have alone",
          reason: "eight builds; rows are always simulated one by one",
        },
      ],
    },
  );
}

testWith("toolkit")("openToolkit() says on what its figures rest", () => {
  const model = modelOf(TINY_NETWORK);
  const recipe = { target: "rk3588" };
  using backend = openToolkit(requireToolkit(), encodeOnnx(model), model, recipe);
  const { name, arithmetic, subject } = backend;
  expect({ name, arithmetic, subject }).toEqual({
    name: "toolkit",
    arithmetic: "toolkit-simulator",
    subject: "recipe",
  });
});

const NOWHERE = { version: "0", python: "none", home: "none", pythonVersion: "3.11" };

test("openToolkit() refuses what it cannot build as it is", async () => {
  const dynamic = modelOf(TINY_NETWORK, { dynamicBatch: true });
  const open = () => openToolkit(NOWHERE, encodeOnnx(dynamic), dynamic, { target: "rk3588" });
  expect(await refusalOf(open)).toEqual({
    code: "UNSUPPORTED",
    message: "it has a dynamic batch, the toolkit needs batch 1",
  });
  const recurrent = modelOf(seededNetwork("gru", 1));
  const refused = await refusalOf(() =>
    openToolkit(NOWHERE, encodeOnnx(recurrent), recurrent, { target: "rk3588" }),
  );
  expect(refused.code).toBe("UNSUPPORTED");
  expect(refused.message).toContain("it is recurrent");
});
