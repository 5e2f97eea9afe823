/**
 * TorchScript policies: `policy_1.pt` and `policy_lstm_1.pt` of legged_gym, the exporters of
 * rsl_rl and Isaac Lab, traced, scripted or frozen.
 *
 * The archive holds the whole forward pass, so it alone says what the policy is: the graph is
 * taken apart from the action back to the observation, and whatever is not one of a policy's
 * parts (normalizer, memory, Linear, LayerNorm, activation, distribution) is refused by its name
 * and line. Modules that forward does not use, such as a critic, do not matter.
 */

import { quote } from "../../base/errors.ts";
import { notice } from "../../base/log.ts";
import { toFloat32 } from "../../formats/tensor.ts";
import type { TorchScriptFile } from "../../formats/torch_script.ts";
import type { TorchTensor } from "../../formats/torch_tensor.ts";
import type { Layout, NormalizerPlan, PlanStep, PolicyPlan } from "./plan.ts";
import { LAYER_NORM_EPSILON } from "./sequential.ts";
import { matchBeta, matchFirstHalf } from "./script_distribution.ts";
import { type ScriptGraph, traceForward } from "./script_graph.ts";
import { describe, isNode, type Node, unsupported, type Value } from "./script_value.ts";

/** What `openCheckpoint` makes of the archive. */
export interface ScriptRoot {
  readonly kind: "torchscript";
  readonly script: TorchScriptFile;
}

export const TORCHSCRIPT: Layout = {
  name: "torchscript",
  keys: [],
  plan(root) {
    if ((root as Partial<ScriptRoot> | null)?.kind !== "torchscript") return undefined;
    const { script } = root as ScriptRoot;
    return new Disassembly(script, traceForward(script)).plan();
  },
};

/** Those whose first constant may be another. */
const ADJUSTABLE: ReadonlySet<string> = new Set(["elu", "leaky_relu"]);

/** Constants that torch prints beside an activation; the others must be the default. */
const ACTIVATIONS: ReadonlyMap<string, readonly Value[]> = new Map([
  ["elu", [1, 1, 1]],
  ["relu", []],
  ["tanh", []],
  ["sigmoid", []],
  ["selu", []],
  ["celu", [1]],
  ["leaky_relu", [0.01]],
  ["softplus", [1, 20]],
  ["gelu", ["none"]],
  ["silu", []],
  ["mish", []],
]);

class Disassembly {
  readonly #script: TorchScriptFile;
  readonly #graph: ScriptGraph;
  readonly #state = new Map<string, TorchTensor>();
  /** From the action to the observation. */
  readonly #steps: PlanStep[] = [];
  /** How often a name was given: a module may be used twice. */
  readonly #names = new Map<string, number>();
  #memory: string | undefined;
  #normalizer: NormalizerPlan | undefined;

  constructor(script: TorchScriptFile, graph: ScriptGraph) {
    this.#script = script;
    this.#graph = graph;
  }

  plan(): PolicyPlan {
    const beta = matchBeta(this.#graph.output, (value) => this.#scalar(value));
    const half = beta === undefined ? matchFirstHalf(this.#graph.output) : undefined;
    let node = beta?.parameters ?? half ?? this.#graph.output;
    while (node.op !== "observation") node = this.#before(node);
    if (this.#memory === undefined && this.#graph.writes.size > 0) {
      const [target] = this.#graph.writes.keys();
      throw unsupported(`forward writes into ${describe(target)}, need a policy that does not`);
    }
    const steps = this.#steps.toReversed();
    const linear = steps.flatMap((step) => (step.kind === "linear" ? step.name : []));
    if (linear.length === 0) throw unsupported("forward has no Linear layer");
    const distribution = beta !== undefined ? "beta" : half !== undefined ? "gaussian" : "none";
    const last = steps.at(-1);
    const hasOutput = last?.kind === "activation" && distribution === "none";
    const sequence = hasOutput ? steps.slice(0, -1) : steps;
    const inner = sequence.flatMap((step) => (step.kind === "activation" ? step.activation : []));
    if (new Set(inner).size > 1) notice(`the activations are ${inner.join(", ")}, in this order`);
    return {
      layout: "torchscript",
      state: this.#state,
      parts: linear,
      sequence,
      activation: inner[0] ?? "identity",
      outputActivation: hasOutput ? last.activation : "identity",
      isOther: () => true,
      distribution,
      ...(beta === undefined ? {} : { actionBounds: this.#bounds(beta, linear.at(-1) ?? "") }),
      ...(this.#memory === undefined ? {} : { memory: this.#memory }),
      ...(this.#normalizer === undefined ? {} : { normalizer: this.#normalizer }),
    };
  }

  /** The range of a Beta, for each action. */
  #bounds({ low, high }: { low: number; high: number }, head: string) {
    const size = Math.floor((this.#state.get(`${head}.weight`)?.shape[0] ?? 0) / 2);
    return { low: new Float32Array(size).fill(low), high: new Float32Array(size).fill(high) };
  }

  /** Takes one part off; what it took. */
  #before(node: Node): Node {
    const step =
      this.#linear(node) ?? this.#activation(node) ?? this.#layerNorm(node) ?? this.#head(node);
    if (step === undefined) {
      const parts = node.args.map(describe).join(", ");
      throw unsupported(
        `${node.where}: ${node.op} of ${parts} is no part of a policy that is known here ` +
          "(normalizer, LSTM or GRU, then Linear layers and activations)",
      );
    }
    return step;
  }

  #linear(node: Node): Node | undefined {
    const [input, weight, bias] = linearParts(node);
    if (!isFlow(input) || !isTensorNode(weight)) return undefined;
    if (bias !== null && !isTensorNode(bias)) return undefined;
    const name = this.#name(weight, ".weight", "linear");
    this.#put(`${name}.weight`, weight);
    if (bias !== null) this.#put(`${name}.bias`, bias);
    this.#steps.push({ kind: "linear", name });
    return input;
  }

  #layerNorm(node: Node): Node | undefined {
    const [input, , weight, bias, epsilon = LAYER_NORM_EPSILON] = node.args;
    if (node.op !== "layer_norm" || !isFlow(input) || !isTensorNode(weight)) return undefined;
    if ((bias !== null && !isTensorNode(bias)) || typeof epsilon !== "number") return undefined;
    const name = this.#name(weight, ".weight", "layer_norm");
    this.#put(`${name}.weight`, weight);
    if (bias !== null) this.#put(`${name}.bias`, bias);
    this.#steps.push({ kind: "layer_norm", name, epsilon });
    return input;
  }

  #activation(node: Node): Node | undefined {
    const defaults = ACTIVATIONS.get(node.op);
    const [input, ...constants] = node.args;
    if (defaults === undefined || !isFlow(input)) return undefined;
    let activation: string = node.op;
    for (const [index, constant] of constants.entries()) {
      const value = this.#scalar(constant) ?? constant;
      if (value === defaults[index]) continue;
      if (index === 0 && typeof value === "number" && ADJUSTABLE.has(node.op)) {
        activation = `${node.op}(${value})`;
        continue;
      }
      throw unsupported(
        `${node.where}: ${node.op} has the constant ${describe(value)}, need ` +
          `${describe(defaults[index])}: another one cannot be expressed here`,
      );
    }
    this.#steps.push({ kind: "activation", activation });
    return input;
  }

  /** The memory, and the normalizer in front of everything. */
  #head(node: Node): Node | undefined {
    const [input] = node.args;
    if (node.op === "squeeze" && node.args[1] === 0 && isNode(input)) return this.#cells(input);
    return this.#normalize(node);
  }

  #cells(node: Node): Node | undefined {
    const [whole, index] = node.args;
    if (node.op !== "item" || index !== 0 || !isNode(whole)) return undefined;
    const [sequence, state, weights, ...options] = whole.args;
    const input = isNode(sequence) && sequence.op === "unsqueeze" ? sequence.args[0] : undefined;
    if (!isNode(sequence) || sequence.args[1] !== 0 || !isFlow(input)) return undefined;
    if (this.#memory !== undefined || !Array.isArray(weights)) return undefined;
    this.#checkOptions(whole, options, weights.length);
    this.#checkState(whole, whole.op === "gru" ? [state ?? null] : state);
    const hasBias = options[0] === true;
    const parts = ["weight_ih", "weight_hh", ...(hasBias ? ["bias_ih", "bias_hh"] : [])];
    const nodes = weights as readonly Value[];
    const [first] = nodes;
    const name = isTensorNode(first) ? this.#name(first, /\.[^.]*(?:\.\d+)?$/, "rnn") : "rnn";
    for (const [at, weight] of nodes.entries()) {
      const key = `${name}.${parts[at % parts.length]}_l${Math.floor(at / parts.length)}`;
      if (!isTensorNode(weight)) throw unsupported(`${node.where}: ${key} is ${describe(weight)}`);
      this.#put(key, weight);
    }
    this.#memory = name;
    this.#steps.push({ kind: "memory", name });
    return input;
  }

  /** `has_biases, num_layers, dropout, train, bidirectional, batch_first` of torch.lstm. */
  #checkOptions(whole: Node, options: readonly Value[], weights: number): void {
    const [hasBias, layers, dropout, training, bidirectional, batchFirst] = options;
    const at = `${whole.where}: ${whole.op}`;
    const perLayer = hasBias === true ? 4 : 2;
    if (typeof layers !== "number" || weights !== layers * perLayer) {
      throw unsupported(`${at} of ${describe(layers)} layers has ${weights} weights`);
    }
    if (bidirectional !== false || batchFirst !== false) {
      throw unsupported(`${at} is bidirectional or batch_first, need a plain one`);
    }
    if (dropout !== 0 && training !== false) {
      throw unsupported(`${at} drops out in training mode, need a module saved after eval()`);
    }
  }

  /** The state must come from buffers, and this step's must go back into the same ones. */
  #checkState(whole: Node, state: Value | undefined): void {
    const buffers = Array.isArray(state) ? (state as readonly Value[]) : [];
    const { writes } = this.#graph;
    const kept = buffers.filter((buffer, index) => {
      const value = isTensorNode(buffer) ? writes.get(buffer) : undefined;
      return value?.op === "item" && value.args[0] === whole && value.args[1] === index + 1;
    });
    if (buffers.length === 0 || kept.length !== buffers.length || writes.size !== kept.length) {
      throw unsupported(
        `${whole.where}: the state of ${whole.op} does not come from buffers that it goes back ` +
          "into, need a policy that keeps its state as those of legged_gym and rsl_rl do",
      );
    }
    for (const buffer of kept.filter(isTensorNode)) {
      if (toFloat32(this.#script.load(buffer.tensor)).every((value) => value === 0)) continue;
      notice(`its saved ${buffer.path} is not zero; an episode starts from zero here`);
    }
  }

  /** (x − mean) / (std + eps) or / sqrt(var + eps), perhaps cut off on both sides. */
  #normalize(node: Node): Node | undefined {
    const limit = this.#limit(node);
    const quotient = limit === undefined ? node : node.args[0];
    if (!isNode(quotient) || quotient.op !== "div" || quotient.args.length !== 2) return undefined;
    const [difference, divisor] = quotient.args;
    if (!isFlow(difference) || difference.op !== "sub" || !isNode(divisor)) return undefined;
    const [input, mean, ...factor] = difference.args;
    const spread = this.#spread(divisor);
    if (!isFlow(input) || !isTensorNode(mean) || spread === undefined) return undefined;
    if (factor.some((value) => value !== 1) || this.#normalizer !== undefined) return undefined;
    this.#put(mean.path, mean);
    this.#put(spread.tensor.path, spread.tensor);
    this.#normalizer = {
      state: this.#state,
      mean: mean.path,
      spread: spread.tensor.path,
      form: spread.form,
      library: "torchscript",
      epsilon: spread.epsilon,
      isInFile: true,
      ...(limit === undefined ? {} : { limit }),
    };
    if (input.op === "observation") return input;
    throw unsupported(`${input.where}: ${input.op} comes before the normalizer`);
  }

  #limit({ op, args }: Node): number | undefined {
    const [, low, high] = args;
    if ((op !== "clamp" && op !== "hardtanh") || typeof high !== "number") return undefined;
    return low === -high && high > 0 ? high : undefined;
  }

  #spread(divisor: Node) {
    if (isTensorNode(divisor)) return { tensor: divisor, form: "std", epsilon: 0 } as const;
    const [inner] = divisor.args;
    const isRoot = divisor.op === "sqrt" && isNode(inner);
    if (isRoot && isTensorNode(inner)) return { tensor: inner, form: "var", epsilon: 0 } as const;
    const sum = isRoot ? inner : divisor;
    const [tensor, added, factor = 1] = sum.args;
    const epsilon = this.#scalar(added);
    if (sum.op !== "add" || !isTensorNode(tensor) || epsilon === undefined || factor !== 1) {
      return undefined;
    }
    return { tensor, form: isRoot ? "var" : "std", epsilon } as const;
  }

  /** A number of the code, or of a tensor without dimensions. */
  #scalar(value: Value | undefined): number | undefined {
    if (typeof value === "number") return value;
    if (!isTensorNode(value) || value.rank !== 0) return undefined;
    return Number(this.#script.load(value.tensor).data[0]);
  }

  /** The module that a weight belongs to; a frozen module has none, and gets a number. */
  #name({ path }: TensorNode, ending: string | RegExp, otherwise: string): string {
    const ends = typeof ending === "string" ? path.endsWith(ending) : ending.test(path);
    const isNamed = ends && !path.startsWith("CONSTANTS.");
    const base = isNamed ? path.replace(ending, "") : otherwise;
    const count = this.#names.get(base) ?? 0;
    this.#names.set(base, count + 1);
    return isNamed && count === 0 ? base : `${base}.${isNamed ? `use${count}` : count}`;
  }

  #put(key: string, { tensor }: TensorNode): void {
    this.#state.set(key, tensor);
  }
}

type TensorNode = Node & { readonly tensor: TorchTensor; readonly path: string };

/** Input, weight and bias (null without) of a Linear, in each way torch has of writing it. */
function linearParts({ op, args }: Node): readonly (Value | undefined)[] {
  const [first, second, third = null] = args;
  const count = args.length;
  if (op === "linear" && count <= 3) return [first, second, third];
  if (op === "addmm" && count === 3) return [second, transposed(third), first];
  if (op === "matmul" && count === 2) return [first, transposed(second), null];
  const isSum = op === "add" && count <= 3 && (third === null || third === 1);
  if (!isSum || !isNode(first) || first.op !== "matmul") return [];
  return [first.args[0], transposed(first.args[1]), second];
}

/** The weight of which `value` is the transpose: [inputs, outputs] seen as [outputs, inputs]. */
function transposed(value: Value | undefined): Value | undefined {
  if (isNode(value) && value.op === "t") return value.args[0];
  if (!isTensorNode(value) || value.rank !== 2) return undefined;
  const { shape, strides } = value.tensor;
  const tensor = { ...value.tensor, shape: shape.toReversed(), strides: strides.toReversed() };
  return { ...value, tensor };
}

function isFlow(value: Value | undefined): value is Node {
  return isNode(value) && value.isFlow;
}

function isTensorNode(value: Value | undefined): value is TensorNode {
  return isNode(value) && value.op === "tensor";
}

/** The class of the whole module, for messages about other layouts. */
export function describeScript(root: unknown): string | undefined {
  if ((root as Partial<ScriptRoot> | null)?.kind !== "torchscript") return undefined;
  return `a TorchScript module of ${quote((root as ScriptRoot).script.module.className)}`;
}
