import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { BINARIES } from "../../scripts/dev/project.ts";
import { findTool, testWith } from "../../scripts/dev/test_tools.ts";
import { demoNetwork, readGoldenActions } from "../policy/policy_fixture.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openIsolated } from "./isolated.ts";
import { aarch64Options, doubleOf, doubleOptions, int8DoubleOf } from "./rknn_double_fixture.ts";

const network = await demoNetwork();
const model = doubleOf(network);

for (const io of ["float", "zero-copy"] as const) {
  runBackendSuite(
    `rknn over the double, ${io}`,
    () => openIsolated(model, doubleOptions({}, { io })),
    { tolerance: 4e-3 },
  );
}
