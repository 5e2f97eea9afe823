/**
 * What the tests use beside Bun: found on the machine, or installed where that may be done. In CI
 * a missing one fails the run; elsewhere its tests are skipped and say why.
 */

import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { CACHE, ROOT, run } from "./project.ts";

/** A tool's place, or why it is not there. */
export type Tool = { readonly path: string } | { readonly missing: string };

export const TOOLS = {
  /** Python with numpy, onnx, onnxruntime and gymnasium, in a virtual environment of its own. */
  python: () => {
    const requirements = join(ROOT, "scripts", "dev", "requirements.txt");
    const venv = makeVenv(requirements);
    if ("path" in venv) return venv;
    return install(["python3", "python3-venv"]) ?? makeVenv(requirements);
  },
  /** Runs aarch64 programs, and the libraries that those are linked to. */
  qemu: () =>
    hasQemu() ??
    install(["qemu-user-static", "libc6-arm64-cross", "libstdc++6-arm64-cross"]) ??
    hasQemu() ??
    notThere("qemu"),
  /** Python with torch for the CPU: Debian's, since that of PyPI brings gigabytes of CUDA. */
  torch: () => hasTorch() ?? install(["python3-torch"]) ?? hasTorch() ?? notThere("torch"),
  /** Compiles what of the project is C for this machine. */
  cc: () => onPath("cc") ?? install(["gcc", "libc6-dev"]) ?? onPath("cc") ?? notThere("cc"),
  /** A Python with ziglang, which compiles the same for aarch64. */
  zig: () => makeVenv(join(ROOT, "scripts", "dev", "zig_requirements.txt")),
  /** The vendor's NPU library for aarch64, version 1.5.2. */
  librknnrt: () => downloadLibrary(),
  chromium: () =>
    onPath("chromium") ?? install(["chromium"]) ?? onPath("chromium") ?? notThere("chromium"),
  /** Checks what is served to Prometheus. */
  promtool: () => onPath("promtool") ?? unpackPromtool(),
  /** Starts a program with sockets as systemd does. */
  systemd: () =>
    onPath("systemd-socket-activate") ??
    install(["systemd"]) ??
    onPath("systemd-socket-activate") ??
    notThere("systemd-socket-activate"),
  /** rknn-toolkit2, as the program itself installs it; kept between runs in the user's cache. */
  toolkit: () => installToolkit(),
} as const satisfies Record<string, () => Tool | undefined>;

export type ToolName = keyof typeof TOOLS;

/** How the test run tells the tests where a tool is. */
export const toolVariable = (name: ToolName): string => `LITE3RL_TEST_${name.toUpperCase()}`;

export const AARCH64_LIBRARIES = "/usr/aarch64-linux-gnu";

/** Finds or installs every tool. */
export function prepareTools(): Record<ToolName, Tool> {
  const names = Object.keys(TOOLS) as ToolName[];
  return Object.fromEntries(names.map((name) => [name, TOOLS[name]()])) as Record<ToolName, Tool>;
}

function onPath(program: string): Tool | undefined {
  const path = Bun.which(program);
  return path === null ? undefined : { path };
}

function notThere(program: string): Tool {
  return { missing: `${program} was installed and is still not found` };
}

function hasQemu(): Tool | undefined {
  const isThere = existsSync(join(AARCH64_LIBRARIES, "lib", "libstdc++.so.6"));
  return isThere ? onPath("qemu-aarch64-static") : undefined;
}

/** The first Python that can import torch: the system's may hide behind another on PATH. */
function hasTorch(): Tool | undefined {
  const pythons = ["python3", "/usr/bin/python3"].map((name) => Bun.which(name));
  const path = pythons.find(
    (python) => python !== null && run([python, "-I", "-c", "import torch"]).status === 0,
  );
  return path ? { path } : undefined;
}

let updated = false;

/** Installs Debian packages where that may be done; a reason where not, undefined when done. */
function install(packages: readonly string[]): Tool | undefined {
  const what = packages.join(" ");
  if (Bun.which("apt-get") === null) return { missing: `no apt-get to install ${what} with` };
  const isRoot = process.getuid?.() === 0;
  const sudo = isRoot ? [] : ["sudo", "-n"];
  if (!isRoot && run(["sudo", "-n", "true"]).status !== 0) {
    return { missing: `installing ${what} needs root: sudo apt-get install ${what}` };
  }
  console.error(`installing ${what} …`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  if (!updated) run([...sudo, "apt-get", "update"], { env });
  updated = true;
  const done = run([...sudo, "apt-get", "install", "-y", "--no-install-recommends", ...packages], {
    env,
  });
  if (done.status === 0) return undefined;
  return { missing: `apt-get could not install ${what}: ${lastLine(done.stderr)}` };
}

/**
 * promtool alone out of Debian's package of Prometheus, kept under the user's cache: installing
 * that package would start a server.
 */
function unpackPromtool(): Tool {
  const home = join(CACHE, "promtool");
  const path = join(home, "usr", "bin", "promtool");
  if (existsSync(path)) return { path };
  if (Bun.which("apt-get") === null) return { missing: "no apt-get to download prometheus with" };
  console.error("downloading promtool …");
  mkdirSync(CACHE, { recursive: true });
  const directory = mkdtempSync(join(CACHE, "promtool-"));
  try {
    const download = ["apt-get", "download", "--quiet", "prometheus"];
    let done = run(download, { cwd: directory });
    if (done.status !== 0 && process.getuid?.() === 0) {
      run(["apt-get", "update"]);
      done = run(download, { cwd: directory });
    }
    const unpack = "dpkg-deb --fsys-tarfile ./*.deb | tar -x ./usr/bin/promtool && rm ./*.deb";
    if (done.status === 0) done = run(["sh", "-c", unpack], { cwd: directory });
    if (done.status !== 0) return { missing: `promtool: ${lastLine(done.stderr)}` };
    renameSync(directory, home);
    return { path };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A virtual environment with exactly these packages, kept between runs under the user's cache. */
export function makeVenv(requirements: string, pipFlags: readonly string[] = []): Tool {
  const python = Bun.which("python3");
  if (python === null) return { missing: "no python3 on PATH" };
  const version = run([python, "--version"]).stdout.trim();
  const key = createHash("sha256").update(readFileSync(requirements)).update(version).digest("hex");
  const home = join(CACHE, `venv-${key.slice(0, 16)}`);
  const path = join(home, "bin", "python");
  const mark = join(home, "complete");
  if (existsSync(mark)) return { path };
  console.error(`making a Python environment (${version}) …`);
  mkdirSync(CACHE, { recursive: true });
  rmSync(home, { recursive: true, force: true });
  const steps = [
    [python, "-m", "venv", home],
    [path, "-m", "pip", "install", "--quiet", ...pipFlags, "-r", requirements],
    ["touch", `${mark}.part`],
  ];
  for (const step of steps) {
    const done = run(step);
    if (done.status !== 0) {
      return { missing: `${step.slice(0, 4).join(" ")} failed: ${lastLine(done.stderr)}` };
    }
  }
  renameSync(`${mark}.part`, mark);
  return { path };
}

function installToolkit(): Tool {
  console.error("installing rknn-toolkit2, 620 MB, or trying the one that is there …");
  const { stdout, stderr, status } = run([process.execPath, "src/main.ts", ...INSTALL]);
  if (status === 0) return { path: (JSON.parse(stdout) as { home: string }).home };
  return { missing: lastLine(stderr) };
}

const INSTALL = ["toolkit", "install", "--json", "--quiet"];

/**
 * librknnrt out of the wheel of `rknpu`, kept under the user's cache. It is used by tests and is
 * no part of the project.
 */
function downloadLibrary(): Tool {
  const python = Bun.which("python3");
  if (python === null) return { missing: "no python3 on PATH" };
  const requirements = join(ROOT, "scripts", "dev", "librknnrt_requirements.txt");
  const key = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  const path = join(CACHE, `librknnrt-${key.slice(0, 16)}.so`);
  if (existsSync(path)) return { path };
  console.error("downloading librknnrt …");
  mkdirSync(CACHE, { recursive: true });
  const directory = mkdtempSync(join(CACHE, "librknnrt-"));
  try {
    const only = [
      "--only-binary=:all:",
      "--platform=manylinux2014_aarch64",
      "--python-version=3.11",
    ];
    const download = ["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", ...only];
    for (const step of [
      [python, ...download, "--dest", directory, "-r", requirements],
      [python, "-c", UNPACK, directory],
    ]) {
      const done = run(step);
      if (done.status !== 0) return { missing: `librknnrt: ${lastLine(done.stderr)}` };
    }
    chmodSync(join(directory, "librknnrt.so"), 0o644);
    renameSync(join(directory, "librknnrt.so"), path);
    return { path };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Takes the one library out of the one wheel in a directory. */
const UNPACK = `
import glob, re, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
name, = [n for n in wheel.namelist() if re.search(r"librknnrt[^/]*\\.so$", n)]
open(sys.argv[1] + "/librknnrt.so", "wb").write(wheel.read(name))
`;

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
