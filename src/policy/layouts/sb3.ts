/**
 * Stable-Baselines3: a zip with `policy.pth` (the state dict) and `data` (JSON), or that state dict
 * alone. PPO and A2C have `mlp_extractor.policy_net.*` and the head `action_net`. SAC has
 * `actor.latent_pi.*` and the head `actor.mu`, TD3 and DDPG have `actor.mu.*`; their tanh is
 * stretched to the bounds of the action space, which only `data` has.
 */

import * as v from "valibot";
import { FormatError } from "../../base/errors.ts";
import { warn } from "../../base/log.ts";
import type { Layout, PolicyPlan } from "./plan.ts";
import { asStateDict, layerIndices, type StateDict } from "./state_dict.ts";

/** What `openCheckpoint` makes of the archive. */
export interface Sb3Root {
  readonly kind: "sb3";
  readonly policy: unknown;
  /** The text of `data`. */
  readonly data: string;
}

const PPO_OTHERS = /^(?:mlp_extractor\.value_net|value_net|log_std$)/;
const SAC_OTHERS = /^(?:critic|actor\.log_std|log_ent_coef)/;
const TD3_OTHERS = /^(?:critic|actor_target)/;

/** `<class 'torch.nn.modules.activation.ReLU'>`, as SB3 writes classes into its JSON. */
const ACTIVATION_CLASS = /\.(\w+)'>$/;

const Space = v.looseObject({
  ":type:": v.optional(v.string()),
  _shape: v.optional(v.nullable(v.array(v.number()))),
});

const Data = v.looseObject({
  policy_kwargs: v.optional(
    v.looseObject({
      activation_fn: v.optional(v.string()),
      squash_output: v.optional(v.unknown()),
      net_arch: v.optional(v.unknown()),
    }),
  ),
  observation_space: v.optional(Space),
  action_space: v.optional(
    v.looseObject({
      ...Space.entries,
      low: v.optional(v.string()),
      high: v.optional(v.string()),
    }),
  ),
});

export const SB3: Layout = {
  name: "sb3",
  keys: ["mlp_extractor.policy_net.0.weight", "action_net.weight"],
  plan(root) {
    if (root instanceof Map) return planAlone(asStateDict(root));
    if ((root as Partial<Sb3Root> | null)?.kind !== "sb3") return undefined;
    const { policy, data } = root as Sb3Root;
    const state = asStateDict(policy);
    if (state === undefined) return undefined;
    refuseDqn(state);
    const document = parseData(data);
    checkSpaces(document, state);
    const named = ACTIVATION_CLASS.exec(document.policy_kwargs?.activation_fn ?? "")?.[1];
    const activation = named?.toLowerCase();
    const plan = planState(state, activation, document.action_space ?? {});
    if (plan !== undefined) compareWidths(state, plan, document.policy_kwargs?.net_arch);
    return plan;
  },
};

/** `policy.pth` out of its zip: all that PPO's needs is its activation. */
function planAlone(state: StateDict | undefined): PolicyPlan | undefined {
  if (state === undefined) return undefined;
  refuseDqn(state);
  const isPpo = state.has(`${PPO_TRUNK}.0.weight`) && state.has("action_net.weight");
  if (isPpo) return planPpo(state, undefined);
  const isOurs = [`${SAC_TRUNK}.0.weight`, `${TD3_TRUNK}.0.weight`].some((key) => state.has(key));
  if (!isOurs || ![...state.keys()].some((key) => key.startsWith("critic.qf0."))) return undefined;
  throw new FormatError(
    "it is the policy.pth of a Stable-Baselines3 zip: how its actions are stretched to the " +
      "action space is in that zip's data, give the .zip",
    "UNSUPPORTED",
  );
}

const PPO_TRUNK = "mlp_extractor.policy_net";
const SAC_TRUNK = "actor.latent_pi";
const TD3_TRUNK = "actor.mu";

function planState(
  state: StateDict,
  activation: string | undefined,
  space: { low?: string | undefined; high?: string | undefined },
): PolicyPlan | undefined {
  if (state.has("action_net.weight")) return planPpo(state, activation ?? "tanh");
  if (state.has("actor.mu.weight")) {
    return planSquashed("sb3_sac", state, [SAC_TRUNK, "actor.mu"], activation, space);
  }
  if (state.has(`${TD3_TRUNK}.0.weight`)) {
    return planSquashed("sb3_td3", state, [TD3_TRUNK], activation, space);
  }
  return undefined;
}

function refuseDqn(state: StateDict): void {
  if (![...state.keys()].some((key) => key.startsWith("q_net.q_net."))) return;
  throw new FormatError(
    "it is a DQN, whose network gives a value for each of its discrete actions; need the " +
      "continuous actions of PPO, A2C, SAC, TD3 or DDPG",
    "UNSUPPORTED",
  );
}

/** Says where the widths of `net_arch` are not those of the weights, which count. */
function compareWidths(state: StateDict, { parts: [trunk = ""] }: PolicyPlan, arch: unknown): void {
  const said = policyWidths(arch);
  if (said === undefined) return;
  const widths = layerIndices(state, trunk).map(
    (index) => state.get(`${trunk}.${index}.weight`)?.shape[0],
  );
  const hidden = trunk === TD3_TRUNK ? widths.slice(0, -1) : widths;
  if (String(hidden) === String(said)) return;
  warn(
    `net_arch in the file's data says [${said.join(", ")}], the weights have ` +
      `[${hidden.join(", ")}]: taking the weights`,
  );
}

/** `[64, 64]`, `{pi: [64, 64], …}` or, up to SB3 1.7, the latter in a list. */
function policyWidths(arch: unknown): readonly number[] | undefined {
  const inner: unknown = Array.isArray(arch) && arch.length === 1 ? arch[0] : arch;
  const pi: unknown = (inner as { pi?: unknown } | null | undefined)?.pi ?? arch;
  return v.is(v.array(v.number()), pi) ? pi : undefined;
}

function parseData(data: string): v.InferOutput<typeof Data> {
  try {
    return v.parse(Data, JSON.parse(data));
  } catch {
    throw new FormatError('entry "data" is not the JSON of a Stable-Baselines3 model');
  }
}

/** Vectors in and out, of the widths that the weights have, and no squashing that is not read. */
function checkSpaces(document: v.InferOutput<typeof Data>, state: StateDict): void {
  const trunks = [PPO_TRUNK, SAC_TRUNK, TD3_TRUNK];
  const first = trunks.map((trunk) => state.get(`${trunk}.0.weight`)).find(Boolean);
  const head = `${TD3_TRUNK}.${layerIndices(state, TD3_TRUNK).at(-1)}.weight`;
  const last = ["action_net.weight", "actor.mu.weight", head]
    .map((key) => state.get(key))
    .find(Boolean);
  for (const [what, space, size] of [
    ["observation", document.observation_space, first?.shape[1]],
    ["action", document.action_space, last?.shape[0]],
  ] as const) {
    const { ":type:": type = "Box", _shape: shape } = space ?? {};
    const isVector = !shape || size === undefined || String(shape) === String([size]);
    if (/\bBox\b/.test(type) && isVector) continue;
    throw new FormatError(
      `its ${what} space is ${type} of shape [${shape ?? "?"}], need a Box of [${size ?? "N"}]`,
      "UNSUPPORTED",
    );
  }
  if (document.policy_kwargs?.squash_output === true && state.has("action_net.weight")) {
    throw new FormatError(
      "its policy has squash_output, which is not supported for PPO and A2C",
      "UNSUPPORTED",
    );
  }
}

function planPpo(state: StateDict, activation: string | undefined): PolicyPlan {
  return {
    layout: "sb3_ppo",
    state,
    parts: [PPO_TRUNK, "action_net"],
    isOther: (key) => PPO_OTHERS.test(key),
    isNoise: (key) => key === "log_std",
    ...(activation === undefined ? {} : { activation }),
  };
}

/** SB3's default activation is ReLU for SAC, TD3 and DDPG. */
function planSquashed(
  layout: "sb3_sac" | "sb3_td3",
  state: StateDict,
  parts: readonly string[],
  activation: string | undefined,
  space: { low?: string | undefined; high?: string | undefined },
): PolicyPlan {
  const others = layout === "sb3_sac" ? SAC_OTHERS : TD3_OTHERS;
  const last = layerIndices(state, TD3_TRUNK).at(-1);
  const head = layout === "sb3_sac" ? "actor.mu.weight" : `${TD3_TRUNK}.${last}.weight`;
  const size = state.get(head)?.shape[0] ?? 0;
  return {
    layout,
    state,
    parts,
    isOther: (key) => others.test(key),
    activation: activation ?? "relu",
    outputActivation: "tanh",
    actionBounds: { low: bounds(space.low, size), high: bounds(space.high, size) },
  };
}

/** The bounds as numpy prints them. */
function bounds(text: string | undefined, size: number): Float32Array {
  const numbers = (text ?? "")
    .replaceAll(/[[\],]/g, " ")
    .trim()
    .split(/\s+/)
    .map(Number);
  const all =
    numbers.length === 1 ? Array.from({ length: size }, () => numbers[0] ?? NaN) : numbers;
  if (text === undefined || all.length !== size || !all.every(Number.isFinite)) {
    throw new FormatError(
      `the action space is from ${text ?? "nothing known"}, need ${size} finite bounds`,
      "UNSUPPORTED",
    );
  }
  return Float32Array.from(all);
}
