/**
 * Layers as a user names them: the ONNX value that a layer gives, its node, the activation behind
 * it, or the checkpoint's own name of it (`actor.0` of `actor.0.weight`).
 */

import { Lite3Error, quote } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { Layer } from "./candidate.ts";

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

/** The shortest first. */
function namesOf({ graph }: OnnxModel, output: string): Set<string> {
  const nodes = graph.node ?? [];
  const weights = new Set(graph.initializer?.map(({ name = "" }) => name));
  const own = nodes.find((node) => node.output?.includes(output));
  const behind = nodes.filter(
    ({ input, output: results }) => input?.[0] === output && results?.length === 1,
  );
  const product = nodes.find(
    (node) => node === own || own?.input?.some((name) => node.output?.includes(name)),
  );
  const stems = (product?.input ?? []).flatMap((name) =>
    weights.has(name) && name.endsWith(".weight") ? [name.slice(0, -".weight".length)] : [],
  );
  const names = [own, ...behind].flatMap((node) => [node?.name ?? "", ...(node?.output ?? [])]);
  return new Set([...stems, output, ...names].filter((name) => name !== ""));
}
