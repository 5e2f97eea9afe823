import { expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { createWatch, pathsOf } from "./model_files.ts";

function makeStore(): { model: string; moveLink(version: string): void; root: string } {
  const root = temporaryDirectory();
  for (const version of ["v1", "v2"]) {
    mkdirSync(join(root, version));
    writeFileSync(join(root, version, "policy.onnx"), "same");
  }
  const moveLink = (version: string): void => {
    symlinkSync(version, join(root, "new"));
    renameSync(join(root, "new"), join(root, "current"));
  };
  moveLink("v1");
  return { model: join(root, "current", "policy.onnx"), moveLink, root };
}

test("createWatch() sees a moved link, once two looks agree, and tells it once", () => {
  const { model, moveLink } = makeStore();
  const watch = createWatch({ model });
  const look = (count: number): boolean[] => Array.from({ length: count }, watch.hasChanged);
  expect(look(2)).toEqual([false, false]);
  moveLink("v2");
  expect(look(3)).toEqual([false, true, false]);
  rmSync(model);
  expect(look(3)).toEqual([false, true, false]);
  writeFileSync(model, "half");
  expect(look(1)).toEqual([false]);
  writeFileSync(model, "the whole");
  expect(look(3)).toEqual([false, true, false]);
});

test("pathsOf() names every file, and the record of a conversion where there is one", () => {
  const { root } = makeStore();
  const [model, fallback] = [join(root, "p.rknn"), { model: join(root, "p.onnx") }];
  expect(pathsOf({ model, obsStats: "s.npz", fallback })).toEqual([model, "s.npz", fallback.model]);
  writeFileSync(`${model}.json`, "{}");
  expect(pathsOf({ model, fallback: { ...fallback, obsStats: "s.npz" } })).toEqual([
    model,
    `${model}.json`,
    fallback.model,
    "s.npz",
  ]);
});
