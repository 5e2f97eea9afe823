import { expect, test } from "bun:test";
import { parseIds } from "./accounts.ts";

test("parseIds() takes names and numbers", () => {
  expect(parseIds("user", "root,1000", "--allow-uid")).toEqual([0, 1000]);
  expect(parseIds("group", "root", "--allow-gid")).toEqual([0]);
});

for (const word of ["no-such-user", "", "-1", "0x10"]) {
  test(`parseIds() refuses ${JSON.stringify(word)}`, () => {
    expect(() => parseIds("user", word, "--allow-uid")).toThrow(
      `Cannot use --allow-uid "${word}": there is no such user in /etc/passwd, ` +
        "need one of there or a number",
    );
  });
}
