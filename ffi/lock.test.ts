import { expect, test } from "bun:test";
import { existsSync, lstatSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../src/base/directory_fixture.ts";
import { takeLock } from "./lock.ts";

const directory = temporaryDirectory();
let count = 0;
const place = (): string => join(directory, `lock${count++}`);

test("takeLock() gives a lock to one at a time, and removes its file", () => {
  const path = place();
  const first = takeLock(path)!;
  expect((lstatSync(path).mode & 0o777).toString(8)).toBe("600");
  expect(takeLock(path)).toBeUndefined();
  first[Symbol.dispose]();
  expect(existsSync(path)).toBe(false);
  using again = takeLock(path);
  expect(again).toBeDefined();
});

test("takeLock() gets what a process left that was killed", async () => {
  const path = place();
  const source = JSON.stringify(import.meta.resolve("./lock.ts"));
  const script = `import { takeLock } from ${source};
    globalThis.held = takeLock(${JSON.stringify(path)});
    console.log("held");
    setInterval(() => {}, 1000);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  await child.stdout[Symbol.asyncIterator]().next();
  expect(takeLock(path)).toBeUndefined();
  child.kill("SIGKILL");
  await child.exited;
  expect(existsSync(path)).toBe(true);
  using lock = takeLock(path);
  expect(lock).toBeDefined();
});

test("takeLock() leaves a file that was there and has something in it", () => {
  const path = place();
  writeFileSync(path, "mine");
  takeLock(path)![Symbol.dispose]();
  expect(readFileSync(path, "utf8")).toBe("mine");
});

test("takeLock() follows no link, and needs a directory", () => {
  const [target, link] = [place(), place()];
  writeFileSync(target, "mine");
  symlinkSync(target, link);
  expect(() => takeLock(link)).toThrow("ELOOP");
  expect(readFileSync(target, "utf8")).toBe("mine");
  expect(() => takeLock(join(directory, "none", "lock"))).toThrow("ENOENT");
});
