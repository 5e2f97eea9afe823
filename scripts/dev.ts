/**
 * The one entry for everything a developer or CI does: `bun run test | ok | build | smoke | demo |
 * bench | soak | train`. It imports nothing that has to be installed, because its first act is to
 * install it; each subcommand is a file in `scripts/dev/`.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");

const SUBCOMMANDS: Record<string, string> = {
  test: "install what tests need, build, run every test; last line N passed, N failed, N skipped",
  ok: "types, format, lint and the quick tests: before each commit",
  build: "dist/lite3rl-linux-x64 and dist/lite3rl-linux-arm64",
  smoke: "run the demo in the built binaries, aarch64 under qemu-user",
  demo: "the main job from source: checkpoint to a walking robot, with a result page",
  double: "a .rknn as a model of the test double of librknnrt, and how to run it",
  kernel: "compile the kernel of the mlp backend",
  schema: "JSON Schema of the documents that programs read",
  locks: "resolve the wheels of rknn-toolkit2 anew (needs the network)",
  bench: "speeds and sizes as JSON lines",
  soak: "ten million requests to the service, then a library that fails, hangs and crashes",
  recovery: "engines killed, crashed, hung and broken under load: how long until the next answer",
  train: "train a demo policy from nothing (Python, an hour)",
};

const [name = "", ...rest] = process.argv.slice(2);
if (!Object.hasOwn(SUBCOMMANDS, name)) {
  const list = Object.entries(SUBCOMMANDS).map(
    ([word, what]) => `  bun run ${word.padEnd(6)} ${what}`,
  );
  console.error(`usage:\n${list.join("\n")}`);
  process.exit(2);
}
if (installPackages()) {
  // This process has looked for node_modules before they were there, and remembers: begin again.
  const again = Bun.spawn([process.execPath, ...process.argv.slice(1)], {
    stdio: ["inherit", "inherit", "inherit"],
  });
  process.exit(await again.exited);
}
const { default: run } = (await import(`./dev/${name}.ts`)) as {
  default: (args: readonly string[]) => Promise<number>;
};
process.exitCode = await run(rest);

/**
 * `bun install` from the lockfile, unless node_modules was made from this very lockfile; says
 * whether it installed anything.
 */
function installPackages(): boolean {
  const digest = createHash("sha256")
    .update(readFileSync(join(ROOT, "bun.lock")))
    .digest("hex");
  const mark = join(ROOT, "node_modules", ".lite3rl-lock");
  if (existsSync(mark) && readFileSync(mark, "utf8") === digest) return false;
  console.error("installing packages …");
  const install = Bun.spawnSync([process.execPath, "install", "--frozen-lockfile"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (install.exitCode !== 0) {
    console.error(`${install.stdout}${install.stderr}`);
    process.exit(1);
  }
  writeFileSync(mark, digest);
  return true;
}
