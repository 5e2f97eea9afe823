/**
 * `bun scripts/dev.ts locks`: resolves what each rknn-toolkit2 needs, for every Python and
 * architecture that it has wheels for, and writes src/rknn_toolkit/locks/. pip resolves from
 * metadata alone, nothing is installed and no wheel is fetched.
 *
 * The list is ours, not the toolkit's: that one has torch with CUDA (5.7 GB), which conversion
 * from ONNX does not need.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./project.ts";
import { makeVenv, type Tool } from "./tools.ts";

const VERSIONS = ["2.5.0", "2.3.2", "2.2.0"];
const PYTHONS = ["3.8", "3.9", "3.10", "3.11", "3.12"];
const ARCHITECTURES = ["x86_64", "aarch64"];
/** glibc 2.28 is Debian 10's; older systems have no Python 3.8. */
const GLIBC = [
  "manylinux2014",
  "manylinux_2_17",
  "manylinux_2_26",
  "manylinux_2_27",
  "manylinux_2_28",
];

/**
 * With the bounds of the toolkit's own requirements; onnx 1.19 and setuptools 82
 * lost what it imports (onnx.mapping, pkg_resources).
 */
const REQUIREMENTS = [
  "numpy<=1.26.4",
  "onnx>=1.16.1,<1.19",
  "onnxruntime>=1.16,<1.27",
  "opencv-python-headless<4.12",
  "protobuf>=4.21.6,<=4.25.4",
  "ruamel.yaml",
  "scipy",
  "setuptools<81",
  "tqdm",
  "typing_extensions",
];

interface Report {
  readonly install: readonly {
    readonly download_info: {
      readonly url: string;
      readonly archive_info: { readonly hashes: { readonly sha256: string } };
    };
  }[];
}

export default async function locks(): Promise<number> {
  const pip = pinnedPip();
  if ("missing" in pip) {
    console.error(pip.missing);
    return 1;
  }
  for (const toolkit of VERSIONS) await writeLock(toolkit, pip.path);
  return 0;
}

/** A Python with a pip that resolves from metadata. */
export const pinnedPip = (): Tool =>
  makeVenv(join(ROOT, "scripts", "dev", "locks_requirements.txt"));

async function writeLock(toolkit: string, python: string): Promise<void> {
  const wheels: Record<string, string> = {};
  const environments: Record<string, string[]> = {};
  const missing: Record<string, string> = {};
  const requirements = [`rknn-toolkit2==${toolkit}`, ...REQUIREMENTS];
  const names = PYTHONS.flatMap((version) =>
    ARCHITECTURES.map((machine) => `cp${version.replace(".", "")}-${machine}`),
  );
  const found = await Promise.all(
    names.map((environment) => resolveWheels(python, environment, requirements)),
  );
  names.forEach((environment, i) => {
    const resolved = found[i] ?? "not resolved";
    if (typeof resolved === "string") {
      missing[environment] = resolved;
    } else {
      Object.assign(wheels, resolved);
      environments[environment] = Object.keys(resolved).sort();
    }
  });
  const sorted = Object.fromEntries(
    Object.entries(wheels).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  const document = { toolkit, environments, missing, wheels: sorted };
  const path = join(ROOT, "src", "rknn_toolkit", "locks", `${toolkit}.json`);
  writeFileSync(path, `${JSON.stringify(document, null, 2)}\n`);
  console.error(`${path}: ${Object.keys(environments).length} environments`);
}

/**
 * What pip would install in an environment such as `cp311-aarch64`: file name → SHA-256 of every
 * wheel, or why there is none.
 */
export async function resolveWheels(
  python: string,
  environment: string,
  requirements: readonly string[],
): Promise<Record<string, string> | string> {
  const [tag = "", machine = ""] = environment.split("-");
  const scratch = mkdtempSync(join(tmpdir(), "lite3rl-locks-"));
  try {
    const report = join(scratch, "report.json");
    const target = ["--target", join(scratch, "target"), "--implementation", "cp"];
    const platforms = GLIBC.flatMap((glibc) => ["--platform", `${glibc}_${machine}`]);
    const words = ["install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps"];
    const version = ["--python-version", `${tag[2]}.${tag.slice(3)}`];
    const wanted = ["--only-binary=:all:", ...target, ...platforms, ...version, ...requirements];
    const command = [python, "-m", "pip", ...words, ...wanted, "--report", report];
    const pip = Bun.spawn(command, { stdio: ["ignore", "ignore", "pipe"] });
    const said = await pip.stderr.text();
    if ((await pip.exited) !== 0) return said.trim().split("\n").at(-1) ?? "pip failed";
    const { install } = JSON.parse(readFileSync(report, "utf8")) as Report;
    return Object.fromEntries(
      install.map(({ download_info: { url, archive_info } }) => [
        decodeURIComponent(url.split("/").at(-1) ?? ""),
        archive_info.hashes.sha256,
      ]),
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
