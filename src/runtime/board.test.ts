/**
 * The backend suite on the NPU of this very machine: `LITE3RL_LIBRKNNRT=/usr/lib/librknnrt.so bun
 * test src/runtime/board.test.ts` on a board. With the double's path it runs over the double.
 */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  findRknnLibrary,
  LIBRARY_VARIABLE,
  openRknnLibrary,
  type RknnLibrary,
} from "../../ffi/rknn_library.ts";
import { skipBecause } from "../../scripts/dev/test_tools.ts";
import { Lite3Error } from "../base/errors.ts";
import { demoNetwork } from "../policy/policy_fixture.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openIsolated } from "./isolated.ts";
import { doubleOf } from "./rknn_double_fixture.ts";

/** The demo policy, as rknn-toolkit2 converted it. */
const CONVERTED = join(import.meta.dir, "../../fixtures/rknn/demo.fp16.rknn");

const named = process.env[LIBRARY_VARIABLE] || undefined;
if (named === undefined) {
  skipBecause(`needs ${LIBRARY_VARIABLE}, the NPU library of a board`)("the NPU here", () => {});
} else {
  const opened = openNamed(named);
  test(`${LIBRARY_VARIABLE} names a library of the NPU`, () => {
    expect(opened).toEqual({ library: expect.anything() });
  });
  if ("library" in opened) await runSuites(opened.library);
}

function openNamed(path: string): { library: RknnLibrary } | { problem: string } {
  try {
    return { library: openRknnLibrary(findRknnLibrary(path) ?? path) };
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    return { problem: error.message };
  }
}

async function runSuites({ path: library, double }: RknnLibrary): Promise<void> {
  const isDouble = double !== undefined;
  const model = isDouble ? doubleOf(await demoNetwork()) : readFileSync(CONVERTED);
  for (const io of ["float", "zero-copy", "auto"] as const) {
    const options = { library, core: "auto", io } as const;
    runBackendSuite(`rknn, ${library}, ${io}`, () => openIsolated(model, options), {
      tolerance: 4e-3,
    });
  }
}
