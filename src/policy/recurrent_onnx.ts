/**
 * LSTM and GRU as ONNX nodes, one step per run, with the state as explicit inputs and outputs:
 * `h_in`, `h_out` and for an LSTM `c_in`, `c_out`, shape [layers, batch, hidden].
 *
 * ONNX orders the gates otherwise than torch: LSTM input, output, forget, cell; GRU update, reset,
 * hidden, with `linear_before_reset` as torch computes it.
 */

import { present } from "../base/assert.ts";
import { makeValueInfo, type OnnxValueInfo } from "../formats/onnx.ts";
import type { Graph } from "./graph.ts";
import { type CellKind, GATES, type RecurrentLayer } from "./recurrent.ts";

/** Torch's gate for each of ONNX's, in ONNX's order. */
const ORDER: Readonly<Record<CellKind, readonly number[]>> = { lstm: [0, 3, 1, 2], gru: [1, 0, 2] };

/** Names of the state's tensors: `h`, and `c` for an LSTM. */
export function stateNames(cell: CellKind): readonly string[] {
  return cell === "lstm" ? ["h", "c"] : ["h"];
}

export interface StateInfo {
  readonly inputs: OnnxValueInfo[];
  readonly outputs: OnnxValueInfo[];
}

/** The state's inputs and outputs of the model. */
export function stateInfo(layer: RecurrentLayer, batch: number | string): StateInfo {
  const shape = [layer.stack.length, batch, layer.hidden];
  const info = (suffix: string): OnnxValueInfo[] =>
    stateNames(layer.cell).map((name) => makeValueInfo(`${name}_${suffix}`, shape));
  return { inputs: info("in"), outputs: info("out") };
}

/** Adds the stack: `graph.value` [batch, inputs] becomes [batch, hidden]. */
export function addRecurrent(graph: Graph, layer: RecurrentLayer): void {
  const { name, cell, hidden, stack } = layer;
  const names = stateNames(cell);
  const axis = graph.integers(`${name}.axis`, [0]);
  graph.node(`${name}.step`, "Unsqueeze", [graph.value, axis]);
  const direction = graph.integers(`${name}.direction`, [1]);
  const results: string[][] = names.map(() => []);
  for (const [index, parts] of stack.entries()) {
    const at = `${name}.l${index}`;
    const weight = graph.constant(
      `${at}.W`,
      [1, GATES[cell] * hidden, parts.inputs],
      reorder(parts.weightIh, cell),
    );
    const recurrence = graph.constant(
      `${at}.R`,
      [1, GATES[cell] * hidden, hidden],
      reorder(parts.weightHh, cell),
    );
    const bias = graph.constant(
      `${at}.B`,
      [1, 2 * GATES[cell] * hidden],
      Float32Array.of(...reorder(parts.biasIh, cell), ...reorder(parts.biasHh, cell)),
    );
    const before = names.map((state) => layerState(graph, layer, `${state}_in`, index));
    const outputs = names.map((state) => `${at}.${state}`);
    graph.node(at, cell.toUpperCase(), [graph.value, weight, recurrence, bias, "", ...before], {
      attributes: { hidden_size: hidden, ...(cell === "gru" ? { linear_before_reset: 1 } : {}) },
      outputs: [`${at}.sequence`, ...outputs],
    });
    // Without its direction, the sequence [1, 1, batch, hidden] is what the next layer takes. The
    // last state has the same values, but the RKNN toolkit needs the sequence to be used.
    graph.node(`${at}.sequence`, "Squeeze", [`${at}.sequence`, direction]);
    outputs.forEach((output, i) => present(results[i]).push(output));
  }
  graph.node(`${name}.last`, "Squeeze", [graph.value, axis]);
  const last = graph.value;
  names.forEach((state, i) => {
    const options = { attributes: { axis: 0 }, outputs: [`${state}_out`] };
    graph.node(`${name}.${state}`, "Concat", present(results[i]), options);
  });
  graph.value = last;
}

/** The part of `h_in` or `c_in` that belongs to one layer, [1, batch, hidden]. */
function layerState(graph: Graph, layer: RecurrentLayer, input: string, index: number): string {
  if (layer.stack.length === 1) return input;
  const before = graph.value;
  const at = `${layer.name}.l${index}.${input}`;
  graph.node(at, "Slice", [
    input,
    graph.integers(`${at}.start`, [index]),
    graph.integers(`${at}.end`, [index + 1]),
    graph.integers(`${at}.axis`, [0]),
  ]);
  const sliced = graph.value;
  graph.value = before;
  return sliced;
}

/** Rows of torch's gates in ONNX's order; works for weights and for biases. */
function reorder(rows: Float32Array, cell: CellKind): Float32Array {
  const size = rows.length / GATES[cell];
  const reordered = new Float32Array(rows.length);
  ORDER[cell].forEach((gate, i) => {
    reordered.set(rows.subarray(gate * size, (gate + 1) * size), i * size);
  });
  return reordered;
}
