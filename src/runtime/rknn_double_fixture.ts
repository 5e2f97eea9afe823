/**
 * For tests: the test double of librknnrt, compiled, and policies as models of it.
 */

import { buildStub, type Compiler } from "../../scripts/dev/build_double.ts";
import { findTool } from "../../scripts/dev/test_tools.ts";
import { assert, present } from "../base/assert.ts";
import {
  type DoubleLayer,
  type DoubleModel,
  encodeRknnDouble,
  type Rounding,
} from "../formats/rknn_double.ts";
import { evaluate, type Layer, type Network, recurrentLayer } from "../policy/network.ts";
import { type IsolatedOptions } from "./isolated.ts";

/** The double for this machine; only where the tool `cc` is. */
export const doubleLibrary = (): string => buildStub("librknnrt_double.so", nativeCompiler());

export function nativeCompiler(): Compiler {
  return { arch: "native", cc: present(findTool("cc"), "a C compiler") };
}

export function zigCompiler(): Compiler {
  return { arch: "arm64", python: present(findTool("zig"), "ziglang") };
}

/** How to open a model in the double; `faults` without their prefix. */
export function doubleOptions(
  faults: Readonly<Record<string, string | number>> = {},
  more: Partial<IsolatedOptions> = {},
): IsolatedOptions {
  const settings = Object.entries(faults).map(([name, value]) => [
    `LITE3RL_DOUBLE_${name}`,
    String(value),
  ]);
  const env = { LITE3RL_DOUBLE: "1", ...Object.fromEntries(settings), ...more.env };
  return { core: "auto", io: "float", ...more, library: more.library ?? doubleLibrary(), env };
}

const FLOAT16: Rounding = { kind: "float16" };
const NONE: Rounding = { kind: "none" };

/** The network in float16, as `convert` would make it. */
export function doubleOf(network: Network): Uint8Array<ArrayBuffer> {
  return encodeRknnDouble(describeDouble(network, () => FLOAT16));
}

/** The network in int8, with scales from what it computes for the observations [rows, n]. */
export function int8DoubleOf(
  network: Network,
  observations: Float32Array,
): Uint8Array<ArrayBuffer> {
  const values = valuesOf(network, observations);
  return encodeRknnDouble(describeDouble(network, (index) => int8Rounding(present(values[index]))));
}

/** A network that gives back what it gets: what is left is the cost of the calls. */
export function emptyDouble(size: number): Uint8Array<ArrayBuffer> {
  const tensor = (name: string) => ({ name, shape: [1, size], rounding: FLOAT16 });
  return encodeRknnDouble({
    of: "nothing",
    inputs: [tensor("obs")],
    outputs: [tensor("action")],
    layers: [],
  });
}

/** @param roundingOf of the input (0) and of what each dense layer gives (1, 2 …) */
function describeDouble(network: Network, roundingOf: (index: number) => Rounding): DoubleModel {
  const { observationSize, actionSize } = network;
  const memory = recurrentLayer(network);
  const stages = splitStages(network.layers);
  const layers = stages.map((stage, i): DoubleLayer => {
    const result = roundingOf(i + 1);
    // int8 is rounded once, after the activation; float16 before it too.
    const sum = result.kind === "float16" ? result : NONE;
    const round = (weights: Float32Array): Float32Array => roundWeights(weights, result);
    if (stage.first.kind === "linear") {
      const { inputs, outputs, weight, bias } = stage.first;
      const { activation } = stage;
      return {
        kind: "dense",
        inputs,
        outputs,
        activation,
        sum,
        result,
        weight: round(weight),
        bias,
      };
    }
    assert(stage.first.kind === "recurrent" && stage.first.cell === "lstm", "an LSTM");
    const { hidden, stack } = stage.first;
    const [{ inputs, weightIh, weightHh, biasIh, biasHh }, ...deeper] = [
      present(stack[0]),
      ...stack.slice(1),
    ];
    assert(deeper.length === 0, "one layer of LSTM");
    return {
      kind: "lstm",
      inputs,
      outputs: hidden,
      activation: "identity",
      sum,
      result,
      weight: round(weightIh),
      recurrent: round(weightHh),
      bias: biasIh.map((value, gate) => value + present(biasHh[gate])),
    };
  });
  const state = (suffix: string) =>
    memory === undefined
      ? []
      : ["h", "c"].map((name) => ({
          name: `${name}_${suffix}`,
          shape: [1, 1, memory.hidden],
          rounding: FLOAT16,
        }));
  const [obs, action] = [roundingOf(0), roundingOf(stages.length)];
  return {
    of: "a test's policy",
    inputs: [{ name: "obs", shape: [1, observationSize], rounding: obs }, ...state("in")],
    outputs: [{ name: "action", shape: [1, actionSize], rounding: action }, ...state("out")],
    layers,
  };
}

interface Stage {
  readonly first: Layer;
  readonly activation: DoubleLayer["activation"];
}

/** Layers with the activation that follows them. */
function splitStages(layers: readonly Layer[]): Stage[] {
  const stages: Stage[] = [];
  for (const layer of layers) {
    if (layer.kind !== "activation") stages.push({ first: layer, activation: "identity" });
    else
      stages[stages.length - 1] = {
        ...present(stages.at(-1)),
        activation: layer.activation as "elu",
      };
  }
  return stages;
}

function roundWeights(weights: Float32Array, { kind }: Rounding): Float32Array {
  if (kind !== "int8") return weights.map(Math.f16round);
  const largest = weights.reduce((max, w) => Math.max(max, Math.abs(w)), 0);
  const scale = largest / 127;
  return weights.map((w) => Math.round(w / scale) * scale);
}

/** All values of the input and of each stage's result. */
function valuesOf(network: Network, observations: Float32Array): Float64Array[] {
  const size = network.observationSize;
  const rows = Array.from({ length: observations.length / size }, (_, row) =>
    observations.subarray(row * size, (row + 1) * size),
  );
  const ends = network.layers.flatMap((_, i) => {
    const next = network.layers[i + 1];
    return next?.kind === "activation" ? [] : [i + 1];
  });
  return [0, ...ends].map((end) => {
    const part = { ...network, layers: network.layers.slice(0, end) };
    return Float64Array.from(rows.flatMap((row) => Array.from(evaluate(part, row))));
  });
}

function int8Rounding(values: Float64Array): Rounding {
  const [min, max] = values.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [0, 0]);
  const scale = Math.fround((max - min) / 255);
  return { kind: "int8", scale, zeroPoint: Math.round(-128 - min / scale) };
}

/** The program and environment that run the aarch64 double in the aarch64 binary, under qemu. */
export function aarch64Options(qemu: string, binary: string): Partial<IsolatedOptions> {
  return {
    library: buildStub("librknnrt_double.so", zigCompiler()),
    program: process.arch === "arm64" ? [binary] : [qemu, "-L", "/usr/aarch64-linux-gnu", binary],
    limitMs: 20_000,
  };
}
