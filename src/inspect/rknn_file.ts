/** Inspects a model converted for Rockchip's NPU. */

import { type ByteSource, sha256Source } from "../base/files.ts";
import { Lite3Error } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { parseRknn, type RknnTensor } from "../formats/rknn.ts";
import { DOUBLE_TOOLKIT } from "../formats/rknn_double.ts";
import { plain, shapeText } from "../base/text.ts";
import { readRecordBeside, recordPath } from "../policy/conversion_record.ts";
import type { Finding } from "./finding.ts";

export function inspectRknn(path: string, source: ByteSource): Finding {
  if (source.size > LIMITS.modelBytes) {
    throw new Lite3Error("TOO_LARGE", `at most ${LIMITS.modelBytes} bytes are taken`);
  }
  const { version, payloadBytes, document, inputs, outputs } = parseRknn(
    source.read(0, source.size),
  );
  const precision = precisionOf([...inputs, ...outputs]);
  const platforms = document.target_platform;
  const policy = policyOf(inputs, outputs);
  const record = recordBeside(path, source);
  const details = {
    container: { version, payloadBytes },
    toolkit: document.version,
    platforms,
    from: document.ori_network_platform ?? null,
    precision,
    inputs,
    outputs,
    policy,
    customString: document.custom_string ?? null,
    ...(record === undefined ? {} : { record: record.fits ? "fits" : "does not fit" }),
  };
  const rows = [
    ...inputs.map((tensor) => ["input", tensor] as const),
    ...outputs.map((tensor) => ["output", tensor] as const),
  ].map(([side, { name, shape, dtype }]) => [side, plain(name), dtype, shapeText(shape)]);
  return {
    kind: "rknn",
    title: "NPU model (.rknn)",
    details,
    blocks: [
      {
        facts: [
          ["container", `version ${version}, payload of ${payloadBytes} bytes`],
          ["toolkit", plain(document.version)],
          ["platform", plain(platforms.join(", "))],
          ["precision", precision],
          ["policy", policy === null ? "no" : `${policy.observationSize} → ${policy.actionSize}`],
          ...(document.custom_string === undefined
            ? []
            : [["custom string", plain(document.custom_string)] as const]),
          ...(record?.fits === true ? [["record", record.sentence] as const] : []),
        ],
      },
      { head: ["", "name", "dtype", "shape"], rows, right: [] },
    ],
    warnings: record?.fits === false ? [record.sentence] : [],
    advice: adviceFor(platforms, document.version, policy !== null),
  };
}

/** What the record beside the file is worth; nothing where there is none. */
function recordBeside(path: string, source: ByteSource) {
  try {
    const record = readRecordBeside(path);
    if (record === undefined) return undefined;
    const fits = record.rknn.sha256 === sha256Source(source);
    const [name, model] = [plain(recordPath(path)), plain(record.model.file)];
    const verdict = record.problems.length === 0 ? "passed" : "did not pass";
    const sentence = fits
      ? `${name} is of this file: made of ${model}, ${verdict}`
      : `${name} is of another file: this one was changed or made anew since; delete the record ` +
        "or convert again";
    return { fits, sentence };
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    return { fits: false, sentence: error.message };
  }
}

function precisionOf(tensors: readonly RknnTensor[]): string {
  const kinds = [...new Set(tensors.map(({ dtype }) => dtype))];
  if (kinds.length > 1) return `mixed: ${kinds.join(", ")}`;
  return kinds[0] === "float16" ? "fp16" : kinds[0] === "int8" ? "w8a8" : (kinds[0] ?? "unknown");
}

/** One observation [1, N] in, one action [1, A] out. */
function policyOf(
  inputs: readonly RknnTensor[],
  outputs: readonly RknnTensor[],
): { readonly observationSize: number; readonly actionSize: number } | null {
  const [input, output] = [inputs[0], outputs[0]].map((tensor) =>
    tensor?.shape.length === 2 && tensor.shape[0] === 1 ? tensor.shape[1] : undefined,
  );
  if (inputs.length !== 1 || outputs.length !== 1 || !input || !output) return null;
  return { observationSize: input, actionSize: output };
}

function adviceFor(platforms: readonly string[], toolkit: string, isPolicy: boolean): string[] {
  const [number = toolkit] = toolkit.split("-");
  const npu = platforms.join(" or ");
  const advice = [
    toolkit === DOUBLE_TOOLKIT
      ? "runs in the test double of the NPU library, and on no NPU"
      : `runs on an NPU of ${npu} with librknnrt ${number} or newer, nowhere else`,
  ];
  if (!platforms.includes("rk3588")) {
    advice.push(`the Lite3's board is an rk3588: convert the ONNX again for it`);
  }
  if (!isPolicy) {
    advice.push("it is no policy: serve needs one observation [1, N] in and one action [1, A] out");
  }
  advice.push(
    "the file does not say how observations are normalised: its ONNX does (lite3rl inspect)",
  );
  return advice;
}
