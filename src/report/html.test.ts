import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { escapeHtml, html, markupOf, trustedHtml } from "./html.ts";
import { embedJson } from "./page.ts";

test("html() escapes text and attributes, and leaves markup alone", () => {
  const hostile = `"><img src=x onerror='alert(1)'>&`;
  const inner = html`<b title="${hostile}">${hostile}</b>`;
  const escaped = "&#34;&#62;&#60;img src=x onerror=&#39;alert(1)&#39;&#62;&#38;";
  expect(markupOf(html`<p>${inner}${[trustedHtml("<i>"), trustedHtml("</i>")]}${7}</p>`)).toBe(
    `<p><b title="${escaped}">${escaped}</b><i></i>7</p>`,
  );
});

test("html() does not take an object with text in it for markup", () => {
  const forged = JSON.parse('{"markup":"<script>"}');
  expect(markupOf(html`${forged}`)).not.toContain("<script>");
});

test("escapeHtml() leaves nothing that begins or ends markup", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(escapeHtml(text)).not.toMatch(/[<>"']/);
    }),
  );
});

test("embedJson() holds any JSON value whole, without a `<` of its own", () => {
  const open = '<script type="application/json" id="x">';
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const markup = markupOf(embedJson("x", { value, hostile: "</script><!--<script>" }));
      const json = markup.slice(open.length, -"</script>".length);
      expect(markup).toStartWith(open);
      expect(json).not.toContain("<");
      expect(JSON.stringify(JSON.parse(json).value)).toBe(JSON.stringify(value));
    }),
  );
});
