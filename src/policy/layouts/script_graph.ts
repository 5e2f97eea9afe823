/**
 * The forward pass of a TorchScript module as a graph of named operations.
 *
 * The code is followed, not run: an observation goes in as a symbol, and every operation on it
 * becomes a node. What torch's own code asks on the way (how many dimensions, is there a bias) is
 * answered where it is known; where it is not, a branch that raises is taken for one that a
 * working policy does not take, and anything else is refused. `script_operations.ts` has the
 * operations.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { LIMITS } from "../../base/limits.ts";
import { type TorchScriptFile, asModule } from "../../formats/torch_script.ts";
import type { Expression, Method, Statement } from "../../formats/torch_script_code.ts";
import { isTensor, type TorchTensor, type TorchValue } from "../../formats/torch_tensor.ts";
import { applyOperation, type Effects } from "./script_operations.ts";
import {
  asList,
  type Callable,
  describe,
  isNode,
  kindOf,
  type ModuleValue,
  type Node,
  unsupported,
  type Value,
} from "./script_value.ts";

export interface ScriptGraph {
  readonly output: Node;
  /** Buffers that a step leaves changed, with their new values. */
  readonly writes: ReadonlyMap<Node, Node>;
}

/** Follows `forward` from an observation [1, size]. Throws UNSUPPORTED for what is not known. */
export function traceForward(file: TorchScriptFile): ScriptGraph {
  const tracer = new Tracer(file);
  const root: ModuleValue = { kind: "module_value", module: file.module, path: "" };
  const input: Node = {
    kind: "node",
    op: "observation",
    args: [],
    rank: 2,
    isFlow: true,
    where: "the input of forward",
  };
  const output = tracer.callMethod(root, "forward", [input], new Map());
  if (!isNode(output) || !output.isFlow) {
    throw unsupported(`forward gives ${describe(output)}, need one tensor, the action`);
  }
  tracer.checkFresh(output, output.where);
  return { output, writes: tracer.writes };
}

/** Operations whose result shares its numbers with their argument. */
const VIEWS = new Set(["unsqueeze", "squeeze", "unflatten", "select", "unbind", "item", "t"]);

/** A longer list is none of tensors: an LSTM has four a layer. */
const LIST_MAX = 1_000;

/** Words of the language whose first argument is a type. */
const TYPED = new Set(["annotate", "unchecked_cast", "uninitialized"]);

class Tracer implements Effects {
  readonly file: TorchScriptFile;
  readonly writes = new Map<Node, Node>();
  /** Attributes by their names in the tree, so that the same one is the same value. */
  readonly #wrapped = new Map<string, Value>();
  readonly #overwritten = new Set<Node>();
  #steps = 0;
  #depth = 0;

  constructor(file: TorchScriptFile) {
    this.file = file;
  }

  callMethod(
    self: ModuleValue,
    name: string,
    args: readonly Value[],
    keywords: ReadonlyMap<string, Value>,
  ): Value {
    const { className } = self.module;
    const method = this.file.method(`${className}.${name}`);
    if (method === undefined) {
      const at = self.path === "" ? "" : ` (${quote(self.path)})`;
      throw unsupported(`there is no code of ${className}.${name}${at}`);
    }
    return this.#run(method, [self, ...args], keywords);
  }

  #run(method: Method, args: readonly Value[], keywords: ReadonlyMap<string, Value>): Value {
    if (this.#depth >= LIMITS.codeDepth) {
      throw new FormatError(`calls are nested deeper than ${LIMITS.codeDepth}`, "TOO_LARGE");
    }
    const scope = new Map<string, Value>();
    for (const [index, { name, value }] of method.parameters.entries()) {
      const given = args[index] ?? keywords.get(name);
      if (given !== undefined) scope.set(name, given);
      else if (index < args.length) scope.set(name, null);
      else if (value !== undefined) scope.set(name, this.#evaluate(method, scope, value));
    }
    this.#depth++;
    const result = this.#block(method, scope, method.body);
    this.#depth--;
    return result ?? null;
  }

  /** Undefined when the block ends without a return. */
  #block(
    method: Method,
    scope: Map<string, Value>,
    statements: readonly Statement[],
  ): Value | undefined {
    for (const statement of statements) {
      switch (statement.kind) {
        case "pass":
          break;
        case "expression":
          this.#evaluate(method, scope, statement.value);
          break;
        case "return":
          return this.#evaluate(method, scope, statement.value);
        case "assign": {
          const value = this.#evaluate(method, scope, statement.value);
          if (statement.unpack) this.#unpack(method, scope, statement, value);
          else scope.set(statement.targets[0] ?? "", value);
          break;
        }
        case "if": {
          const branch = this.#choose(method, scope, statement);
          const value = this.#block(method, scope, branch);
          if (value !== undefined) return value;
        }
      }
    }
    return undefined;
  }

  #unpack(
    method: Method,
    scope: Map<string, Value>,
    { targets, line }: Statement & { kind: "assign" },
    value: Value,
  ): void {
    const items: readonly Value[] | undefined =
      isNode(value) && value.op === "unbind" ? splitNode(value, targets.length) : asList(value);
    this.#steps += targets.length;
    if (items?.length !== targets.length) {
      const at = `${method.file}, line ${line}`;
      throw unsupported(`${at}: ${describe(value)} for ${targets.length} names`);
    }
    for (const [index, target] of targets.entries()) scope.set(target, items[index] as Value);
  }

  #choose(
    method: Method,
    scope: Map<string, Value>,
    statement: Statement & { kind: "if" },
  ): readonly Statement[] {
    const { body, otherwise, line } = statement;
    const test = this.#evaluate(method, scope, statement.test);
    if (typeof test === "boolean") return test ? body : otherwise;
    if (raises(body) !== raises(otherwise)) return raises(body) ? otherwise : body;
    throw unsupported(
      `${method.file}, line ${line}: what it does depends on ${describe(test)}, ` +
        "need a policy that does the same for every observation",
    );
  }

  #evaluate(method: Method, scope: ReadonlyMap<string, Value>, expression: Expression): Value {
    this.#steps++;
    if (this.#steps > LIMITS.codeSteps) {
      throw new FormatError(`the code takes more than ${LIMITS.codeSteps} steps`, "TOO_LARGE");
    }
    const evaluate = (inner: Expression): Value => this.#evaluate(method, scope, inner);
    switch (expression.kind) {
      case "literal":
        return expression.value;
      case "name":
        return scope.get(expression.name) ?? globalOf(scope, expression.name);
      case "sequence":
        return expression.items.map(evaluate);
      case "item": {
        const [object, index] = [evaluate(expression.object), evaluate(expression.index)];
        const item = typeof index === "number" ? asList(object)?.at(index) : undefined;
        return item ?? { kind: "unknown", what: `an item of ${describe(object)}` };
      }
      case "attribute":
        return this.#attribute(method.file, evaluate(expression.object), expression.name);
      case "call":
        return this.#call(method, scope, expression);
    }
  }

  #call(
    method: Method,
    scope: ReadonlyMap<string, Value>,
    expression: Expression & { kind: "call" },
  ): Value {
    const { callee, line } = expression;
    const evaluate = (inner: Expression): Value => this.#evaluate(method, scope, inner);
    const keywords = new Map(
      [...expression.keywords].map(([name, value]) => [name, evaluate(value)]),
    );
    if (callee.kind === "attribute") {
      const object = evaluate(callee.object);
      if (kindOf(object) === "module_value") {
        const args = expression.args.map(evaluate);
        return this.callMethod(object as ModuleValue, callee.name, args, keywords);
      }
    }
    const called = evaluate(callee);
    const where = `${method.file}, line ${line}`;
    if (kindOf(called) !== "callable") throw unsupported(`${where}: a call of ${describe(called)}`);
    const { name } = called as Callable;
    if (TYPED.has(name)) {
      const [, value] = expression.args;
      return value === undefined ? { kind: "unknown", what: name } : evaluate(value);
    }
    const args = expression.args.map(evaluate);
    if (name === "getattr" && typeof args[1] === "string") {
      return this.#attribute(where, args[0] ?? null, args[1]);
    }
    const inner = name.startsWith("__torch__.") ? this.file.method(name) : undefined;
    if (inner !== undefined) return this.#run(inner, args, keywords);
    return applyOperation(this, { name, args, keywords, where });
  }

  #attribute(where: string, object: Value, name: string): Value {
    if (kindOf(object) === "callable") {
      const whole = `${(object as Callable).name}.${name}`;
      const constant = /^CONSTANTS\.c(?<index>\d+)$/.exec(whole)?.groups?.index;
      if (constant === undefined) return { kind: "callable", name: whole };
      return this.#wrap(this.file.constants[Number(constant)], whole);
    }
    if (kindOf(object) === "module_value") {
      const { module, path } = object as ModuleValue;
      const whole = path === "" ? name : `${path}.${name}`;
      if (module.attributes.has(name)) return this.#wrap(module.attributes.get(name), whole);
      throw unsupported(`${where}: there is no ${quote(whole)} in the tree of modules`);
    }
    return { kind: "unknown", what: `the ${name} of ${describe(object)}` };
  }

  /** A value of the file as one of the code. */
  #wrap(value: TorchValue | undefined, path: string): Value {
    const known = this.#wrapped.get(path);
    if (known !== undefined) return known;
    const wrapped = this.#wrapNew(value, path);
    this.#wrapped.set(path, wrapped);
    return wrapped;
  }

  #wrapNew(value: TorchValue | undefined, path: string): Value {
    if (value === null || typeof value === "boolean" || typeof value === "string") return value;
    if (typeof value === "number") return value;
    if (typeof value === "bigint") return Number(value);
    if (Array.isArray(value) && value.length <= LIST_MAX) {
      const items = value as readonly TorchValue[];
      return items.map((item, index) => this.#wrap(item, `${path}.${index}`));
    }
    const module = asModule(value);
    if (module !== undefined) return { kind: "module_value", module, path };
    if (!isTensor(value)) return { kind: "unknown", what: quote(path) };
    const tensor: TorchTensor = value;
    const rank = tensor.shape.length;
    const where = quote(path);
    return { kind: "node", op: "tensor", args: [], rank, isFlow: false, where, tensor, path };
  }

  /** Records that an operation wrote over its argument, and over what that is a view of. */
  overwrite(node: Node): void {
    this.#overwritten.add(baseOf(node));
  }

  /** Refuses a value that was overwritten: what it holds now is no longer what made it. */
  checkFresh(node: Node, where: string): void {
    const base = baseOf(node);
    if (!this.#overwritten.has(base) && !this.writes.has(base)) return;
    throw unsupported(`${where}: ${describe(base)} is used again after it was overwritten`);
  }
}

/** The items of a result that is several tensors, each with a dimension less. */
function splitNode(node: Node, count: number): Node[] {
  return Array.from({ length: count }, (_, index) => {
    return { ...node, op: "item", args: [node, index], rank: node.rank - 1 };
  });
}

function baseOf(node: Node): Node {
  let base = node;
  while (VIEWS.has(base.op) && isNode(base.args[0])) base = base.args[0];
  return base;
}

function raises(statements: readonly Statement[]): boolean {
  return statements.some((statement) => {
    if (statement.kind !== "expression" || statement.value.kind !== "call") return false;
    const { callee } = statement.value;
    return callee.kind === "attribute" && callee.name === "RaiseException";
  });
}

/** A name that no statement has set: the beginning of a dotted name, or a function. */
function globalOf(scope: ReadonlyMap<string, Value>, name: string): Value {
  return scope.has(name) ? null : { kind: "callable", name };
}
