/**
 * Text of files and figures as people and shells read it.
 */

/** A path as a shell takes it. */
export function shellWord(path: string): string {
  const word = path.startsWith("-") ? `./${path}` : path;
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** `[1, 45]`; what is not a number stands for itself. */
export const shapeText = (shape: readonly (number | string)[]): string => `[${shape.join(", ")}]`;

/** `1 file`, `2 files`; with `many`, `2 queries`. */
export const plural = (count: number, word: string, many = `${word}s`): string =>
  `${count} ${count === 1 ? word : many}`;

/** Text of a file as one line of a terminal: control characters escaped, cut when overlong. */
export function plain(text: string, lengthMax = 120): string {
  const shown = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  return shown.length <= lengthMax ? shown : `${shown.slice(0, lengthMax - 1)}…`;
}

/** `Gemm ×4, Elu ×3`: how often each word comes, most frequent first. */
export function tally(words: Iterable<string>): Record<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return Object.fromEntries(sorted);
}

export const tallyText = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([word, count]) => (count === 1 ? plain(word) : `${plain(word)} ×${count}`))
    .join(", ");

/** Breaks at spaces; a word that is longer than a line stays whole. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length <= columns || line === "") line = longer;
    else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line];
}
