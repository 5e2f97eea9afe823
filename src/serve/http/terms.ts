/**
 * Names for the terms of observations and actions that people read.
 */

/** Terms that are shown one by one; wider vectors show their first ones. */
export const TERMS_SHOWN = 256;

/** The model's names, numbered ones where it has none; at most TERMS_SHOWN. */
export function termNames(names: readonly string[], size: number, kind: string): string[] {
  return Array.from({ length: Math.min(size, TERMS_SHOWN) }, (_, i) => names[i] ?? `${kind} ${i}`);
}
