import { expect, test } from "bun:test";
import { constants } from "node:os";
import { refusalOf } from "../src/base/refusal_fixture.ts";
import { checkCall, ERRNO, errno, errnoText, libc } from "./libc.ts";

test("errnoText() names an error and says what it means", () => {
  expect([ERRNO.EAGAIN, ERRNO.EADDRINUSE, 2, 13].map((code) => errnoText(code))).toEqual([
    "EAGAIN, resource temporarily unavailable",
    "EADDRINUSE, address already in use",
    "ENOENT, no such file or directory",
    "EACCES, permission denied",
  ]);
});

test("errnoText() gives the number of an error that nobody knows", () => {
  expect(errnoText(99_999)).toContain("99999");
});

test("errno() is that of the last call", () => {
  expect(libc.close(-1)).toBe(-1);
  expect(errno()).toBe(9);
  expect(libc.epoll_create1(-1)).toBe(-1);
  expect(errno()).toBe(22);
});

test("checkCall() passes a result on, and throws NATIVE with call and errno", async () => {
  expect([checkCall("socket", 0), checkCall("socket", 7)]).toEqual([0, 7]);
  const fail = () => checkCall("close", libc.close(-1));
  expect(await refusalOf(fail)).toEqual({
    code: "NATIVE",
    message: "The system call close failed: EBADF, bad file descriptor",
  });
});

test("the numbers of ERRNO are this system's", () => {
  const known: Record<string, number> = constants.errno;
  const theirs = Object.keys(ERRNO).map((name) => [name, known[name]]);
  expect(Object.fromEntries(theirs)).toEqual(ERRNO);
});
