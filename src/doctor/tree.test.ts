import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { openTree } from "./tree.ts";

const root = join(temporaryDirectory(), "root");
mkdirSync(join(root, "usr/lib/aarch64-linux-gnu"), { recursive: true });
mkdirSync(join(root, "etc"));
writeFileSync(join(root, "etc/passwd"), "inside");
writeFileSync(join(root, "usr/lib/aarch64-linux-gnu/libc.so.6"), "libc");
chmodSync(join(root, "etc/passwd"), 0o640);
symlinkSync("usr/lib", join(root, "lib"));
symlinkSync("/etc/passwd", join(root, "usr/absolute"));
symlinkSync("../../../../../../etc/passwd", join(root, "usr/climbing"));
symlinkSync("loop", join(root, "loop"));
const tree = openTree(root);

const textAt = (path: string): string => {
  const reading = tree.bytes(path);
  return "value" in reading ? new TextDecoder().decode(reading.value) : reading.missing;
};

test("a tree's links point into the tree, and never out of it", () => {
  expect({
    through: textAt("/lib/aarch64-linux-gnu/libc.so.6"),
    absolute: textAt("/usr/absolute"),
    climbing: textAt("/usr/climbing"),
    dots: textAt("/usr/../../../etc/passwd"),
    loop: textAt("/loop"),
    nothing: textAt("/etc/group"),
    directory: textAt("/etc"),
    below: textAt("/etc/passwd/x"),
  }).toEqual({
    through: "libc",
    absolute: "inside",
    climbing: "inside",
    dots: "inside",
    loop: "unreadable",
    nothing: "absent",
    directory: "unreadable",
    below: "absent",
  });
});

test("a tree gives modes and names, and says nothing of a user", () => {
  const stat = tree.stat("/etc/passwd");
  expect({
    mode: "value" in stat && stat.value.mode,
    kind: "value" in stat && stat.value.kind,
    names: tree.names("/usr"),
    user: tree.user,
    isLive: tree.isLive,
  }).toEqual({
    mode: 0o640,
    kind: "file",
    names: { value: ["absolute", "climbing", "lib"] },
    user: undefined,
    isLive: false,
  });
});

test("this machine's /proc is read to its end, its pipes and devices are not read", () => {
  const live = openTree("/");
  const meminfo = live.bytes("/proc/meminfo");
  expect({
    memory: "value" in meminfo && new TextDecoder().decode(meminfo.value).includes("MemTotal:"),
    device: live.bytes("/dev/zero"),
    isLive: live.isLive,
  }).toEqual({ memory: true, device: { missing: "unreadable" }, isLive: true });
});
