/**
 * Removes the custom sections of a WebAssembly module: names and debug information, which have no
 * meaning for its execution (WebAssembly core specification, 5.5.3).
 */

const HEADER_BYTES = 8;
const CUSTOM = 0;

export function stripWasm(module: Uint8Array): Uint8Array {
  const magic = String.fromCharCode(...module.subarray(0, 4));
  if (magic !== "\0asm") throw new Error("not a WebAssembly module");
  const kept: Uint8Array[] = [module.subarray(0, HEADER_BYTES)];
  let at = HEADER_BYTES;
  while (at < module.length) {
    const [size, sizeBytes] = readLeb128(module, at + 1);
    const end = at + 1 + sizeBytes + size;
    if (end > module.length) throw new Error(`section at ${at} ends after the module`);
    if (module[at] !== CUSTOM) kept.push(module.subarray(at, end));
    at = end;
  }
  return Buffer.concat(kept);
}

function readLeb128(bytes: Uint8Array, at: number): [value: number, length: number] {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return [value, i + 1];
  }
  throw new Error(`section size at ${at} is not LEB128`);
}
