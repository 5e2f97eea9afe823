/**
 * An ONNX graph under construction: nodes and initializers, and the name of the latest value.
 */

import {
  type AttributeValue,
  DATA_TYPE,
  makeNode,
  makeTensor,
  type OnnxNode,
  type OnnxTensor,
} from "../formats/onnx.ts";

export interface NodeParts {
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  /** Names of the outputs; one of the node's own name if absent. */
  readonly outputs?: readonly string[];
}

export class Graph {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxTensor[] = [];
  /** Name of the value that the next node takes. */
  value: string;

  constructor(input: string) {
    this.value = input;
  }

  /** Adds a float32 initializer and returns its name. */
  constant(name: string, shape: readonly number[], data: Float32Array): string {
    this.initializers.push(makeTensor(name, shape, data));
    return name;
  }

  /** Adds a one-dimensional int64 initializer and returns its name. */
  integers(name: string, values: readonly number[]): string {
    if (!this.initializers.some((tensor) => tensor.name === name)) {
      const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
      this.initializers.push({ name, dims: [values.length], dataType: DATA_TYPE.int64, rawData });
    }
    return name;
  }

  /** Adds a node; its first output becomes `value`. */
  node(name: string, op: string, inputs: readonly string[], parts: NodeParts = {}): void {
    const label = `${name}/${op}`;
    const outputs = parts.outputs ?? [label];
    const { attributes = {} } = parts;
    this.nodes.push(makeNode(op, [...inputs], [...outputs], { name: label, attributes }));
    this.value = outputs[0] ?? label;
  }
}
