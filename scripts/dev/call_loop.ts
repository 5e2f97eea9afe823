/**
 * How long inputs_set + run + outputs_get take when Bun makes the calls: median of N in
 * nanoseconds, as `ffi/stub/call_loop.c` measures it for C.
 * Usage: call_loop.ts LIBRARY MODEL N; LITE3RL_DOUBLE=1 for the double.
 */

import { readFileSync } from "node:fs";
import { RknnContext, openRknnLibrary } from "../../ffi/rknn_library.ts";
import { parseRknn } from "../../src/formats/rknn.ts";
import { openFloatPath } from "../../src/runtime/rknn_paths.ts";
import { readTensors } from "../../src/runtime/rknn_tensors.ts";

const [library = "", path = "", count = "0"] = process.argv.slice(2);
const model = readFileSync(path);
using context = new RknnContext(openRknnLibrary(library), model, 0);
const io = openFloatPath(context, readTensors(context, parseRknn(model)));
const tookNs = new Float64Array(Number(count));
for (let i = 0; i < tookNs.length; i++) {
  const started = Bun.nanoseconds();
  io.set();
  context.run();
  io.get();
  tookNs[i] = Bun.nanoseconds() - started;
}
console.log(tookNs.sort()[tookNs.length >> 1]);
