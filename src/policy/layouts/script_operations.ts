/**
 * The operations of TorchScript that a policy's forward pass is made of: questions about tensors
 * that have an answer here, operations that become nodes of the graph, and writes into buffers.
 * Everything else is refused by name.
 */

import { describe, isNode, type Node, unsupported, type Value } from "./script_value.ts";

/** What following the code keeps of operations that change something. */
export interface Effects {
  /** Buffers with their new values. */
  readonly writes: Map<Node, Node>;
  /** Records that an operation wrote over its argument, and over what that is a view of. */
  overwrite(node: Node): void;
  /** Refuses a value that was overwritten. */
  checkFresh(node: Node, where: string): void;
}

export interface Operation {
  /** `torch.add`. */
  readonly name: string;
  readonly args: readonly Value[];
  readonly keywords: ReadonlyMap<string, Value>;
  readonly where: string;
}

/** Operations that become nodes, by the dimensions of their result against their first argument. */
const RANKS: ReadonlyMap<string, number> = new Map([
  ...["linear", "addmm", "matmul", "t", "layer_norm"].map((name) => [name, 0] as const),
  ...["elu", "relu", "tanh", "sigmoid", "selu", "celu"].map((name) => [name, 0] as const),
  ...["leaky_relu", "softplus", "gelu", "silu", "mish"].map((name) => [name, 0] as const),
  ...["add", "sub", "mul", "div", "sqrt", "clamp", "hardtanh"].map((name) => [name, 0] as const),
  ["unsqueeze", 1],
  ["squeeze", -1],
  ["select", -1],
  ["unbind", 0],
]);

/** Operations that give their argument back as it is. */
const SAME = new Set(["detach", "contiguous", "clone", "alias"]);

/** torch's number of the type, in which all is computed here too (c10/core/ScalarType.h). */
const FLOAT32 = 6;

/** What is asked of sizes, types and texts, all of which a policy asks only to check itself. */
const ASKED =
  /^(?:torch\.(?:size|len|format|tensor|zeros|device|list|warn)|ops\.prim\.(?:dtype|device|NumToTensor|unchecked_unwrap_optional|data)|int|float|bool|str)$/;

const COMPARISONS: ReadonlyMap<string, (a: number, b: number) => boolean> = new Map([
  ["torch.lt", (a, b) => a < b],
  ["torch.gt", (a, b) => a > b],
  ["torch.le", (a, b) => a <= b],
  ["torch.ge", (a, b) => a >= b],
]);

/** The value of one call. Throws UNSUPPORTED for an operation that is not known. */
export function applyOperation(effects: Effects, operation: Operation): Value {
  const { name, args, where } = operation;
  if (name === "ops.prim.RaiseException") {
    throw unsupported(`${where}: forward raises an error (was the module in training mode?)`);
  }
  const answer = answerQuestion(operation);
  if (answer !== undefined) return answer;
  if (ASKED.test(name)) return { kind: "unknown", what: name };
  const [target] = args;
  const plain = /^torch\.(?<plain>\w+)$/.exec(name)?.groups?.plain;
  if (plain === undefined || !isNode(target)) throw unknownOperation(operation);
  if (plain === "copy_") return write(effects, operation, target);
  if (plain === "slice" && isWhole(args)) return target;
  for (const node of nodesIn(args)) effects.checkFresh(node, where);
  if (SAME.has(plain) || (plain === "to" && args[1] === FLOAT32)) return target;
  const inPlace = plain.endsWith("_");
  const made = makeNodes(operation, inPlace ? plain.slice(0, -1) : plain);
  if (inPlace && !target.isFlow) {
    throw unsupported(`${where}: ${name} writes into ${describe(target)}`);
  }
  if (inPlace) effects.overwrite(target);
  return made;
}

function unknownOperation({ name, where }: Operation): Error {
  return unsupported(
    `${where}: ${name} is not understood, need a policy of Linear layers, activations, a ` +
      "normalizer before them and an LSTM or GRU",
  );
}

/** What has an answer without any number of a tensor; undefined if this is no such question. */
function answerQuestion({ name, args }: Operation): Value | undefined {
  const [first, second] = args;
  const unknown: Value = { kind: "unknown", what: name };
  const compare = COMPARISONS.get(name);
  if (compare !== undefined) {
    const isKnown = typeof first === "number" && typeof second === "number";
    return isKnown ? compare(first, second) : unknown;
  }
  switch (name) {
    case "torch.dim":
      return isNode(first) ? first.rank : unknown;
    case "torch.__is__":
      return isSame(first, second) ?? unknown;
    case "torch.__isnot__":
      return negate(isSame(first, second)) ?? unknown;
    case "torch.eq":
      return isPlain(first) && isPlain(second) ? first === second : unknown;
    case "torch.ne":
      return isPlain(first) && isPlain(second) ? first !== second : unknown;
    case "torch.__not__":
      return typeof first === "boolean" ? !first : unknown;
    case "torch.__contains__":
      return Array.isArray(first) && first.every(isPlain) && isPlain(second)
        ? first.includes(second)
        : unknown;
    case "torch.__and__":
    case "torch.__or__":
      return combine(name, first, second) ?? unknown;
    default:
      return undefined;
  }
}

/** `is` is asked of None only. */
function isSame(a: Value | undefined, b: Value | undefined): boolean | undefined {
  const isUnknown = (value: Value | undefined): boolean =>
    typeof value === "object" && value !== null && "what" in value;
  return isUnknown(a) || isUnknown(b) ? undefined : a === b;
}

function negate(value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : !value;
}

function combine(name: string, a: Value | undefined, b: Value | undefined): boolean | undefined {
  const decides = name === "torch.__or__";
  if (a === decides || b === decides) return decides;
  return typeof a === "boolean" && typeof b === "boolean" ? !decides : undefined;
}

/** `buffer[:] = value`, which is how a policy keeps its state. */
function write(effects: Effects, { name, args, where }: Operation, target: Node): Value {
  const [, value] = args;
  if (target.op !== "tensor" || !isNode(value) || !value.isFlow || effects.writes.has(target)) {
    throw unsupported(`${where}: ${name} of ${describe(value)} into ${describe(target)}`);
  }
  effects.checkFresh(value, where);
  effects.writes.set(target, value);
  return target;
}

/** `buffer[:]`, with all that torch up to 1.12 spells out: dimension, start, end, step. */
function isWhole(args: readonly Value[]): boolean {
  const [, , start = 0, end = null, step = 1] = args;
  const isEnd = end === null || (typeof end === "number" && end >= Number.MAX_SAFE_INTEGER);
  return (start === 0 || start === null) && isEnd && step === 1;
}

function makeNodes(operation: Operation, plain: string): Value {
  const { name, args, keywords, where } = operation;
  const [target] = args;
  if (plain === "dropout") return dropout(operation);
  const isFlow = nodesIn([...args, ...keywords.values()]).some((node) => node.isFlow);
  const ranked = rankedBy(plain, args);
  const difference = plain === "unflatten" ? (lengthOf(args[2]) ?? 1) - 1 : RANKS.get(plain);
  if (ranked !== undefined && difference !== undefined) {
    // An argument given by name stands behind those given by place.
    const all = keywords.size === 0 ? args : [...args, ...named(operation, plain)];
    const rank = Math.max(0, ranked.rank + difference);
    return { kind: "node", op: plain, args: all, rank, isFlow, where };
  }
  if (!isNode(target) || (plain !== "lstm" && plain !== "gru")) throw unknownOperation(operation);
  if (keywords.size > 0) throw unsupported(`${where}: ${name} with named arguments`);
  const shared = { kind: "node", rank: 3, isFlow: true, where } as const;
  const whole: Node = { ...shared, op: plain, args };
  const results = plain === "lstm" ? [0, 1, 2] : [0, 1];
  return results.map((index) => Object.assign({ op: "item", args: [whole, index] }, shared));
}

/** The argument that has the dimensions of the result: the larger, if it is one of two. */
function rankedBy(plain: string, args: readonly Value[]): Node | undefined {
  const [first, second] = args;
  if (!isNode(first)) return undefined;
  if (plain === "addmm" && isNode(second)) return second;
  return isNode(second) && second.rank > first.rank && plain !== "linear" ? second : first;
}

/** Named arguments that say what is so without them are dropped; others are refused. */
function named({ name, keywords, where }: Operation, plain: string): Value[] {
  const values: Value[] = [];
  for (const [word, value] of keywords) {
    if ((word === "alpha" || word === "beta") && value === 1) continue;
    if (plain === "gelu" && word === "approximate") values.push(value);
    else throw unsupported(`${where}: ${name} with ${word} ${describe(value)}`);
  }
  return values;
}

function dropout({ args, name, where }: Operation): Value {
  const [target = null, share, training] = args;
  if (training === false || share === 0) return target;
  throw unsupported(`${where}: ${name} in training mode, need a module saved after eval()`);
}

/** The nodes of arguments, also of a list of tensors. */
function nodesIn(values: readonly Value[]): Node[] {
  const flat = values.flatMap((value) => (Array.isArray(value) ? (value as Value[]) : [value]));
  return flat.filter(isNode);
}

function isPlain(value: Value | undefined): value is number | string | boolean | null {
  return value === null || ["number", "string", "boolean"].includes(typeof value);
}

function lengthOf(value: Value | undefined): number | undefined {
  return Array.isArray(value) ? value.length : undefined;
}
