/**
 * The workflows, as text: steps and their order are the same for every CI, what is around them is
 * the CI's own. Actions and images are pinned, so that what ran yesterday runs tomorrow; strings
 * are in JSON's quotes, which are YAML's too.
 */

import { join } from "node:path";
import { shellWord } from "../base/text.ts";
import { CLOSED_LOOP_MAE } from "../closed_loop/plan.ts";
import type { ProjectSettings } from "../policy/project_file.ts";
import { DEFAULT_TOOLKIT } from "../rknn_toolkit/locks.ts";
import type { Project } from "./project.ts";

export interface Workflow {
  /** Where the CI looks for it, from the repository's root. */
  readonly file: string;
  /** Where the results are seen. */
  readonly shown: string;
  /**
   * The text of the workflow that is at `path`, from the repository's root; `digest` is the SHA-256
   * of the binary, where it is known.
   */
  render(project: Project, path: string, digest: string | undefined): string;
}

/** A Python that every release of the toolkit has wheels for. */
const PYTHON = "3.11";

const REPORTS = "reports";
const CACHE_KEY = `lite3rl-rknn-toolkit2-${DEFAULT_TOOLKIT}-python${PYTHON}`;

/** What is kept of a run, also of one that failed: with what is made outside of build/. */
const keptOf = ({ made }: Project): readonly string[] => [REPORTS, "build", ...made];

/**
 * The binary into ~/.local/bin, or a stop where it is not the one that is meant. A release that is
 * private needs a header with a token, which no argument shows.
 */
const INSTALL = [
  ': "${LITE3RL_URL:?set this CI variable to where lite3rl-linux-x64 can be downloaded from}"',
  ': "${LITE3RL_SHA256:?set this CI variable to the SHA-256 of that file}"',
  'mkdir -p "$HOME/.local/bin"',
  'printf "%s\\n" "${LITE3RL_HEADER:-Accept: */*}" | ' +
    'curl -fsSL --retry 3 -H @- -o "$HOME/.local/bin/lite3rl" "$LITE3RL_URL"',
  'echo "$LITE3RL_SHA256  $HOME/.local/bin/lite3rl" | sha256sum --check',
  'chmod +x "$HOME/.local/bin/lite3rl"',
];

interface Step {
  readonly name: string;
  readonly run: string;
}

/** The policy's way, each step as `lite3rl.yaml` has it. */
function steps({ collects, settings }: Project): readonly Step[] {
  return [
    { name: "Install rknn-toolkit2", run: "lite3rl toolkit install" },
    { name: "Export", run: "lite3rl export" },
    ...(collects ? [{ name: "Collect a calibration set", run: "lite3rl collect" }] : []),
    { name: "Convert", run: "lite3rl convert" },
    {
      name: "Check parity",
      run:
        `lite3rl parity onnx rknn --require toolkit-simulator${walking(settings)} ` +
        `--report ${REPORTS}/parity.html --junit ${REPORTS}/parity.xml`,
    },
  ];
}

/**
 * Where convert accepts a file by its walk, parity asks for the same: with the MAE that may be
 * larger then, and the same episodes. What the file says of parity itself stands.
 */
function walking({ convert, parity, seed }: ProjectSettings): string {
  if (convert?.["closed-loop"] !== true) return "";
  const flags = {
    mae: parity?.mae === undefined ? (convert.mae ?? CLOSED_LOOP_MAE) : undefined,
    episodes: convert.episodes,
    margins: convert.margins,
    seed: convert.seed ?? seed,
  };
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  const words = given.map(([name, value]) => ` --${name} ${shellWord(String(value))}`);
  return ` --closed-loop${words.join("")}`;
}

const quoted = (text: string): string => JSON.stringify(text);

function lines(indent: number, items: readonly string[]): string {
  return items.map((item) => `${" ".repeat(indent)}${item}`).join("\n");
}

const head = (kind: string): string =>
  `# Written by lite3rl ci init ${kind}: makes the .rknn anew when the policy changes, and fails
# where it is not the policy any more. The steps take their flags from lite3rl.yaml.`;

/** Files that start a run, from the repository's root. */
const triggers = ({ inside, watched }: Project, workflow: string): string[] =>
  [...watched.map((name) => join(inside, name)), workflow].map((path) => `- ${quoted(path)}`);

const kept = (project: Project): string[] =>
  keptOf(project).map((name) => join(project.inside, name));

const GITHUB: Workflow = {
  file: ".github/workflows/lite3rl.yml",
  shown: "its checks are in the run's summary, page and files among its artifacts",
  render(project, path, digest) {
    const paths = lines(6, triggers(project, path));
    const run = steps(project).map(({ name, run }) => `- name: ${name}\n        run: ${run}`);
    return `${head("github")}
name: lite3rl
# A branch runs by its pull request, so that no change runs twice; push is for the default branch.
on:
  push:
    branches: [main, master]
    paths:
${paths}
  pull_request:
    paths:
${paths}
  workflow_dispatch:

permissions:
  contents: read

env:
  LITE3RL_URL: \${{ vars.LITE3RL_URL }}
  LITE3RL_SHA256: ${digest === undefined ? "${{ vars.LITE3RL_SHA256 }}" : quoted(digest)}

jobs:
  policy:
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    defaults:
      run:
        working-directory: ${quoted(project.inside)}
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          lfs: true
      - uses: actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065 # v5.6.0
        with:
          python-version: "${PYTHON}"
      - uses: actions/cache@5a3ec84eff668545956fd18022155c47e93e2684 # v4.2.3
        with:
          path: ~/.cache/lite3rl
          key: ${CACHE_KEY}
      - name: Install lite3rl
        env:
          # Of a private release: a secret such as "Authorization: token ..."; else not needed.
          # From GitHub, LITE3RL_URL is the asset's API address then, and the secret's second line
          # "Accept: application/octet-stream".
          LITE3RL_HEADER: \${{ secrets.LITE3RL_HEADER }}
        run: |
${lines(10, [...INSTALL, 'echo "$HOME/.local/bin" >> "$GITHUB_PATH"'])}
${lines(6, run)}
      - uses: mikepenz/action-junit-report@3585e9575db828022551b4231f165eb59a0e74e3 # v5.6.2
        if: always()
        with:
          report_paths: ${quoted(join(project.inside, REPORTS, "*.xml"))}
          annotate_only: true
          include_passed: true
          detailed_summary: true
      - uses: actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2
        if: always()
        with:
          name: policy
          path: |
${lines(12, kept(project))}
`;
  },
};

const GITLAB: Workflow = {
  file: ".gitlab-ci.yml",
  shown: "its checks are among the pipeline's tests, page and files among the job's artifacts",
  render(project, path, digest) {
    const enter = project.inside === "." ? [] : [`cd ${shellWord(project.inside)}`];
    const asItem = (command: string): string => `- ${quoted(command)}`;
    const known = digest === undefined ? [] : [`LITE3RL_SHA256: ${quoted(digest)}`];
    return `${head("gitlab")}
# A private release needs the masked variable LITE3RL_HEADER: "PRIVATE-TOKEN: ...", or for this
# project's own packages "JOB-TOKEN: $CI_JOB_TOKEN".
lite3rl:
  image: python:${PYTHON}-bookworm
  timeout: 30 minutes
  rules:
    - if: $CI_PIPELINE_SOURCE == "web"
    - if: $CI_COMMIT_BRANCH
      changes:
${lines(8, triggers(project, path))}
  variables:
${lines(4, ['XDG_CACHE_HOME: "$CI_PROJECT_DIR/.cache"', ...known])}
  cache:
    key: ${CACHE_KEY}
    paths:
      - .cache/lite3rl
  before_script:
${lines(4, [...INSTALL, 'export PATH="$HOME/.local/bin:$PATH"', ...enter].map(asItem))}
  script:
${lines(
  4,
  steps(project).map(({ run }) => asItem(run)),
)}
  artifacts:
    when: always
    paths:
${lines(6, kept(project).map(asItem))}
    reports:
      junit: ${quoted(join(project.inside, REPORTS, "*.xml"))}
`;
  },
};

export const WORKFLOWS = { github: GITHUB, gitlab: GITLAB } as const;

export const isKind = (word: string): word is keyof typeof WORKFLOWS =>
  Object.hasOwn(WORKFLOWS, word);
