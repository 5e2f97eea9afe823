import { expect, test } from "bun:test";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { renderJunit, renderSuites } from "./junit.ts";
import { COMPARISON, HOSTILE } from "./parity_report_fixture.ts";

const failing = {
  ...COMPARISON,
  pass: false,
  sides: { a: HOSTILE, b: "\u0007b" },
  checks: [
    { name: "MAE", pass: true, failures: [], found: 2e-4, limit: 1e-3 },
    { name: HOSTILE, pass: false, failures: [HOSTILE, "second\nline"] },
  ],
};

test("renderJunit() has a suite for each comparison and a case for each check", () => {
  expect(renderJunit([COMPARISON])).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="lite3rl parity" tests="1" failures="0" errors="0" skipped="0">
  <testsuite name="policy.onnx and emulated" tests="1" failures="0" errors="0" skipped="0">
    <properties>
      <property name="evidence.a" value="cpu"/>
      <property name="evidence.b" value="emulation"/>
      <property name="samples" value="200"/>
      <property name="dataset" value="calib_obs.npy"/>
      <property name="mae" value="0.0002"/>
      <property name="max" value="0.003"/>
      <property name="worst" value="sample 7, FL_Knee"/>
    </properties>
    <testcase classname="policy.onnx and emulated" name="MAE"/>
  </testsuite>
</testsuites>
`);
});

const READ = `
import json, sys
from junitparser import JUnitXml
xml = JUnitXml.fromstring(sys.stdin.buffer.read())
print(json.dumps([[s.name, s.tests, s.failures,
    [[c.classname, c.name, c.is_passed, [[r.message, r.text] for r in c.result]] for c in s]]
    for s in xml]))
`;

testWith("python")("renderJunit() is read by junitparser as it was meant", async () => {
  const python = Bun.spawn([process.env["LITE3RL_TEST_PYTHON"] ?? "", "-c", READ], {
    stdin: new Blob([renderJunit([COMPARISON, failing])]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [text, errors] = await Promise.all([python.stdout.text(), python.stderr.text()]);
  expect({ status: await python.exited, errors }).toEqual({ status: 0, errors: "" });
  const name = "policy.onnx and emulated";
  const other = `${HOSTILE} and \uFFFDb`;
  expect(JSON.parse(text)).toEqual([
    [name, 1, 0, [[name, "MAE", true, []]]],
    [
      other,
      2,
      1,
      [
        [other, "MAE", true, []],
        [other, HOSTILE, false, [[HOSTILE, `${HOSTILE}\nsecond\nline`]]],
      ],
    ],
  ]);
});

test("renderSuites() says what was skipped, and what failed", () => {
  const cases = [
    { name: "latency", failures: [] },
    { name: "power", failures: [], skipped: "no sensor" },
    { name: "gait", failures: ["a fall"] },
  ];
  const text = renderSuites("lite3rl accept", [{ name: "a", properties: { v: "FAIL" }, cases }]);
  expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="lite3rl accept" tests="3" failures="1" errors="0" skipped="1">
  <testsuite name="a" tests="3" failures="1" errors="0" skipped="1">
    <properties>
      <property name="v" value="FAIL"/>
    </properties>
    <testcase classname="a" name="latency"/>
    <testcase classname="a" name="power">
      <skipped message="no sensor"/>
    </testcase>
    <testcase classname="a" name="gait">
      <failure message="a fall">a fall</failure>
    </testcase>
  </testsuite>
</testsuites>
`);
});
