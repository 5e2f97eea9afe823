/**
 * Names for the terms of observations and actions that people read.
 */

/** Terms that are shown one by one; wider vectors show their first ones. */
export const TERMS_SHOWN = 256;

/** The model's names, numbered ones where it has none; at most TERMS_SHOWN, no two alike. */
export function termNames(names: readonly string[], size: number, kind: string): string[] {
  const shown = Math.min(size, TERMS_SHOWN);
  const seen = new Set<string>();
  return Array.from({ length: shown }, (_, i) => {
    const name = names[i] ?? `${kind} ${i}`;
    const unique = seen.has(name) ? `${name} (${i})` : name;
    seen.add(unique);
    return unique;
  });
}
