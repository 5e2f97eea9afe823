import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import { clientRoom, fileLimit } from "./client_room.ts";

describe("clientRoom()", () => {
  test("leaves room for the engine, and for clients that are turned away", () => {
    expect([34, 64, 159, 160, 1024].map(clientRoom)).toEqual([1, 16, 63, 64, 928]);
  });

  test("throws CONFIG where there is none", async () => {
    expect(await refusalOf(() => clientRoom(33))).toEqual({
      code: "CONFIG",
      message:
        "Cannot serve: the limit of 33 open files leaves no room for clients, need 34 or more: " +
        "ulimit -n, LimitNOFILE= of the unit",
    });
  });
});

test("fileLimit() is this process's", () => {
  const said = Bun.spawnSync(["sh", "-c", "ulimit -n"]).stdout.toString().trim();
  expect(fileLimit()).toBe(said === "unlimited" ? Infinity : Number(said));
});
