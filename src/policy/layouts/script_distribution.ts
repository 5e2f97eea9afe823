/**
 * What rsl_rl's exporters put behind the last layer of a stochastic policy, whose output is
 * reshaped to [2, actions]: the first half (the mean of a Gaussian), or the mean of a Beta
 * stretched to its range (rsl_rl/modules/distribution.py).
 */

import { isNode, type Node, type Value } from "./script_value.ts";

/** The 2·actions wide tensor of which `node` is the first half, or undefined. */
export function matchFirstHalf(node: Node): Node | undefined {
  const [halves, dimension, index] = node.args;
  return node.op === "select" && isBeforeLast(dimension, halves) && index === 0
    ? wholeOf(halves)
    : undefined;
}

/** a / (a + b) · scale + offset with a, b = softplus(half) + 1; `scalar` reads constants. */
export function matchBeta(
  output: Node,
  scalar: (value: Value | undefined) => number | undefined,
): { readonly parameters: Node; readonly low: number; readonly high: number } | undefined {
  const [scaled, shift] = operands(output, "add");
  const [share, factor] = operands(scaled, "mul");
  const [a, sum] = operands(share, "div");
  const [left, b] = operands(sum, "add");
  const [scale, offset] = [scalar(factor), scalar(shift)];
  if (left !== a || scale === undefined || offset === undefined) return undefined;
  const halves = halfOf(a, 0, scalar);
  const parameters = wholeOf(halves);
  if (parameters === undefined || halves === undefined || halfOf(b, 1, scalar) !== halves)
    return undefined;
  return { parameters, low: offset, high: offset + scale };
}

/** `softplus(halves[index]) + 1`: the halves. */
function halfOf(
  value: Value | undefined,
  index: number,
  scalar: (value: Value | undefined) => number | undefined,
): Node | undefined {
  const [raised, one] = operands(value, "add");
  if (!isNode(raised) || raised.op !== "softplus" || scalar(one) !== 1) return undefined;
  if (raised.args.slice(1).some((constant, i) => scalar(constant) !== [1, 20][i])) return undefined;
  const [item] = raised.args;
  const [unbound, at] = operands(item, "item");
  const [halves, dimension] = operands(unbound, "unbind");
  return at === index && isNode(halves) && isBeforeLast(dimension, halves) ? halves : undefined;
}

/** What was reshaped to [2, actions]. */
function wholeOf(halves: Value | undefined): Node | undefined {
  if (!isNode(halves) || halves.op !== "unflatten" || halves.rank !== 3) return undefined;
  const [whole, dimension, sizes] = halves.args;
  const isLast = dimension === -1 || dimension === 1;
  const isHalved = Array.isArray(sizes) && sizes.length === 2 && sizes[0] === 2;
  return isLast && isHalved && isNode(whole) ? whole : undefined;
}

function isBeforeLast(dimension: Value | undefined, value: Value | undefined): boolean {
  return isNode(value) && (dimension === -2 || dimension === value.rank - 2);
}

function operands(value: Value | undefined, op: string): readonly Value[] {
  return isNode(value) && value.op === op && value.args.length === 2 ? value.args : [];
}
