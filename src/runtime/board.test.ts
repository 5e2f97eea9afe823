/**
 * The backend suite on the NPU of this very machine: `LITE3RL_LIBRKNNRT=/usr/lib/librknnrt.so bun
 * test src/runtime/board.test.ts` on a board. With the double's path it runs over the double.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findRknnLibrary, LIBRARY_VARIABLE, openRknnLibrary } from "../../ffi/rknn_library.ts";
import { skipBecause } from "../../scripts/dev/test_tools.ts";
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
  const library = findRknnLibrary(named) ?? named;
  const isDouble = openRknnLibrary(library).double !== undefined;
  const model = isDouble ? doubleOf(await demoNetwork()) : readFileSync(CONVERTED);
  for (const io of ["float", "zero-copy", "auto"] as const) {
    const options = { library, core: "auto", io } as const;
    runBackendSuite(`rknn, ${library}, ${io}`, () => openIsolated(model, options), {
      tolerance: 4e-3,
    });
  }
}
