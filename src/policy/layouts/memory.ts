/**
 * `nn.LSTM` and `nn.GRU` from a state dict: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`,
 * `bias_hh_l0` and so on, one set per stacked layer.
 */

import { FormatError, quote } from "../../base/errors.ts";
import type { TorchFile } from "../../formats/torch.ts";
import { type CellKind, GATES, type RecurrentCell, type RecurrentLayer } from "../recurrent.ts";
import { readTensor, type StateDict } from "./state_dict.ts";

/** Reads the stack under `prefix`; the number of rows tells an LSTM (4 gates) from a GRU (3). */
export function readMemory(file: TorchFile, state: StateDict, prefix: string): RecurrentLayer {
  const [rows = 0, hidden = 0] = state.get(`${prefix}.weight_hh_l0`)?.shape ?? [];
  const cell = (["lstm", "gru"] as const).find((kind) => rows === GATES[kind] * hidden);
  const inputs = state.get(`${prefix}.weight_ih_l0`)?.shape[1] ?? 0;
  if (cell === undefined || hidden === 0 || inputs === 0) {
    throw new FormatError(
      `${quote(`${prefix}.weight_hh_l0`)} has shape [${rows}, ${hidden}] for ${inputs} inputs, ` +
        "need [4·H, H] of an LSTM or [3·H, H] of a GRU",
      "UNSUPPORTED",
    );
  }
  refuseVariants(state, prefix);
  const isBiasless = ![...state.keys()].some((key) => key.startsWith(`${prefix}.bias_`));
  const stack: RecurrentCell[] = [];
  while (state.has(`${prefix}.weight_ih_l${stack.length}`)) {
    stack.push(readCell(file, state, prefix, { cell, hidden, index: stack.length, isBiasless }));
  }
  return { kind: "recurrent", cell, name: prefix, hidden, stack };
}

function readCell(
  file: TorchFile,
  state: StateDict,
  prefix: string,
  form: { cell: CellKind; hidden: number; index: number; isBiasless: boolean },
): RecurrentCell {
  const { cell, hidden, index, isBiasless } = form;
  const rows = GATES[cell] * hidden;
  const key = (part: string): string => `${prefix}.${part}_l${index}`;
  const inputs = index === 0 ? (state.get(key("weight_ih"))?.shape[1] ?? 0) : hidden;
  const bias = (part: string): Float32Array =>
    isBiasless ? new Float32Array(rows) : readTensor(file, state, key(part), [rows]);
  return {
    inputs,
    weightIh: readTensor(file, state, key("weight_ih"), [rows, inputs]),
    weightHh: readTensor(file, state, key("weight_hh"), [rows, hidden]),
    biasIh: bias("bias_ih"),
    biasHh: bias("bias_hh"),
  };
}

function refuseVariants(state: StateDict, prefix: string): void {
  for (const key of state.keys()) {
    if (!key.startsWith(`${prefix}.`)) continue;
    if (/_reverse$|weight_hr_l/.test(key)) {
      throw new FormatError(
        `${quote(key)} belongs to a bidirectional or projected recurrent layer, ` +
          "need a plain LSTM or GRU",
        "UNSUPPORTED",
      );
    }
  }
}
