/**
 * Joins what the toolkit cut: a float16 layer with too many inputs for the NPU's memory (some 1500
 * and more) is a Split and one product per part, whose sums are added up one by one; the first
 * part, which is the last to run, has the bias. Found in files of toolkit 2.5.0.
 */

import type { RknnGraph, RknnOperator } from "../formats/rknn_graph.ts";
import { decodeMatrix, type RknnMatrix } from "../formats/rknn_weights.ts";

/** A layer in parts: the operator that it would be in one, and its whole weight. */
export interface TiledLayer {
  readonly operator: RknnOperator;
  readonly matrix: RknnMatrix;
}

/** The graph with such layers in one, and their weights. */
export function joinTiles(graph: RknnGraph): {
  readonly graph: RknnGraph;
  readonly tiled: readonly TiledLayer[];
} {
  const found = graph.operators.flatMap((last) => findTiles(graph, last) ?? []);
  const gone = new Map(
    found.flatMap(({ parts, tiled }) => parts.map((it) => [it, tiled] as const)),
  );
  const operators = graph.operators.flatMap((one) => {
    const tiled = gone.get(one);
    if (tiled === undefined) return one;
    return one.outputs[0] === tiled.operator.outputs[0] ? tiled.operator : [];
  });
  return { graph: { ...graph, operators }, tiled: found.map(({ tiled }) => tiled) };
}

function findTiles({ operators }: RknnGraph, last: RknnOperator) {
  if (last.type !== "ConvAdd" || last.outputs.length !== 1) return undefined;
  const producerOf = (name: string | undefined) =>
    operators.find(({ outputs }) => outputs.some((one) => one.name === name));
  const split = producerOf(last.inputs[0]?.name);
  if (split?.type !== "Split") return undefined;
  const parts: RknnOperator[] = [];
  for (const { name } of split.outputs) {
    const [part, ...more] = operators.filter(({ inputs }) => inputs[0]?.name === name);
    if (part === undefined || more.length > 0) return undefined;
    parts.push(part);
  }
  // Every part but the one that runs first takes the sum so far, and nothing is left over.
  const [first, ...rest] = parts.toReversed();
  let sum = first;
  const isWhole =
    first?.type === "Conv" &&
    rest.every((part) => {
      const takes = part.type === "ConvAdd" && part.inputs.at(-1) === sum?.outputs[0];
      sum = part;
      return takes;
    });
  if (!isWhole || sum !== last || rest.slice(0, -1).some(({ inputs }) => inputs.length > 3)) {
    return undefined;
  }
  const weight = last.inputs[1];
  const matrix = joinColumns(
    parts.flatMap(({ inputs: [, one] }) => (one ? decodeMatrix(one) : [])),
  );
  if (weight === undefined || matrix === undefined) return undefined;
  const bias = last.inputs.length > 3 ? last.inputs.slice(2, 3) : [];
  const inputs = [...split.inputs.slice(0, 1), weight, ...bias];
  const operator: RknnOperator = { ...last, type: "Conv", inputs };
  return { parts: [split, ...parts], tiled: { operator, matrix } };
}

/** Matrices of the same outputs, side by side; only float16 is cut. */
function joinColumns(parts: readonly RknnMatrix[]): RknnMatrix | undefined {
  const [first] = parts;
  if (first === undefined) return undefined;
  const { outputs, dtype, offset } = first;
  if (parts.some((one) => one.outputs !== outputs || one.dtype !== "float16")) return undefined;
  const inputs = parts.reduce((sum, part) => sum + part.inputs, 0);
  const values = new Float32Array(outputs * inputs);
  const starts: number[] = [];
  let start = 0;
  for (const part of parts) {
    starts.push(start);
    for (let row = 0; row < outputs; row++) {
      const own = part.values.subarray(row * part.inputs, (row + 1) * part.inputs);
      values.set(own, row * inputs + start);
    }
    start += part.inputs;
  }
  const offsetOf = (output: number, input: number): number => {
    const at = starts.findLastIndex((one) => one <= input);
    return parts[at]?.offsetOf(output, input - (starts[at] ?? 0)) ?? offset;
  };
  return { dtype, outputs, inputs, values, offset, offsetOf };
}
