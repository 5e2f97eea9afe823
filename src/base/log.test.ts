import { expect, test } from "bun:test";
import { notice, setQuiet, warn } from "./log.ts";
import { linesDuring } from "./log_fixture.ts";

test("setQuiet() stops notices, and warnings never", async () => {
  const lines = await linesDuring(() => {
    notice("a fact");
    warn("a surprise");
    setQuiet(true);
    notice("another fact");
    warn("another surprise");
  });
  expect(lines).toEqual(["a fact", "warning: a surprise", "warning: another surprise"]);
});
