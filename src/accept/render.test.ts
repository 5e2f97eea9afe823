/**
 * An acceptance's JUnit file, as PyPI's junitparser reads it.
 */

import { expect } from "bun:test";
import { testWith } from "../../scripts/dev/test_tools.ts";
import type { AcceptDocument, Measured } from "../report/accept_document.ts";
import { ABOUT, MEASURED } from "../report/accept_report_fixture.ts";
import { renderSuites } from "../report/junit.ts";
import { judgeAcceptance } from "./judge.ts";
import { ACCEPT_LIMITS } from "./limits.ts";
import { suiteOf } from "./render.ts";

const READ = `
import json, sys
from junitparser import JUnitXml
[suite] = JUnitXml.fromstring(sys.stdin.buffer.read())
print(json.dumps({
    "name": suite.name,
    "properties": {one.name: one.value for one in suite.properties()},
    "cases": {case.name: [[type(r).__name__, r.message] for r in case.result] for case in suite},
    "counts": [suite.tests, suite.failures, suite.skipped],
}))
`;

testWith("python")(
  "suiteOf() is read by junitparser: what fails, is missing, or may be",
  async () => {
    const missing = { state: "missing", why: "no meter" };
    const latency = { state: "missing", why: 'no NPU: <no> & "library"' };
    const slow = { state: "failed", why: "the service ended" };
    const measured = { ...MEASURED, power: missing, latency, gait: slow } as Measured;
    const document: AcceptDocument = {
      ...ABOUT,
      ...judgeAcceptance(measured, ACCEPT_LIMITS, ["power"]),
      limits: ACCEPT_LIMITS,
      allowMissing: ["power"],
      measured,
    };
    const python = Bun.spawn([process.env["LITE3RL_TEST_PYTHON"] ?? "", "-c", READ], {
      stdin: new Blob([renderSuites("lite3rl accept", [suiteOf(document)])]),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [text, errors] = await Promise.all([python.stdout.text(), python.stderr.text()]);
    expect({ status: await python.exited, errors }).toEqual({ status: 0, errors: "" });
    expect(JSON.parse(text)).toEqual({
      name: "policy.rknn",
      properties: {
        verdict: "FAIL without power",
        "evidence.latency": "",
        "evidence.preprocessing": "cpu",
        "evidence.parity": "cpu and npu",
        "evidence.power": "",
        "evidence.gait": "",
        "evidence.service": "unstated",
        "evidence.board": "this machine",
      },
      cases: {
        "NPU latency, batch 1, p99": [["Failure", `not measured: ${latency.why}`]],
        "preprocessing, p99": [],
        "actions, .onnx and .rknn, MAE": [],
        "steady power": [["Skipped", "no meter"]],
        gait: [["Failure", "the service ended"]],
        "service start": [],
        "board state": [],
      },
      counts: [7, 2, 1],
    });
  },
);
