/**
 * The model that an engine serves: its policy, the fallback for it, and what a hello says.
 */

import * as v from "valibot";
import { version } from "../../package.json" with { type: "json" };
import { Lite3Error, quote } from "../base/errors.ts";
import { type FileSet, sha256 } from "../base/files.ts";
import type { PolicyState } from "../runtime/backend.ts";
import { type Sizes, termNames } from "../policy/term_names.ts";
import { openPolicy, readModel } from "../runtime/open.ts";
import { isRknnPath, readRknnModel } from "../runtime/open_rknn.ts";
import type { Policy } from "../runtime/policy.ts";
import type { OpenCommand } from "../service/control.ts";
import { type About, encodeHello, PROTOCOL_VERSION, ROWS_MAX } from "../wire/protocol.ts";

export interface ServedModel extends Disposable {
  readonly policy: Policy;
  /** For when the policy's backend fails. */
  readonly fallback: Policy | undefined;
  /** The policy is itself the fallback. */
  readonly isFallback: boolean;
  readonly isRecurrent: boolean;
  readonly normalizer: string;
  /** µs of the last row: inputs set, run, outputs fetched; of the NPU alone. */
  readonly npuTimesUs: Float64Array | undefined;
  readonly about: About;
  /** The payload of a hello's answer. */
  readonly hello: Uint8Array;
}

/** @param files where everything that belongs to the model is read */
export async function openServedModel(command: OpenCommand, files: FileSet): Promise<ServedModel> {
  const { model, obsStats, fallback: second } = command;
  const file = await (isRknnPath(model) ? readRknnModel : readModel)(model, files);
  const isFallback = command.fallbackOnly === true && second !== undefined;
  const openFallback = (chosen: NonNullable<typeof second>): Promise<Policy> =>
    openPolicy(chosen.model, chosen.obsStats, { backend: "mlp", files });
  const policy = isFallback
    ? await openFallback(second)
    : await openPolicy(model, obsStats, {
        backend: command.backend,
        librknnrt: command.librknnrt,
        core: command.core ?? "auto",
        io: command.io ?? "auto",
        isolated: false,
        files,
      });
  let fallback: Policy | undefined;
  try {
    fallback = second === undefined || isFallback ? undefined : await openFallback(second);
    if (fallback !== undefined) checkSameSizes(policy, fallback, command);
    const digest = sha256(file.bytes);
    return describe(command, { policy, fallback, isFallback }, digest, file.metadata?.contract);
  } catch (error) {
    policy[Symbol.dispose]();
    fallback?.[Symbol.dispose]();
    throw error;
  }
}

function describe(
  { model, generation }: OpenCommand,
  opened: Pick<ServedModel, "policy" | "fallback" | "isFallback">,
  digest: string,
  contract: string | undefined,
): ServedModel {
  const { policy, fallback } = opened;
  const { backend, observationSize, actionSize } = policy;
  const normalizer = policy.normalizer === undefined ? policy.normalizerUse : "obs-stats";
  const isRecurrent = hasState(backend.createState());
  const about: About = {
    program: "lite3rl",
    version,
    protocols: [PROTOCOL_VERSION],
    model: { file: model, sha256: digest },
    generation,
    backend: backend.name,
    evidence: backend.arithmetic,
    normalizer,
    ...describeContract(model, contract, policy),
  };
  return {
    ...opened,
    isRecurrent,
    normalizer,
    npuTimesUs: "timesUs" in backend ? (backend.timesUs as Float64Array) : undefined,
    about,
    hello: encodeHello({ observationSize, actionSize, rowsMax: ROWS_MAX, isRecurrent, about }),
    [Symbol.dispose]() {
      policy[Symbol.dispose]();
      fallback?.[Symbol.dispose]();
    },
  };
}

/** Beyond this a contract leaves no room in a hello: it is left out. */
const CONTRACT_CHARACTERS_MAX = 16 << 10;
const contractSchema = v.record(v.string(), v.unknown());

/** What the model's own metadata says of its robot: its names, and how often it acted in training. */
function describeContract(
  model: string,
  text: string | undefined,
  sizes: Sizes,
): Pick<About, "contract" | "controlPeriodMs" | "observationNames" | "actionNames"> {
  if (text === undefined || text.length > CONTRACT_CHARACTERS_MAX) return { contract: null };
  const contract = v.safeParse(v.pipe(v.string(), v.parseJson(), contractSchema), text);
  if (!contract.success) {
    throw new Lite3Error(
      "MALFORMED",
      `Cannot serve ${quote(model)}: the contract in its metadata is no JSON object, ` +
        "export the checkpoint again",
    );
  }
  const { rateHz } = contract.output;
  const isRate = typeof rateHz === "number" && rateHz > 0;
  return {
    contract: contract.output,
    ...termNames(contract.output, sizes),
    ...(isRate ? { controlPeriodMs: 1000 / rateHz } : {}),
  };
}

const hasState = ({ tensors }: PolicyState): boolean => tensors.length > 0;

function checkSameSizes(policy: Policy, fallback: Policy, command: OpenCommand): void {
  const sizes = ({ observationSize, actionSize }: Policy) => `${observationSize} → ${actionSize}`;
  const isRecurrent = hasState(policy.backend.createState());
  if (!isRecurrent && sizes(policy) === sizes(fallback)) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot fall back on ${quote(command.fallback?.model)}: it is ${sizes(fallback)} and has no ` +
      `state, but the model is ${sizes(policy)}${isRecurrent ? " and recurrent" : ""}, ` +
      "need the same policy",
  );
}
