/**
 * The model against everything that has to run it: SoC, library, and the toolkit that made it.
 */

import { shapeText } from "../base/text.ts";
import type { RknnFile } from "../formats/rknn.ts";
import { TOOLKIT_LOCKS } from "../rknn_toolkit/locks.ts";
import { OWN_LIBRARY, VENDOR_LIBRARY } from "./library_script.ts";
import { parseRelease, type Release } from "./release.ts";
import { fails, notChecked, ok, type Row, type Step, type Subject, warning } from "./row.ts";

const TARGET = "rk3588";

/**
 * The last librknnrt that refuses a container, where that was measured: 1.3.4 gives -1, `Invalid
 * RKNN model version 6`. Version 6 is what toolkits 1.6.1 to 2.5.0 write and the only one that
 * this program reads. That a library older than the toolkit refuses the file is reported for 1.4
 * and 1.5 (rknn-toolkit2, issues 254 and 281), but not for every pair: a warning.
 */
const REFUSED_UP_TO: Readonly<Record<number, string>> = { 6: "1.3.4" };

export function checkModel({ model, libraries }: Subject): Row[] {
  if (model === undefined) {
    const row = notChecked("model", "none was given", "lite3rl doctor --model policy.rknn");
    return [row, notChecked("model and library", "no model was given")];
  }
  const { path, content } = model;
  if ("problem" in content) {
    return [
      fails(
        "model",
        `${path}: ${content.problem}`,
        "a .rknn for the rk3588",
        "lite3rl convert policy.onnx --output policy.rknn",
      ),
      notChecked("model and library", "the model cannot be read"),
    ];
  }
  return [checkFile(path, content), checkLibraryFor(content, libraries[0]?.version)];
}

function checkFile(path: string, { document, inputs, outputs }: RknnFile): Row {
  const platforms = document.target_platform;
  const [from, to] = [inputs, outputs].map((tensors) =>
    tensors.map(({ name, shape }) => `${name} ${shapeText(shape)}`).join(", "),
  );
  const made = `for ${platforms.join(", ")}, by toolkit ${document.version}`;
  const found = `${path}, ${made}, ${from} → ${to}`;
  if (platforms.includes(TARGET)) return ok("model", found);
  return fails(
    "model",
    found,
    `a model for ${TARGET}: the library refuses others`,
    `lite3rl convert policy.onnx --target ${TARGET} --output policy.rknn`,
  );
}

function checkLibraryFor({ version, document }: RknnFile, library: Release | undefined): Row {
  const check = "model and library";
  const toolkit = parseRelease(document.version);
  if (toolkit === undefined) return notChecked(check, "the model does not say its toolkit");
  if (library === undefined) {
    const wanted = `toolkit ${toolkit.text} wants librknnrt ${toolkit.text} or later`;
    return notChecked(check, `the library's version is not known; ${wanted}`);
  }
  const found = `container ${version} of toolkit ${toolkit.text} on librknnrt ${library.text}`;
  const needed = `librknnrt ${toolkit.text} or later`;
  const refused = REFUSED_UP_TO[version];
  if (refused !== undefined && isAtMost(library, refused)) {
    return fails(check, `${found}, which refuses it`, needed, ...installFor(toolkit, library));
  }
  if (library.isAtLeast(toolkit.text)) return ok(check, found);
  const why = `${found}, which is older and may refuse it`;
  return warning(check, why, needed, ...installFor(toolkit, library));
}

const isAtMost = (release: Release, other: string): boolean =>
  release.text === other || !release.isAtLeast(other);

/** What mends it that the library is older than the toolkit, and the script's step. */
function installFor(toolkit: Release, library: Release): [mend: string, step: Step] {
  if (isAtMost(toolkit, VENDOR_LIBRARY.version)) {
    return [`install librknnrt ${VENDOR_LIBRARY.version}: lite3rl doctor --fix`, "library"];
  }
  const own =
    `get librknnrt ${toolkit.text} from ${VENDOR_LIBRARY.place} once it is there, ` +
    `then ${OWN_LIBRARY}`;
  const [kept, step] = library.isAtLeast(VENDOR_LIBRARY.version)
    ? [library.text, "newer library" as const]
    : [VENDOR_LIBRARY.version, "library" as const];
  const other = matchingToolkit(kept);
  const convert =
    `convert with a toolkit that matches librknnrt ${kept}: ` +
    `lite3rl toolkit install --toolkit ${other}, lite3rl convert --toolkit ${other}`;
  return [other === undefined ? own : `${convert}; or ${own}`, step];
}

/** The newest toolkit that can be installed and is no newer than a library. */
const matchingToolkit = (library: string): string | undefined =>
  TOOLKIT_LOCKS.map((lock) => lock.toolkit).find(
    (version) => parseRelease(library)?.isAtLeast(version) === true,
  );
