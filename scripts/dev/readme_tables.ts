/** The README's tables, made from the program's own. */

import { ERROR_CODES } from "../../src/base/errors.ts";
import { VERBS } from "../../src/cli/verbs.ts";

/** Error codes with their exit status, as Markdown. */
export function errorTable(): string {
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { status, meaning }]) => `| ${status} | \`${code}\` | ${meaning} |`,
  );
  return ["| exit status | code | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}

/** Verbs with the blueprint's script names, as Markdown. */
export function verbTable(): string {
  const rows = VERBS.filter(({ isHidden }) => !isHidden).map(({ name, aliases, summary }) => {
    const also = aliases.map((alias) => `\`${alias}\``).join(", ");
    return `| \`${name}\` | ${also} | ${summary} |`;
  });
  return ["| verb | also known as | what it does |", "| --- | --- | --- |", ...rows].join("\n");
}
