/**
 * Where inside of two networks does the error start? The values that both have by the same name,
 * layer by layer, each network going on with its own.
 */

import { present } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";
import { describeErrors } from "../compare/statistics.ts";
import type { Observations } from "../dataset/observations.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { Bisection } from "../report/parity_document.ts";
import { runWithInnerValues } from "../runtime/inner_values.ts";
import { npuForm } from "../runtime/npu_form.ts";
import { keptName } from "../runtime/npu_numbers.ts";
import { policyShape } from "../runtime/policy_shape.ts";
import type { Side } from "./sides.ts";

/** Samples that are taken, the first ones: a mean needs no more, and all values are held. */
const SAMPLES_MAX = 1024;

const RECURRENT: ReadonlySet<string> = new Set(["LSTM", "GRU", "RNN"]);

/**
 * Compares the values of each layer. Throws USAGE where a side is no graph of ONNX Runtime, and
 * CHECK_FAILED where the two have no layer in common.
 *
 * @param limit of a layer's MAE, in the unit of its values
 */
export async function bisect(
  sides: readonly [Side, Side],
  { data, rows }: Observations,
  limit: number,
): Promise<Bisection> {
  const [a, b] = sides.map(({ label, inner }) => {
    if (inner !== undefined) return inner;
    throw new Lite3Error(
      "USAGE",
      `Cannot bisect ${label}: its inner values cannot be asked for, ` +
        "need an .onnx, onnx, emulated, or a .rknn that is emulated",
    );
  }) as [NonNullable<Side["inner"]>, NonNullable<Side["inner"]>];
  // An emulation has the names of its model and more, so the layers are those of the model.
  const [layers = []] = [a, b]
    .map(({ graph }) => commonLayers(layersOf(graph), a.graph, b.graph))
    .toSorted((one, other) => other.length - one.length);
  if (layers.length < 2) {
    throw new Lite3Error(
      "CHECK_FAILED",
      `Cannot bisect ${sides[0].label} and ${sides[1].label}: they have no layer by the same ` +
        "name, need two forms of one ONNX",
    );
  }
  const samples = Math.min(rows, SAMPLES_MAX);
  const observations = data.subarray(0, samples * sides[0].observationSize);
  const valuesA = await innerValues(a, observations, new Set(layers.map(({ inA }) => inA)));
  const valuesB = await innerValues(b, observations, new Set(layers.map(({ inB }) => inB)));
  const errors = layers.map(({ name, op, inA, inB }) => {
    const [x, y] = [present(valuesA.get(inA)), present(valuesB.get(inB))];
    const { mae, max, sqnrDb } = describeErrors(
      x,
      y,
      Float64Array.from(x, (value, i) => Math.abs(value - present(y[i]))),
    );
    return { name, op, mae, max, sqnrDb };
  });
  const first = errors.find(({ mae }) => !(mae <= limit))?.name ?? null;
  return { samples, limit, first, layers: errors };
}

interface Layer {
  readonly name: string;
  readonly op: string;
}

function commonLayers(layers: readonly Layer[], a: OnnxModel, b: OnnxModel) {
  return layers.flatMap(({ name, op }) => {
    const [inA, inB] = [keptName(a, name), keptName(b, name)];
    return inA === undefined || inB === undefined ? [] : [{ name, op, inA, inB }];
  });
}

/** What each layer gives, recurrent cells among them, and the action; in the graph's order. */
function layersOf(graph: OnnxModel): Layer[] {
  const { model, layers } = npuForm(graph);
  const ops = new Map(layers.map(({ output, op }) => [output, op]));
  const { output } = policyShape(graph);
  return (model.graph.node ?? []).flatMap(({ opType = "", output: names = [] }) => {
    const name = names.find((one) => one !== "") ?? "";
    const op = RECURRENT.has(opType) ? opType : ops.get(name);
    if (op !== undefined) return [{ name, op }];
    return name === output.name ? [{ name, op: opType }] : [];
  });
}

async function innerValues(
  { graph, input }: NonNullable<Side["inner"]>,
  observations: Float32Array,
  names: ReadonlySet<string>,
): Promise<ReadonlyMap<string, Float32Array>> {
  const chunks = new Map<string, Float32Array[]>([...names].map((name) => [name, []]));
  await runWithInnerValues(graph, input(observations), [...names], (name, values) => {
    present(chunks.get(name)).push(values.slice());
  });
  return new Map([...chunks].map(([name, parts]) => [name, joined(parts)]));
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
