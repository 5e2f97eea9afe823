/**
 * A multi-layer perceptron on the CPU by our own kernel: synchronous, without allocation, and the
 * same bits on every machine, for one row or many. ONNX Runtime needs 30 µs for the call alone.
 */

import { assert } from "../base/assert.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { Backend } from "./backend.ts";
import { HALF_PANEL, type Kernel, openKernel, PANEL } from "./mlp_kernel/kernel.ts";
import { type DenseStep, type MlpPlan, type Operand, planMlp, type Step } from "./mlp_plan.ts";
import { policyShape } from "./policy_shape.ts";

/** Rows that go through the network together, by `dense4` of the kernel. */
const BLOCK = 4;
const FLOAT_BYTES = 4;
const PAGE_BYTES = 65_536;

/** Opens a model. Throws FormatError (UNSUPPORTED) for a graph that does not fit, saying why. */
export function openMlp(model: OnnxModel): Backend {
  const shape = policyShape(model);
  const { observationSize, actionSize } = shape;
  let program: Program | undefined = placeMlp(planMlp(model, shape));
  return {
    name: "mlp",
    arithmetic: "cpu",
    subject: "file",
    inputs: Object.freeze([shape.input]),
    outputs: Object.freeze([shape.output]),
    observationSize,
    actionSize,
    createState: () => ({ tensors: [] }),
    infer(observation, action, state, rows) {
      assert(program !== undefined, "the backend is closed");
      assert(observation.length === rows * observationSize, "observation length");
      assert(action.length === rows * actionSize, "action length");
      assert(state.tensors.length === 0, "a state of another backend");
      for (let row = 0; row < rows; row += BLOCK) {
        runBlock(program, observation, action, row, Math.min(BLOCK, rows - row));
      }
    },
    [Symbol.dispose]: () => void (program = undefined),
  };
}

/** A place of every row of a block: floats from `at`, the next row's `step` further on. */
interface Place {
  readonly at: number;
  readonly step: number;
  readonly width: number;
}

/** Computes what the step gives for that many rows. */
type Run = (rows: number) => void;

interface Program {
  /** The whole memory. */
  readonly floats: Float32Array;
  readonly observation: Place;
  readonly action: Place;
  readonly runs: readonly Run[];
}

function runBlock(
  { floats, observation: from, action: to, runs }: Program,
  observation: Float32Array,
  action: Float32Array,
  first: number,
  rows: number,
): void {
  for (let row = 0; row < rows; row++) {
    const [at, source] = [from.at + row * from.step, (first + row) * from.width];
    for (let i = 0; i < from.width; i++) floats[at + i] = observation[source + i] as number;
  }
  for (let i = 0; i < runs.length; i++) (runs[i] as Run)(rows);
  for (let row = 0; row < rows; row++) {
    const [at, target] = [to.at + row * to.step, (first + row) * to.width];
    for (let i = 0; i < to.width; i++) action[target + i] = floats[at + i] as number;
  }
}

/** Puts buffers, constants and weights into a memory, and ties the steps to their places. */
function placeMlp(plan: MlpPlan): Program {
  const arena = createArena();
  const kernel = openKernel(arena.memory);
  const buffers = plan.widths.map((width) => {
    const step = padded(width);
    return { at: arena.take(BLOCK * step), step };
  });
  const place = (operand: Operand): Place => {
    if (operand instanceof Float32Array) {
      return { at: arena.put(operand), step: 0, width: operand.length };
    }
    const { at, step } = buffers[operand.buffer] as { at: number; step: number };
    return { at: at + operand.from, step, width: operand.width };
  };
  const runs = plan.steps.map((step) => tie(kernel, arena, place, step));
  const observation = place({ buffer: 0, from: 0, width: plan.widths[0] ?? 0 });
  // A last part of a split may be read beyond its end, in whole groups.
  arena.take(HALF_PANEL);
  const floats = new Float32Array(arena.memory.buffer);
  return { floats, observation, action: place(plan.action), runs };
}

const padded = (width: number): number => Math.ceil(width / HALF_PANEL) * HALF_PANEL;

interface Arena {
  readonly memory: WebAssembly.Memory;
  /** Zeros; returns the index of the first float. */
  take(floats: number): number;
  /** The values, padded with zeros. */
  put(values: Float32Array): number;
}

function createArena(): Arena {
  const memory = new WebAssembly.Memory({ initial: 1 });
  let top = 0;
  const take = (floats: number): number => {
    const at = top;
    top += padded(floats);
    const missing = top * FLOAT_BYTES - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
    return at;
  };
  const put = (values: Float32Array): number => {
    const at = take(values.length);
    new Float32Array(memory.buffer, at * FLOAT_BYTES, values.length).set(values);
    return at;
  };
  return { memory, take, put };
}

type Placing = (operand: Operand) => Place;

function tie(kernel: Kernel, arena: Arena, place: Placing, step: Step): Run {
  const y = inBytes(place(step.y));
  switch (step.kind) {
    case "dense":
      return tieDense(kernel, arena, inBytes(place(step.x)), y, step);
    case "map": {
      const { a, b } = step;
      const x = inBytes(place(step.x));
      const run = kernel[step.op];
      return (rows) => {
        for (let row = 0; row < rows; row++) {
          const to = y.at + row * y.step;
          run(x.at + row * x.step, to, to + y.width, a, b);
        }
      };
    }
    case "combine": {
      const [left, right] = [inBytes(place(step.left)), inBytes(place(step.right))];
      const run = kernel[step.op];
      return (rows) => {
        for (let row = 0; row < rows; row++) {
          const to = y.at + row * y.step;
          run(left.at + row * left.step, right.at + row * right.step, to, to + y.width);
        }
      };
    }
    case "standardize": {
      const x = inBytes(place(step.x));
      const { width } = step.x;
      return (rows) => {
        for (let row = 0; row < rows; row++) {
          kernel.standardize(x.at + row * x.step, y.at + row * y.step, width, step.epsilon);
        }
      };
    }
  }
}

const inBytes = ({ at, step, width }: Place): Place => ({
  at: at * FLOAT_BYTES,
  step: step * FLOAT_BYTES,
  width: width * FLOAT_BYTES,
});

function tieDense(kernel: Kernel, arena: Arena, x: Place, y: Place, step: DenseStep): Run {
  const inputs = step.x.width;
  const outputs = padded(step.y.width);
  const bias = arena.put(step.bias) * FLOAT_BYTES;
  const weights = arena.put(inPanels(step.weight, inputs, step.y.width)) * FLOAT_BYTES;
  return (rows) => {
    let row = 0;
    if (rows === BLOCK) {
      kernel.dense4(x.at, inputs, weights, bias, y.at, outputs, x.step, y.step);
      row = BLOCK;
    }
    for (; row < rows; row++) {
      kernel.dense(x.at + row * x.step, inputs, weights, bias, y.at + row * y.step, outputs);
    }
  };
}

/** [outputs, inputs] → panels of [inputs][32], the last of them 16 wide where that is enough. */
function inPanels(weight: Float32Array, inputs: number, outputs: number): Float32Array {
  const panels = new Float32Array(inputs * padded(outputs));
  for (let first = 0; first < outputs; first += PANEL) {
    const width = Math.min(PANEL, padded(outputs) - first);
    for (let k = 0; k < inputs; k++) {
      const at = first * inputs + k * width;
      for (let n = first; n < Math.min(first + width, outputs); n++) {
        panels[at + n - first] = weight[n * inputs + k] as number;
      }
    }
  }
  return panels;
}
