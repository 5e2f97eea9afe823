/**
 * `bun run double FILE.rknn OUT.rknn [MODEL.onnx]`: a real .rknn, or an ONNX model, as a model of
 * the test double of librknnrt. An int8 file needs the ONNX model that it was converted from.
 */

import { extname } from "node:path";
import { checkOutput, readFile, writeFileAtomic } from "../../src/base/files.ts";
import { LIMITS } from "../../src/base/limits.ts";
import { decodeOnnx } from "../../src/formats/onnx.ts";
import { doubleOfOnnx, doubleOfRknn } from "../../src/runtime/double_of_rknn.ts";
import { buildNativeDouble } from "./build_double.ts";

export default async function double(args: readonly string[]): Promise<number> {
  const [source, output, onnx, ...more] = args;
  if (source === undefined || output === undefined || more.length > 0) {
    console.error("usage: bun run double FILE.rknn OUT.rknn [MODEL.onnx], or MODEL.onnx OUT.rknn");
    return 2;
  }
  const read = (path: string): Uint8Array => readFile(path, LIMITS.modelBytes);
  try {
    checkOutput(output, [source, onnx]);
    const model = onnx === undefined ? undefined : decodeOnnx(read(onnx));
    const isOnnx = extname(source) === ".onnx";
    writeFileAtomic(
      output,
      isOnnx ? doubleOfOnnx(decodeOnnx(read(source))) : doubleOfRknn(read(source), model),
    );
    const settings = `LITE3RL_DOUBLE=1 LITE3RL_LIBRKNNRT=${buildNativeDouble()}`;
    console.error(`${settings} lite3rl serve --model ${output}`);
    return 0;
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}
