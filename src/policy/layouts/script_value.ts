/**
 * What an expression of TorchScript code comes to while it is followed: tensors as nodes of a
 * graph, modules, plain values, and what is not followed any further.
 */

import { FormatError, quote } from "../../base/errors.ts";
import type { ScriptModule } from "../../formats/torch_script.ts";
import type { TorchTensor } from "../../formats/torch_tensor.ts";

/** A tensor: the observation, one of the file's, or what an operation makes of others. */
export interface Node {
  readonly kind: "node";
  /** `observation`, `tensor`, `item` of a result with several, or the name after `torch.`. */
  readonly op: string;
  readonly args: readonly Value[];
  /** Number of dimensions. */
  readonly rank: number;
  /** Whether the observation went into it. */
  readonly isFlow: boolean;
  /** File and line, for messages. */
  readonly where: string;
  /** Of `tensor`: the tensor, and its name in the tree of modules. */
  readonly tensor?: TorchTensor;
  readonly path?: string;
}

/** Something that is not followed: a size, a text, a tensor made on the spot. */
export interface Unknown {
  readonly kind: "unknown";
  readonly what: string;
}

/** `torch.elu`, `__torch__.torch.nn.functional.elu`, `getattr`. */
export interface Callable {
  readonly kind: "callable";
  readonly name: string;
}

export interface ModuleValue {
  readonly kind: "module_value";
  readonly module: ScriptModule;
  /** In the tree: `actor.0`; empty for the whole. */
  readonly path: string;
}

export type Value =
  null | boolean | number | string | Node | Unknown | Callable | ModuleValue | readonly Value[];

export function isNode(value: Value | undefined): value is Node {
  return kindOf(value) === "node";
}

/** What a value is, for messages. */
export function describe(value: Value | undefined): string {
  if (isNode(value)) return value.path === undefined ? `what ${value.op} gives` : quote(value.path);
  if (Array.isArray(value)) return `${value.length} values`;
  if (typeof value === "object" && value !== null && "what" in value) return value.what;
  return typeof value === "object" && value !== null ? `a ${kindOf(value)}` : String(value);
}

export function unsupported(message: string): FormatError {
  return new FormatError(message, "UNSUPPORTED");
}

export function asList(value: Value): readonly Value[] | undefined {
  return Array.isArray(value) ? (value as readonly Value[]) : undefined;
}

export function kindOf(value: Value | undefined): string | undefined {
  if (typeof value !== "object" || value === null || !("kind" in value)) return undefined;
  return value.kind;
}
