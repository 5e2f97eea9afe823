/**
 * Writes pickles: pieces of protocol 2 code (Lib/pickletools.py), composed like the values that
 * they make. Nothing is memoized: what is used twice is written twice.
 */

/** Bytes that push one value. */
export type Code = readonly number[];

/** A whole pickle: PROTO, the code, STOP. */
export function pickle(code: Code, protocol = 2): Uint8Array {
  return Uint8Array.from([0x80, protocol, ...code, 0x2e]);
}

/** BININT, or LONG1 of 8 bytes for what does not fit. */
export function int(value: number): Code {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return Math.trunc(value) === (value | 0) ? [0x4a, ...bytes.subarray(0, 4)] : [0x8a, 8, ...bytes];
}

/** BINUNICODE. */
export function text(value: string): Code {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return [0x58, ...length, ...bytes];
}

export function bool(value: boolean): Code {
  return [value ? 0x88 : 0x89];
}

export function tuple(...items: Code[]): Code {
  return [0x28, ...items.flat(), 0x74];
}

export function dict(entries: Record<string, Code>): Code {
  const pairs = Object.entries(entries).map(([key, code]) => text(key).concat(code));
  return [0x7d, 0x28, ...pairs.flat(), 0x75];
}

export function global(module: string, name: string): Code {
  return [0x63, ...Buffer.from(`${module}\n${name}\n`)];
}

/** REDUCE: `callable(*args)`. */
export function call(callable: Code, ...args: Code[]): Code {
  return [...callable, ...tuple(...args), 0x52];
}

/** BINPERSID of a tuple. */
export function persistent(...id: Code[]): Code {
  return [...tuple(...id), 0x51];
}
