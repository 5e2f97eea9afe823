/**
 * NumPy's .npy files: a header that is a Python dictionary, then the elements.
 *
 * The header is matched against the one form numpy writes and never evaluated; object arrays,
 * which are pickles, are refused. Format: numpy/lib/_format_impl.py, versions 1 to 3.
 */

import { assert } from "../base/assert.ts";
import { FormatError, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import {
  type DType,
  type Tensor,
  countElements,
  decodeElements,
  elementBytes,
  gatherElements,
} from "./tensor.ts";

const MAGIC = "\x93NUMPY";
/** numpy aligns the data, and with it the header's end, to 64 bytes. */
const ALIGNMENT = 64;

const DTYPES: Readonly<Record<string, DType>> = {
  f2: "float16",
  f4: "float32",
  f8: "float64",
  i1: "int8",
  u1: "uint8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  b1: "bool",
};

/** Does a file that begins so call itself an .npy? */
export function isNpy(head: Uint8Array): boolean {
  return MAGIC_BYTES.every((byte, i) => head[i] === byte);
}

/** \x93NUMPY */
const MAGIC_BYTES = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59] as const;

/** Reads one array into row-major order. Throws FormatError; every byte must be accounted for. */
export function readNpy(bytes: Uint8Array): Tensor {
  const { text, dataOffset } = readHeader(bytes);
  const { descr, fortranOrder, shape } = parseHeader(text);
  const { dtype, littleEndian } = parseDescr(descr);
  const itemBytes = elementBytes(dtype);
  const needed = countElements(shape) * itemBytes;
  const data = bytes.subarray(dataOffset);
  if (data.length !== needed) {
    throw new FormatError(
      `it has ${data.length} bytes of data at offset ${dataOffset}, ` +
        `but ${descr} of shape [${shape.join(", ")}] needs ${needed}`,
    );
  }
  const strides = fortranStrides(shape);
  const ordered =
    fortranOrder && shape.length > 1
      ? gatherElements(data, itemBytes, { shape, strides, offset: 0 })
      : data;
  return { dtype, shape, data: decodeElements(dtype, ordered, littleEndian) };
}

/** Writes version 1.0 as numpy does; bfloat16, which numpy lacks, as the float32 it is held in. */
export function writeNpy(tensor: Tensor): Uint8Array<ArrayBuffer> {
  const { dtype, shape, data } = tensor;
  assert(countElements(shape) === data.length, "the shape is not that of the data");
  const header = encodeNpyHeader(dtype, shape);
  const bytes = new Uint8Array(header.length + data.byteLength);
  bytes.set(header);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), header.length);
  return bytes;
}

/** What stands before the elements of such an array, up to the first of them. */
export function encodeNpyHeader(dtype: DType, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const stored = dtype === "bfloat16" ? "float32" : dtype;
  const code = Object.keys(DTYPES).find((key) => DTYPES[key] === stored);
  const order = elementBytes(stored) === 1 ? "|" : "<";
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const fields = `{'descr': '${order}${code}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const dataOffset = Math.ceil((MAGIC.length + 4 + fields.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = `${fields.padEnd(dataOffset - MAGIC.length - 5)}\n`;
  const bytes = Buffer.alloc(dataOffset);
  bytes.write(MAGIC, "latin1");
  bytes[MAGIC.length] = 1;
  bytes.writeUInt16LE(header.length, MAGIC.length + 2);
  bytes.write(header, MAGIC.length + 4, "latin1");
  return new Uint8Array(bytes.buffer);
}

function readHeader(bytes: Uint8Array): { text: string; dataOffset: number } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = buffer.toString("latin1", 0, MAGIC.length);
  if (magic !== MAGIC) throw new FormatError(`it begins with ${quote(magic)}, need an .npy file`);
  const version = buffer[MAGIC.length] ?? 0;
  const lengthBytes = version === 1 ? 2 : 4;
  const textOffset = MAGIC.length + 2 + lengthBytes;
  if (buffer.length < textOffset) throw new FormatError("the .npy header is cut off");
  if (version < 1 || version > 3) {
    throw new FormatError(`.npy version ${version}, need 1, 2 or 3`, "UNSUPPORTED");
  }
  const length = buffer.readUIntLE(MAGIC.length + 2, lengthBytes);
  if (length > LIMITS.npyHeaderBytes) {
    throw new FormatError(
      `the .npy header has ${length} bytes, at most ${LIMITS.npyHeaderBytes} are taken`,
      "TOO_LARGE",
    );
  }
  const dataOffset = textOffset + length;
  if (buffer.length < dataOffset) {
    throw new FormatError(
      `the .npy header needs ${length} bytes, but ${buffer.length - textOffset} are left`,
    );
  }
  const encoding = version === 3 ? "utf8" : "latin1";
  return { text: buffer.toString(encoding, textOffset, dataOffset), dataOffset };
}

interface Header {
  readonly descr: string;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
}

/** One item of the dictionary: a name, and a value of the form that name must have. */
const ITEM =
  /\s*'(?:(descr)': *'([^']*)'|(fortran_order)': *(True|False)|(shape)': *\(([\d, ]*)\))\s*(,\s*|(?=\}))/y;

function parseHeader(text: string): Header {
  const fields = new Map<string, string>();
  let at = text.startsWith("{") ? 1 : text.length;
  while (at < text.length && text[at] !== "}") {
    ITEM.lastIndex = at;
    const groups = ITEM.exec(text)
      ?.slice(1)
      .filter((group) => group !== undefined);
    const [name = "", value = ""] = groups ?? [];
    if (groups === undefined || fields.has(name)) break;
    fields.set(name, value);
    at = ITEM.lastIndex;
  }
  if (fields.size !== 3 || !/^\} *\n?$/.test(text.slice(at))) {
    throw new FormatError(
      `the .npy header is ${quote(text.trim())}, need descr, fortran_order and shape of an array`,
    );
  }
  return {
    descr: fields.get("descr") ?? "",
    fortranOrder: fields.get("fortran_order") === "True",
    shape: parseShape(fields.get("shape") ?? ""),
  };
}

function parseShape(text: string): number[] {
  if (text.trim() === "") return [];
  const sizes = text.replace(/,\s*$/, "").split(",");
  if (!sizes.every((size) => /^ *\d+ *$/.test(size))) {
    throw new FormatError(`the .npy shape is ${quote(`(${text})`)}, need sizes`);
  }
  return sizes.map(Number);
}

function parseDescr(descr: string): { dtype: DType; littleEndian: boolean } {
  const dtype = DTYPES[descr.slice(1)];
  const known = Object.hasOwn(DTYPES, descr.slice(1)) && /^[<>|]/.test(descr);
  if (dtype === undefined || !known || (descr[0] === "|" && elementBytes(dtype) > 1)) {
    const what =
      descr === "|O" ? "Python objects, which are pickles" : `elements of ${quote(descr)}`;
    throw new FormatError(`it holds ${what}, need float, int or bool elements`, "UNSUPPORTED");
  }
  return { dtype, littleEndian: descr[0] !== ">" };
}

/** Column-major: the first dimension is the closest. */
function fortranStrides(shape: readonly number[]): number[] {
  let stride = 1;
  return shape.map((size) => {
    const own = stride;
    stride *= size;
    return own;
  });
}
