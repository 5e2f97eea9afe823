/**
 * TorchScript policies for tests: modules with the code that torch prints for them.
 */

import { type Code, list } from "../../formats/pickle_fixture.ts";
import { tensorCode } from "../../formats/torch_fixture.ts";
import {
  type ScriptArchive,
  type ScriptParts,
  type ScriptTensor,
  tensorList,
  writeTorchScript,
} from "../../formats/torch_script_fixture.ts";

/** Numbers 0, 0.5, 1, … of a shape. */
export function tensor(...shape: number[]): ScriptTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return { shape, values: Float32Array.from({ length: count }, (_, i) => i / 2) };
}

/** A Linear of the tree. */
export const linear = (inputs: number, outputs: number): ScriptParts => ({
  className: "torch.nn.modules.linear.Linear",
  attributes: { weight: tensor(outputs, inputs), bias: tensor(outputs) },
});
const LINEAR = `class Linear(Module):
  weight : Tensor
  bias : Tensor
  def forward(self: __torch__.torch.nn.modules.linear.Linear,
    input: Tensor) -> Tensor:
    weight = self.weight
    bias = self.bias
    return torch.linear(input, weight, bias)
`;
const FUNCTIONAL = `def elu(input: Tensor,
    alpha: float=1.,
    inplace: bool=False) -> Tensor:
  if inplace:
    result = torch.elu_(input, alpha)
  else:
    result = torch.elu(input, alpha)
  return result
def dropout(input: Tensor, p: float, training: bool) -> Tensor:
  if torch.__or__(torch.lt(p, 0.), torch.gt(p, 1.)):
    ops.prim.RaiseException("no probability")
  else:
    pass
  return torch.dropout(input, p, training)
`;
const CODE = { "torch/nn/modules/linear.py": LINEAR, "torch/nn/functional.py": FUNCTIONAL };

/** A policy with layers `a` [3 → 2] and `b` [2 → 1] whose forward has these lines. */
export function policy(lines: readonly string[], more: Partial<ScriptArchive> = {}): Uint8Array {
  const attributes = { a: linear(3, 2), b: linear(2, 1), ...more.module?.attributes };
  const body = lines.map((line) => `    ${line}\n`).join("");
  return writeTorchScript({
    ...more,
    module: { className: "Policy", attributes },
    code: {
      "": `class Policy(Module):\n  def forward(self: X,\n    x: Tensor) -> Tensor:\n${body}`,
      ...CODE,
      ...more.code,
    },
  });
}

/** Buffers of a state and an LSTM (4 gates) or GRU (3), [3 → 2], as `rnn` of a policy. */
export function memory(gates: number, hidden = 0): Partial<ScriptArchive> {
  const weights = [[gates * 2, 3], [gates * 2, 2], [gates * 2], [gates * 2]];
  const codes: Code[] = weights.map((shape, i) => tensorCode({ key: `${i + 6}`, shape }));
  const names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map((name) => `${name}_l0`);
  const state = { shape: [1, 1, 2], values: new Float32Array(2).fill(hidden) };
  const attributes = {
    hidden_state: state,
    cell_state: state,
    rnn: {
      className: "torch.nn.modules.rnn.LSTM",
      attributes: {
        ...Object.fromEntries(names.map((name, i) => [name, tensor(...(weights[i] ?? []))])),
        flat: tensorList(list(...codes)),
      },
    },
  };
  return { module: { className: "Policy", attributes } };
}
