/**
 * Layers as a user names them: the ONNX value that a layer gives, its node, the activation behind
 * it, or the checkpoint's own name of it (`actor.0` of `actor.0.weight`).
 */

import { Lite3Error, quote } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { Layer } from "./candidate.ts";

const PRODUCTS: ReadonlySet<string> = new Set(["Gemm", "MatMul"]);
/** The end of a weight's name, in torch and therefore in ONNX. */
const WEIGHT = ".weight";

/** Names → outputs of layers, in the graph's order. Refuses unknown names, listing those there are. */
export function findLayers(
  model: OnnxModel,
  layers: readonly Layer[],
  names: readonly string[],
): string[] {
  const known = layers.map(({ output }) => ({ output, names: namesOf(model, output) }));
  const unknown = names.filter((name) => !known.some((layer) => layer.names.has(name)));
  if (unknown.length > 0) {
    const there = known.map((layer) => [...layer.names].slice(0, 2).map(quote).join(" or "));
    throw new Lite3Error(
      "CONFIG",
      `--layers names ${unknown.map(quote).join(", ")}, which the model has not: its layers are ` +
        (there.join(", ") || "none"),
    );
  }
  const chosen = known.filter((layer) => names.some((name) => layer.names.has(name)));
  if (chosen.length === 0 || chosen.length === layers.length) {
    const [all, precision] = chosen.length === 0 ? ["no layer", "w8a8"] : ["every layer", "fp16"];
    throw new Lite3Error(
      "USAGE",
      `--layers leaves ${all} in float16: that is --precision ${precision}`,
    );
  }
  return chosen.map(({ output }) => output);
}

/** The checkpoint's name first, then every value and node from the product to its activation. */
function namesOf({ graph }: OnnxModel, output: string): Set<string> {
  const nodes = graph.node ?? [];
  const weights = new Set(graph.initializer?.map(({ name = "" }) => name));
  const producers = new Map(nodes.flatMap((node) => (node.output ?? []).map((o) => [o, node])));
  const names = [output];
  const stems: string[] = [];
  for (let node = producers.get(output); node !== undefined;) {
    const inputs = node.input ?? [];
    names.push(...(node.output ?? []), node.name ?? "");
    stems.push(...inputs.filter((name) => weights.has(name) && name.endsWith(WEIGHT)));
    if (PRODUCTS.has(node.opType ?? "")) break;
    node = inputs.map((name) => producers.get(name)).find((before) => before !== undefined);
  }
  const own = stems.map((name) => name.slice(0, -WEIGHT.length));
  return new Set([...own, ...names].filter((name) => name !== ""));
}
