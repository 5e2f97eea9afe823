/**
 * A program for a test: writes a described file over an old one and is killed at the n-th rename.
 * `argv`: which rename, the file's path. The source is given a rename that counts.
 */

import { plugin } from "bun";
import { readFileSync } from "node:fs";

const [nth = "", path = ""] = process.argv.slice(2);
let left = Number(nth);
Object.assign(globalThis, {
  beforeRename() {
    if (left-- === 0) process.kill(process.pid, "SIGKILL");
  },
});
plugin({
  name: "rename that kills",
  setup(build) {
    build.onLoad({ filter: /base\/files\.ts$/ }, ({ path: source }) => ({
      contents: readFileSync(source, "utf8").replace(
        "renameSync(temporary, target);",
        "(globalThis as any).beforeRename(); renameSync(temporary, target);",
      ),
      loader: "ts",
    }));
  },
});
const { writeDescribedFile } = await import("./files.ts");
writeDescribedFile(path, Buffer.from("new"), { path: `${path}.json`, text: "of new" });
