/**
 * The messages of ONNX that a policy is made of: onnx/onnx.proto, its field numbers, its names in
 * camelCase. What is not named here (functions, sparse tensors, training) is kept as it is.
 */

import type { Int64, Scalars, Schema, UnknownField } from "./protobuf.ts";

export const ONNX_SCHEMA = {
  Model: {
    irVersion: [1, "int64"],
    producerName: [2, "string"],
    producerVersion: [3, "string"],
    domain: [4, "string"],
    modelVersion: [5, "int64"],
    docString: [6, "string"],
    graph: [7, "Graph"],
    opsetImport: [8, "OperatorSet", "repeated"],
    metadataProps: [14, "StringEntry", "repeated"],
  },
  OperatorSet: { domain: [1, "string"], version: [2, "int64"] },
  StringEntry: { key: [1, "string"], value: [2, "string"] },
  Graph: {
    node: [1, "Node", "repeated"],
    name: [2, "string"],
    initializer: [5, "Tensor", "repeated"],
    docString: [10, "string"],
    input: [11, "ValueInfo", "repeated"],
    output: [12, "ValueInfo", "repeated"],
    valueInfo: [13, "ValueInfo", "repeated"],
  },
  Node: {
    input: [1, "string", "repeated"],
    output: [2, "string", "repeated"],
    name: [3, "string"],
    opType: [4, "string"],
    attribute: [5, "Attribute", "repeated"],
    docString: [6, "string"],
    domain: [7, "string"],
  },
  Attribute: {
    name: [1, "string"],
    f: [2, "float"],
    i: [3, "int64"],
    s: [4, "bytes"],
    t: [5, "Tensor"],
    g: [6, "Graph"],
    floats: [7, "float", "repeated"],
    ints: [8, "int64", "repeated"],
    strings: [9, "bytes", "repeated"],
    tensors: [10, "Tensor", "repeated"],
    graphs: [11, "Graph", "repeated"],
    docString: [13, "string"],
    type: [20, "int32"],
    refAttrName: [21, "string"],
  },
  Tensor: {
    dims: [1, "int64", "repeated"],
    dataType: [2, "int32"],
    floatData: [4, "float", "packed"],
    int32Data: [5, "int32", "packed"],
    stringData: [6, "bytes", "repeated"],
    int64Data: [7, "int64", "packed"],
    name: [8, "string"],
    rawData: [9, "bytes"],
    doubleData: [10, "double", "packed"],
    uint64Data: [11, "uint64", "packed"],
    docString: [12, "string"],
    externalData: [13, "StringEntry", "repeated"],
    dataLocation: [14, "int32"],
  },
  ValueInfo: { name: [1, "string"], type: [2, "Type"], docString: [3, "string"] },
  Type: { tensorType: [1, "TensorType"], denotation: [6, "string"] },
  TensorType: { elemType: [1, "int32"], shape: [2, "TensorShape"] },
  TensorShape: { dim: [1, "Dimension", "repeated"] },
  Dimension: { dimValue: [1, "int64"], dimParam: [2, "string"], denotation: [3, "string"] },
} as const satisfies Schema;

type MessageName = keyof typeof ONNX_SCHEMA;

type ValueOf<T extends string> = T extends keyof Scalars
  ? Scalars[T]
  : T extends MessageName
    ? OnnxMessage<T>
    : never;

/** A message's type, made from its table: every field may be absent, repeated ones are arrays. */
export type OnnxMessage<Name extends MessageName> = {
  -readonly [
    F in keyof (typeof ONNX_SCHEMA)[Name]
  ]?: (typeof ONNX_SCHEMA)[Name][F] extends readonly [
    number,
    infer T extends string,
    ...infer Label,
  ]
    ? Label extends readonly [string]
      ? readonly ValueOf<T>[]
      : ValueOf<T>
    : never;
} & { readonly unknown?: readonly UnknownField[] };

export type OnnxGraph = OnnxMessage<"Graph">;
export type OnnxNode = OnnxMessage<"Node">;
export type OnnxAttribute = OnnxMessage<"Attribute">;
export type OnnxTensor = OnnxMessage<"Tensor">;
export type OnnxValueInfo = OnnxMessage<"ValueInfo">;
export type OnnxModel = OnnxMessage<"Model"> & { graph: OnnxGraph };

/** AttributeProto.AttributeType. */
export const ATTRIBUTE_TYPE = {
  f: 1,
  i: 2,
  s: 3,
  t: 4,
  g: 5,
  floats: 6,
  ints: 7,
  strings: 8,
  tensors: 9,
  graphs: 10,
} as const;

/** TensorProto.DataType of what this version can read as numbers. */
export const DATA_TYPE = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
} as const;

export type { Int64, UnknownField };
