/**
 * HTML from tagged templates that escape what is put into them. Stage details, notes and names
 * come from files and other programs, so escaping is the default and not something to remember.
 */

const MARKUP = Symbol("markup");

/** Markup that needs no escaping any more; only this file makes it. */
export interface Html {
  readonly [MARKUP]: string;
}

export type HtmlValue = string | number | Html | readonly Html[];

/** Builds markup; strings and numbers are escaped for text and for quoted attributes. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return trustedHtml(String.raw({ raw: strings }, ...values.map(render)));
}

/** Takes markup as it is: for our own style sheets and scripts, never for data. */
export function trustedHtml(markup: string): Html {
  return { [MARKUP]: markup };
}

/** The text of finished markup. */
export function markupOf(value: Html): string {
  return value[MARKUP];
}

/** Escapes for element text and for attributes in either kind of quotes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function render(value: HtmlValue): string {
  if (typeof value === "string" || typeof value === "number") return escapeHtml(String(value));
  if (isList(value)) return value.map(markupOf).join("");
  return markupOf(value);
}

function isList(value: Html | readonly Html[]): value is readonly Html[] {
  return Array.isArray(value);
}
