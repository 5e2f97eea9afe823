/**
 * The toolkit's simulator as a side: the model built again, in float16 or by the recipe that
 * `lite3rl convert` recorded beside a .rknn. What runs is that recipe, which must give the file.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { readFile, sha256 } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { notice } from "../base/log.ts";
import { holdOut } from "../dataset/hold_out.ts";
import { readObservations } from "../dataset/observations.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { type ConversionRecord, readRecord, recordPath } from "../policy/conversion_record.ts";
import { fixBatch } from "../policy/fixed_batch.ts";
import type { Normalizer } from "../policy/normalizer.ts";
import { requireToolkit } from "../rknn_toolkit/environment.ts";
import { RK3588 } from "../rknn_toolkit/target.ts";
import type { Quantization } from "../rknn_toolkit/job.ts";
import type { Backend } from "../runtime/backend.ts";
import type { ModelFile } from "../runtime/open.ts";
import { policyShape, type PolicyShape } from "../runtime/policy_shape.ts";
import { openToolkit } from "../runtime/toolkit.ts";

/** `rknn` is the file whose recipe is taken; without one it is float16. */
export async function openRecorded(
  rknn: string | undefined,
  file: ModelFile,
  normalizer: Normalizer | undefined,
): Promise<Backend> {
  const model = fixBatch(file.model);
  const bytes = encodeOnnx(model);
  if (rknn === undefined) return openToolkit(requireToolkit(), bytes, model, { target: RK3588 });
  const digest = sha256(readFile(rknn, LIMITS.modelBytes));
  const record = readRecord(rknn, digest);
  if (record.model.sha256 !== sha256(file.bytes)) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot build ${quote(file.path)} by ${quote(recordPath(rknn))}: that was made of another ` +
        `model, ${quote(record.model.file)} as it was then; name that with --model`,
    );
  }
  const quantization = await recordedQuantization(record, policyShape(model), normalizer);
  const toolkit = requireToolkit(record.toolkit["rknn-toolkit2"]);
  const { target } = record;
  const onBuilt = (built: Uint8Array): void => checkBuilt(built, rknn, digest, toolkit.version);
  const recipe = { target, onBuilt, ...(quantization && { quantization }) };
  return openToolkit(toolkit, bytes, model, recipe);
}

/** The simulator speaks of the file only if the build gave its very bytes. */
function checkBuilt(built: Uint8Array, rknn: string, digest: string, version: string): void {
  const own = sha256(built);
  if (own === digest) {
    notice(`built again with ${version}, the same bytes: this is ${rknn}`);
    return;
  }
  throw new Lite3Error(
    "CHECK_FAILED",
    `Cannot speak of ${quote(rknn)}: it is ${digest.slice(0, 12)}…, but its recipe, built again ` +
      `with rknn-toolkit2 ${version}, gives ${own.slice(0, 12)}…; convert the model again`,
  );
}

/** Calibrated with the same rows, in the space that the network sees. */
async function recordedQuantization(
  { algorithm, method, precision, calibration, seed, float16Layers }: ConversionRecord,
  { input, observationSize, state }: PolicyShape,
  normalizer: Normalizer | undefined,
): Promise<Quantization | undefined> {
  if (algorithm === null || method === null || calibration === null) return undefined;
  const { file, normalisedBy } = calibration;
  const set = await readObservations(file, observationSize);
  if (sha256(readFile(file, LIMITS.modelBytes)) !== calibration.sha256) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot calibrate with ${quote(file)}: it is not what the recipe was made with any more; ` +
        "convert the model again",
    );
  }
  if (normalisedBy !== (normalizer?.digest ?? null)) {
    throw new Lite3Error(
      "CONFIG",
      normalisedBy === null
        ? `Cannot calibrate with ${quote(file)}: it was taken as it is, leave --obs-stats out`
        : `Cannot calibrate with ${quote(file)}: it was normalised, need the same --obs-stats`,
    );
  }
  const data = Float32Array.from(set.data);
  normalizer?.apply(data);
  const rows = holdOut({ ...set, data }, seed, state.length > 0).calibration;
  return {
    algorithm,
    method,
    dataset: [{ name: input.name, shape: [1, observationSize], data: rows }],
    ...(precision === "hybrid" && { float16Layers }),
  };
}
