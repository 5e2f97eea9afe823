/**
 * Stacked LSTM and GRU as torch stores them, evaluated in double precision one step at a time.
 *
 * Gate order in the rows of the weights (torch.nn.LSTM, torch.nn.GRU): LSTM input, forget, cell,
 * output; GRU reset, update, new.
 */

import { assert, present } from "../base/assert.ts";

export type CellKind = "lstm" | "gru";

export const GATES: Readonly<Record<CellKind, number>> = { lstm: 4, gru: 3 };

export interface RecurrentCell {
  readonly inputs: number;
  /** Shape [gates · hidden, inputs]. */
  readonly weightIh: Float32Array;
  /** Shape [gates · hidden, hidden]. */
  readonly weightHh: Float32Array;
  /** Shape [gates · hidden] each. */
  readonly biasIh: Float32Array;
  readonly biasHh: Float32Array;
}

export interface RecurrentLayer {
  readonly kind: "recurrent";
  readonly cell: CellKind;
  /** Name in the checkpoint, for the ONNX initializers. */
  readonly name: string;
  readonly hidden: number;
  /** One cell per stacked layer, each fed by the one before. */
  readonly stack: readonly RecurrentCell[];
}

/** h, and c for an LSTM: shape [layers, hidden] each; zero at the start of an episode. */
export interface RecurrentState {
  readonly h: Float64Array;
  readonly c: Float64Array;
}

export function createRecurrentState(layer: RecurrentLayer): RecurrentState {
  const size = layer.stack.length * layer.hidden;
  return { h: new Float64Array(size), c: new Float64Array(layer.cell === "lstm" ? size : 0) };
}

/** One step: returns the last layer's h, shape [hidden], and advances `state`. */
export function applyRecurrent(
  layer: RecurrentLayer,
  input: Float64Array,
  state: RecurrentState,
): Float64Array<ArrayBuffer> {
  const { hidden } = layer;
  let value = Float64Array.from(input);
  for (const [index, cell] of layer.stack.entries()) {
    assert(value.length === cell.inputs, "recurrent input has the wrong width");
    const h = state.h.subarray(index * hidden, (index + 1) * hidden);
    const c = state.c.subarray(index * hidden, (index + 1) * hidden);
    const fromInput = gates(cell.weightIh, cell.biasIh, value);
    const fromState = gates(cell.weightHh, cell.biasHh, h);
    if (layer.cell === "lstm") stepLstm(fromInput, fromState, h, c);
    else stepGru(fromInput, fromState, h);
    value = Float64Array.from(h);
  }
  return value;
}

function stepLstm(x: Float64Array, y: Float64Array, h: Float64Array, c: Float64Array): void {
  const size = h.length;
  const gate = (index: number, unit: number): number =>
    present(x[index * size + unit]) + present(y[index * size + unit]);
  for (let unit = 0; unit < size; unit++) {
    const kept = sigmoid(gate(1, unit)) * present(c[unit]);
    const cell = kept + sigmoid(gate(0, unit)) * Math.tanh(gate(2, unit));
    c[unit] = cell;
    h[unit] = sigmoid(gate(3, unit)) * Math.tanh(cell);
  }
}

function stepGru(x: Float64Array, y: Float64Array, h: Float64Array): void {
  const size = h.length;
  for (let unit = 0; unit < size; unit++) {
    const reset = sigmoid(present(x[unit]) + present(y[unit]));
    const update = sigmoid(present(x[size + unit]) + present(y[size + unit]));
    const fresh = Math.tanh(present(x[2 * size + unit]) + reset * present(y[2 * size + unit]));
    h[unit] = (1 - update) * fresh + update * present(h[unit]);
  }
}

function gates(weight: Float32Array, bias: Float32Array, input: Float64Array): Float64Array {
  const width = input.length;
  return Float64Array.from(bias, (start, row) => {
    let sum = start;
    for (let i = 0; i < width; i++) sum += present(weight[row * width + i]) * present(input[i]);
    return sum;
  });
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
