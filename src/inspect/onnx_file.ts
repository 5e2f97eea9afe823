/** Inspects an ONNX model: the graph, whether it is a policy, and whether the NPU can run it. */

import { version as toolVersion } from "../../package.json" with { type: "json" };
import type { ByteSource } from "../base/files.ts";
import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import {
  DATA_TYPE,
  decodeOnnx,
  metadata,
  type OnnxModel,
  type OnnxTensor,
  type OnnxValueInfo,
} from "../formats/onnx.ts";
import { decodeMetadata, type PolicyMetadata } from "../policy/metadata.ts";
import { type PolicyShape, policyShape } from "../runtime/policy_shape.ts";
import { plain, shapeText, tally, tallyText } from "../base/text.ts";
import type { Block, Finding } from "./finding.ts";
import { adviseOnnx } from "./onnx_advice.ts";
import { npuProblems } from "../policy/npu_operators.ts";

export interface OnnxPolicy {
  readonly observationSize: number;
  readonly actionSize: number;
  readonly dynamicBatch: boolean;
  /** Names of the recurrent state's inputs. */
  readonly state: readonly string[];
}

export async function inspectOnnx(path: string, source: ByteSource): Promise<Finding> {
  if (source.size > LIMITS.modelBytes) {
    throw new FormatError(`at most ${LIMITS.modelBytes} bytes are taken`, "TOO_LARGE");
  }
  const model = decodeOnnx(source.read(0, source.size));
  const { graph } = model;
  const shape = attempt(() => policyShape(model));
  const policy = "problem" in shape ? null : summarise(shape.value);
  const ours = decodeMetadata(model);
  const npu = npuProblems(model);
  const details = {
    irVersion: Number(model.irVersion ?? 0),
    opsets: opsets(model),
    producer: producer(model),
    graph: graph.name ?? "",
    inputs: inputsOf(model).map(describeValue),
    outputs: (graph.output ?? []).map(describeValue),
    nodes: graph.node?.length ?? 0,
    operators: tally(
      (graph.node ?? []).map(({ opType = "?", domain }) => operator(opType, domain)),
    ),
    initializers: describeInitializers(graph.initializer ?? []),
    metadata: Object.fromEntries(metadata(model)),
    lite3rl: ours ?? null,
    policy,
    notPolicy: "problem" in shape ? shape.problem : null,
    npu: { problems: npu },
  };
  return {
    kind: "onnx",
    title: "ONNX model",
    details,
    blocks: blocks(details, ours),
    warnings: npu.map((problem) => `NPU: ${problem}`),
    advice: await adviseOnnx(path, { policy, metadata: ours, npu }),
  };
}

/** The value, or the message of the FormatError that it throws. */
function attempt<T>(read: () => T): { readonly value: T } | { readonly problem: string } {
  try {
    return { value: read() };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { problem: error.message };
  }
}

function summarise({ observationSize, actionSize, dynamicBatch, state }: PolicyShape): OnnxPolicy {
  return { observationSize, actionSize, dynamicBatch, state: state.map(({ input }) => input) };
}

/** Without the initializers, which older files list as inputs too. */
function inputsOf({ graph }: OnnxModel): readonly OnnxValueInfo[] {
  const constants = new Set(graph.initializer?.map(({ name }) => name));
  return (graph.input ?? []).filter(({ name }) => !constants.has(name));
}

const operator = (opType: string, domain = ""): string =>
  domain === "" || domain === "ai.onnx" ? opType : `${domain}.${opType}`;

function opsets(model: OnnxModel): { readonly domain: string; readonly version: number }[] {
  return (model.opsetImport ?? []).map(({ domain = "", version = 0 }) => ({
    domain: domain === "" ? "ai.onnx" : domain,
    version: Number(version),
  }));
}

function producer({ producerName = "", producerVersion = "" }: OnnxModel): string {
  return [producerName, producerVersion].filter((part) => part !== "").join(" ");
}

/** TensorProto.DataType by number; onnx.proto has more, which policies do not use. */
const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(DATA_TYPE).map(([name, number]) => [number, name] as const),
  [4, "uint16"],
  [8, "string"],
  [12, "uint32"],
  [13, "uint64"],
]);

const typeName = (number = 0): string => TYPE_NAMES.get(number) ?? `type ${number}`;

interface ValueDescription {
  readonly name: string;
  readonly dtype: string;
  /** A text names a dynamic dimension; `?` has no name. */
  readonly shape: readonly (number | string)[];
}

function describeValue({ name = "", type }: OnnxValueInfo): ValueDescription {
  const tensor = type?.tensorType;
  const dims = tensor?.shape?.dim ?? [];
  return {
    name,
    dtype: tensor === undefined ? "no tensor" : typeName(tensor.elemType),
    shape: dims.map(({ dimValue, dimParam }) =>
      dimValue === undefined ? (dimParam ?? "?") : Number(dimValue),
    ),
  };
}

interface Initializers {
  readonly count: number;
  /** Elements of the floating-point ones. */
  readonly parameters: number;
  readonly dtypes: Readonly<Record<string, number>>;
  /** How many have their values in another file. */
  readonly external: number;
}

const FLOATS: ReadonlySet<string> = new Set(["float16", "bfloat16", "float32", "float64"]);

function describeInitializers(tensors: readonly OnnxTensor[]): Initializers {
  const floats = tensors.filter(({ dataType }) => FLOATS.has(typeName(dataType)));
  const size = ({ dims = [] }: OnnxTensor): number =>
    dims.reduce<number>((product, dim) => product * Number(dim), 1);
  return {
    count: tensors.length,
    parameters: floats.reduce((sum, tensor) => sum + size(tensor), 0),
    dtypes: tally(tensors.map(({ dataType }) => typeName(dataType))),
    external: tensors.filter(({ externalData = [] }) => externalData.length > 0).length,
  };
}

interface Details {
  readonly irVersion: number;
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  readonly producer: string;
  readonly inputs: readonly ValueDescription[];
  readonly outputs: readonly ValueDescription[];
  readonly nodes: number;
  readonly operators: Readonly<Record<string, number>>;
  readonly initializers: Initializers;
  readonly metadata: Readonly<Record<string, string>>;
  readonly policy: OnnxPolicy | null;
  readonly notPolicy: string | null;
}

function blocks(details: Details, ours: PolicyMetadata | undefined): Block[] {
  const { initializers, inputs, outputs } = details;
  const sets = details.opsets.map(({ domain, version }) => `${domain} ${version}`).join(", ");
  const foreign = Object.keys(details.metadata).filter((key) => !key.startsWith("lite3rl."));
  const shown = ([side, value]: readonly [string, ValueDescription]): string[] => [
    side,
    plain(value.name, 40),
    value.dtype,
    plain(shapeText(value.shape), 60),
  ];
  return [
    {
      facts: [
        ["format", `IR ${details.irVersion}, opset ${plain(sets) || "not said"}`],
        ["producer", plain(details.producer) || "not said"],
        ["policy", policyText(details)],
        ["normalizer", normalizerText(ours)],
        ...(ours === undefined ? [] : [["exported", exportText(ours)] as const]),
        ["operators", tallyText(details.operators) || "none"],
        [
          "parameters",
          `${initializers.parameters} in ${initializers.count} initializers ` +
            `(${tallyText(initializers.dtypes) || "none"})`,
        ],
        ...(foreign.length === 0 ? [] : [["metadata", plain(foreign.join(", "))] as const]),
      ],
    },
    {
      head: ["", "name", "dtype", "shape"],
      rows: [
        ...inputs.map((value) => ["input", value] as const),
        ...outputs.map((value) => ["output", value] as const),
      ]
        .slice(0, 40)
        .map(shown),
      right: [],
    },
  ];
}

function policyText({ policy, notPolicy }: Details): string {
  if (policy === null) return `no: ${plain(notPolicy ?? "", 400)}`;
  const { observationSize, actionSize, dynamicBatch, state } = policy;
  const memory = state.length === 0 ? "" : `, recurrent (${plain(state.join(", "))})`;
  return `${observationSize} → ${actionSize}, ${dynamicBatch ? "any batch" : "batch 1"}${memory}`;
}

function normalizerText(ours: PolicyMetadata | undefined): string {
  switch (ours?.normalizer) {
    case "folded":
      return "folded in: takes observations as the robot has them";
    case "external":
      return `external: statistics ${ours.normalizerDigest?.slice(0, 12) ?? "unnamed"}… needed`;
    case "none":
      return "none in the checkpoint";
    default:
      return "not said: the file has no lite3rl metadata";
  }
}

function exportText({ layout, activation, sourceDigest, toolVersion: by }: PolicyMetadata): string {
  const other = by === toolVersion ? "" : ` (this is ${toolVersion})`;
  return (
    `by lite3rl ${plain(by)}${other} from ${plain(layout)}, ${plain(activation)}, ` +
    `checkpoint ${plain(sourceDigest).slice(0, 12)}…`
  );
}
