/**
 * `bun run build`: one binary per architecture with everything inside, the runtime included.
 *
 * Automatic loading of bunfig.toml, .env and package.json is off: the shipped program obeys its
 * flags, not its working directory. The MuJoCo wasm goes in without its custom sections (5.8 MB of
 * names and debug information).
 */

import type { BunPlugin } from "bun";
import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARIES, DIST, ROOT } from "./project.ts";
import { stripWasm } from "./strip_wasm.ts";

const TARGETS = { x64: "bun-linux-x64", arm64: "bun-linux-arm64" } as const;

/** Puts the stripped MuJoCo in the place of the published one. */
async function strippedMujoco(): Promise<BunPlugin> {
  const published = Bun.resolveSync("@mujoco/mujoco/mujoco.wasm", ROOT);
  const stripped = join(DIST, "mujoco.wasm");
  writeFileSync(stripped, stripWasm(await Bun.file(published).bytes()));
  return {
    name: "stripped-mujoco",
    setup(build) {
      build.onResolve({ filter: /^@mujoco\/mujoco\/mujoco\.wasm$/ }, () => ({ path: stripped }));
    },
  };
}

export default async function build(args: readonly string[]): Promise<number> {
  mkdirSync(DIST, { recursive: true });
  const plugin = await strippedMujoco();
  const wanted = Object.keys(TARGETS).filter((arch) => args.length === 0 || args.includes(arch));
  for (const arch of wanted as (keyof typeof TARGETS)[]) {
    const started = performance.now();
    const outfile = BINARIES[arch];
    const result = await Bun.build({
      entrypoints: [join(ROOT, "src", "main.ts")],
      compile: {
        target: TARGETS[arch],
        outfile,
        execArgv: ["--no-ffi-cc"],
        autoloadDotenv: false,
        autoloadBunfig: false,
        autoloadTsconfig: false,
        autoloadPackageJson: false,
      },
      bytecode: true,
      format: "esm",
      minify: { whitespace: true, syntax: true, identifiers: false },
      sourcemap: "linked",
      plugins: [plugin],
      throw: false,
    });
    if (!result.success) {
      console.error(result.logs.join("\n"));
      return 1;
    }
    rmSync(`${outfile}.map`, { force: true });
    const megabytes = (statSync(outfile).size / 1e6).toFixed(1);
    const took = ((performance.now() - started) / 1000).toFixed(1);
    console.error(`${outfile.slice(ROOT.length + 1)}: ${megabytes} MB, ${took} s`);
  }
  rmSync(join(DIST, "mujoco.wasm"));
  return 0;
}
