/**
 * The house rules as tests: what a reviewer would otherwise say again and again.
 */

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { ROOT, run } from "./project.ts";
import { errorTable, verbTable } from "./readme_tables.ts";

const IGNORED = /(?:^|\/)(?:node_modules|dist|\.cache|\.git|lite3rl-demo|out|__pycache__)\//;

const files = [...new Bun.Glob("**/*").scanSync({ cwd: ROOT, dot: true, onlyFiles: true })]
  .filter((path) => !IGNORED.test(path))
  .sort();
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const CODE = /\.(?:ts|js|css|py|c|h|cpp|hpp)$/;
const code = files.filter((path) => CODE.test(path) && !path.endsWith(".d.ts"));
const source = code.filter((path) => /^(?:src|ffi)\/.*\.ts$/.test(path));
const isTest = (path: string): boolean =>
  /\.test\.ts$|_fixture\.ts$|_suite\.ts$|_under_test\.ts$/.test(path);

/** Runs a tool of Bun's over the whole project; its words are the failure's. */
function expectClean(command: readonly string[]): void {
  const { status, stdout, stderr } = run([process.execPath, ...command]);
  expect(status === 0 ? "" : `${stdout}${stderr}`).toBe("");
}

test("the types hold", () => expectClean(["check"]));
test("the format is bun fmt's", () => expectClean(["fmt", "--check"]));
test("the linter is content", () => expectClean(["node_modules/.bin/oxlint"]));

/** A line that is one literal, which cannot be broken: bytes, a pattern, a message. */
const LITERAL = /^\s*(["'`/]).*\1[a-z]*[,;]?$/;

test("files are at most 400 lines of at most 100 columns, named in snake_case", () => {
  const broken = code.flatMap((path) => {
    const lines = read(path).split("\n");
    const wide = lines.findIndex((line) => line.length > 100 && !LITERAL.test(line));
    return [
      ...(lines.length > 401 ? [`${path}: ${lines.length} lines`] : []),
      ...(wide >= 0 ? [`${path}:${wide + 1}: over 100 columns`] : []),
      ...(/^[a-z0-9_]+(?:\.\w+)*$/.test(basename(path)) ? [] : [`${path}: not snake_case`]),
      ...(/utils|helpers|common|manager/.test(path) ? [`${path}: name it after what it does`] : []),
    ];
  });
  expect(broken).toEqual([]);
});

/** What may import what: each folder only those before it (and its own). */
const ORDER = [
  ["src/base"],
  ["ffi"],
  ["src/formats"],
  ["src/policy"],
  ["src/wire"],
  ["src/rknn_toolkit"],
  ["src/runtime", "src/environment"],
  ["src/service"],
  ["src/run_log"],
  ["src/dataset"],
  ["src/compare", "src/report"],
  ["src/cli/annotations.ts"],
  [
    "src/cli/command.ts",
    "src/cli/checkpoint_flags.ts",
    "src/cli/npu_flags.ts",
    "src/cli/output.ts",
    "src/cli/program_flags.ts",
  ],
  ["src/closed_loop"],
  [
    "src/export",
    "src/collect",
    "src/convert",
    "src/serve",
    "src/client",
    "src/engine",
    "src/agent",
    "src/log",
    "src/parity",
    "src/ci",
    "src/inspect",
    "src/doctor",
    "src/toolkit",
    "src/init",
    "src/npu_process",
  ],
  ["src/demo", "src/accept"],
  ["src/cli"],
  ["src/main.ts"],
];

function rankOf(path: string): number {
  const ranks = ORDER.map((places) =>
    places.some((place) => path === place || path.startsWith(`${place}/`)),
  );
  return ranks.findIndex(Boolean);
}

const IMPORT = /(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;

test("imports go from later folders to earlier ones, and verbs do not import verbs", () => {
  const broken = source
    .filter((path) => !isTest(path))
    .flatMap((path) => {
      const targets = [...read(path).matchAll(IMPORT)].map(([, target = ""]) =>
        relative(ROOT, join(ROOT, dirname(path), target)),
      );
      return targets
        .filter((target) => /^(?:src|ffi)\//.test(target))
        .filter((target) => {
          const [from, to] = [rankOf(path), rankOf(target)];
          const isSibling = dirname(path).split("/")[1] === dirname(target).split("/")[1];
          return from < 0 || to < 0 || to > from || (to === from && !isSibling);
        })
        .map((target) => `${path} imports ${target}`);
    });
  expect(broken).toEqual([]);
});

test("every source file is used", () => {
  const all = code.map((path) => (path.endsWith(".ts") ? read(path) : "")).join("\n");
  const unused = source
    .filter((path) => !path.endsWith(".test.ts") && path !== "src/main.ts")
    .filter((path) => !all.includes(`/${basename(path)}"`));
  expect(unused).toEqual([]);
});

/** Tokens with what to write in their place; `where` narrows the files they are banned from. */
const BANNED: readonly { token: RegExp; instead: string; where?: (path: string) => boolean }[] = [
  { token: /Math\.random\(/, instead: "createRandom of base/random.ts" },
  { token: /Date\.now\(/, instead: "performance.now() or ffi/clock.ts" },
  { token: /node:child_process/, instead: "Bun.spawn" },
  { token: /\bnew Worker\(|\bJSCallback\b/, instead: "a process of its own" },
  { token: /@ts-ignore|@ts-nocheck/, instead: "types that hold" },
  { token: /\b(?:TODO|FIXME|XXX)\b/, instead: "doing it, or an issue" },
  { token: /\bonly\(/, instead: "the whole suite" },
  { token: /"bun:ffi"/, instead: "ffi/", where: (path) => !path.startsWith("ffi/") },
  {
    token: /process\.exit\(|\bconsole\./,
    instead: "a thrown Lite3Error, notice() or warn()",
    where: (path) => /^(?:src|ffi)\//.test(path) && !/^src\/(?:cli\/|base\/log\.ts)/.test(path),
  },
];

test("banned tokens are not used", () => {
  const broken = code
    .filter((path) => path.endsWith(".ts") && !isTest(path))
    .flatMap((path) =>
      BANNED.filter(({ token, where }) => (where?.(path) ?? true) && token.test(read(path))).map(
        ({ token, instead }) => `${path}: ${token.source}, instead: ${instead}`,
      ),
    );
  expect(broken).toEqual([]);
});

test("every fixture is in the manifest with its digest, and nothing else is", () => {
  const rows = JSON.parse(read("fixtures/manifest.json")) as {
    file: string;
    sha256: string;
    bytes: number;
  }[];
  const found = files
    .filter((path) => path.startsWith("fixtures/") && !/README\.md$|manifest\.json$/.test(path))
    .map((path) => {
      const bytes = readFileSync(join(ROOT, path));
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      return { file: path.slice("fixtures/".length), sha256, bytes: bytes.length };
    });
  const listed = rows.map(({ file, sha256, bytes }) => ({ file, sha256, bytes }));
  expect(listed.toSorted((a, b) => (a.file < b.file ? -1 : 1))).toEqual(found);
});

test("text speaks of the project alone: no machine's paths, no registry's hosts", () => {
  const foreign =
    /\/(?:work|farm)\/|\/tmp\/bash_jobs|\/root\/|registry\.npmjs|pypi\.org|pythonhosted|deb\.debian/;
  const texts = files.filter((path) =>
    /\.(?:ts|js|json|md|toml|txt|py|cpp|hpp|css|yaml|lock)$/.test(path),
  );
  const self = relative(ROOT, import.meta.path);
  expect(texts.filter((path) => path !== self && foreign.test(read(path)))).toEqual([]);
});

test("dependencies have exact versions and a line in DEPENDENCIES.md", () => {
  const all = { ...packageJson.dependencies, ...packageJson.devDependencies };
  const text = read("DEPENDENCIES.md");
  const broken = Object.entries(all).filter(
    ([name, version]) =>
      !/^\d+\.\d+\.\d+$/.test(version) || !text.includes(`| \`${name}\` ${version} |`),
  );
  expect(broken).toEqual([]);
});

test("the README's tables are those of the program, and its test command is CI's", () => {
  const readme = read("README.md");
  expect(readme).toContain(errorTable());
  expect(readme).toContain(verbTable());
  expect(readme).toContain("npx bun@1.4.5 run test");
  expect(read(".ci/run")).toContain("bun@1.4.5 run test");
  for (const file of ["LICENSE", "CHANGELOG.md", "README.zh-CN.md"]) {
    expect(existsSync(join(ROOT, file))).toBe(true);
  }
});
