/**
 * What the flags say about numbers: the precision that is wanted, and how the toolkit is to find
 * its scales. The blueprint's flags (`--do-quant`, `--quant-dtype`) and the names that dtypes had
 * in older toolkits are taken for what they mean today.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { notice } from "../base/log.ts";

export const PRECISIONS = ["fp16", "w8a8", "hybrid", "auto"] as const;
/** How the range of a value is found in the calibration set. */
export const ALGORITHMS = ["normal", "mmse", "kl_divergence"] as const;
/** One scale of the weights for each output channel, or one for a layer. */
export const METHODS = ["channel", "layer"] as const;

export interface PrecisionFlags {
  readonly doQuant: boolean;
  readonly quantDtype?: string | undefined;
  readonly precision?: (typeof PRECISIONS)[number] | undefined;
  readonly algorithm?: (typeof ALGORITHMS)[number] | undefined;
  readonly method?: (typeof METHODS)[number] | undefined;
  /** `name=fp16,…` as written. */
  readonly layers?: string | undefined;
}

export interface PrecisionChoice {
  readonly precision: (typeof PRECISIONS)[number];
  readonly algorithm: (typeof ALGORITHMS)[number];
  readonly method: (typeof METHODS)[number];
  /** Layers that stay float16, as the user named them; absent where they are to be chosen. */
  readonly layers?: readonly string[];
}

/**
 * All names of eight-bit quantisation: `w8a8` since toolkit 2.0, before that
 * `asymmetric_quantized-8`, in toolkit 1 the others. The unsigned ones became signed; the step is
 * the same.
 */
const INT8_NAMES: ReadonlySet<string> = new Set([
  "w8a8",
  "asymmetric_affine-u8",
  "asymmetric_quantized-u8",
  "asymmetric_quantized-8",
  "dynamic_fixed_point-i8",
  "dynamic_fixed_point-8",
]);

/** Dtypes that toolkits know and the rk3588 has not, or not on any board that was seen. */
const OTHER_NAMES: ReadonlySet<string> = new Set([
  "w4a16",
  "w8a16",
  "w16a16i",
  "w16a16i_dfp",
  "dynamic_fixed_point-i16",
  "dynamic_fixed_point-16",
]);

/** Names of floats, which are no quantisation. */
const FLOAT_NAMES: ReadonlySet<string> = new Set(["fp16", "float16", "bfloat16", "float32"]);

/** Settles the flags. Refuses contradictions, and flags that would mean nothing. */
export function choosePrecision(flags: PrecisionFlags): PrecisionChoice {
  const { doQuant, quantDtype, layers } = flags;
  if (quantDtype !== undefined) checkDtype(quantDtype);
  const precision = flags.precision ?? (doQuant ? "w8a8" : "fp16");
  const isQuantised = precision !== "fp16";
  if (doQuant && precision !== "w8a8" && precision !== "hybrid") {
    throw refuse(`--do-quant contradicts --precision ${precision}`, "leave one of them out");
  }
  if (quantDtype !== undefined && !isQuantised) {
    throw refuse(
      "--quant-dtype is for a quantised file, and without --do-quant it would be fp16",
      "add --do-quant, or leave --quant-dtype out",
    );
  }
  for (const flag of ["algorithm", "method"] as const) {
    if (flags[flag] === undefined || isQuantised) continue;
    throw refuse(`--${flag} is for a quantised file, and this one is fp16`, "add --precision w8a8");
  }
  if (layers !== undefined && precision !== "hybrid") {
    throw refuse("--layers names what stays float16 in a hybrid file", "add --precision hybrid");
  }
  if (quantDtype !== undefined && quantDtype !== "w8a8") {
    notice(`--quant-dtype ${quantDtype} is called w8a8 since toolkit 2.0, and converted as that`);
  }
  return {
    precision,
    algorithm: flags.algorithm ?? "normal",
    method: flags.method ?? "channel",
    ...(layers === undefined ? {} : { layers: parseLayers(layers) }),
  };
}

function checkDtype(name: string): void {
  if (INT8_NAMES.has(name)) return;
  if (FLOAT_NAMES.has(name)) {
    throw refuse(
      `--quant-dtype ${name} is no quantisation`,
      "leave --do-quant and --quant-dtype out for a float16 file",
    );
  }
  if (OTHER_NAMES.has(name)) {
    throw new Lite3Error(
      "UNSUPPORTED",
      `Cannot convert with --quant-dtype ${name}: the rk3588 quantises to w8a8 only; ` +
        "--precision fp16 is exact enough for nearly every policy",
    );
  }
  throw refuse(
    `--quant-dtype ${quote(name)} is unknown`,
    `need w8a8, or an older name of it: ${[...INT8_NAMES].slice(1).join(", ")}`,
  );
}

/** `a=fp16,b=fp16`; what is not named is int8, and may be said so. */
function parseLayers(text: string): string[] {
  return text.split(",").flatMap((part) => {
    const at = part.lastIndexOf("=");
    const [name, dtype] = [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    if (at <= 0 || !["fp16", "float16", "int8", "w8a8"].includes(dtype)) {
      throw refuse(`--layers has ${quote(part)}`, "need name=fp16, several separated by commas");
    }
    return dtype === "fp16" || dtype === "float16" ? [name] : [];
  });
}

function refuse(found: string, cure: string): Lite3Error {
  return new Lite3Error("USAGE", `${found}: ${cure}`);
}
