/**
 * The one check that runs something: on the live machine the library loads the model and runs it
 * once, in a process of its own with a time limit, since it may crash or hang.
 */

import { Lite3Error } from "../base/errors.ts";
import { openIsolated } from "../runtime/isolated.ts";
import { fails, notChecked, ok, type Row, type Subject, warning } from "./row.ts";

const CHECK = "loading";
/** A policy loads in some ms; without a driver the library takes 110 ms to say so. */
const LIMIT_MS = 20_000;
/** Names of ELF files for what this program may be built for. */
const MACHINES: Readonly<Record<string, string>> = { arm64: "aarch64", x64: "x86_64" };

/** An error of the library's calls has its own cure; one that was not loaded has another. */
function cureOf(error: Lite3Error): string {
  if (error.message.startsWith("Cannot load the NPU library")) {
    return "install Rockchip's librknnrt: lite3rl doctor --fix prints how";
  }
  return "RKNN_LOG_LEVEL=4 lite3rl doctor --model … shows the library's own words";
}

export async function checkLoading({ machine, libraries, model }: Subject): Promise<Row> {
  if (model === undefined) return notChecked(CHECK, "no model was given");
  if ("problem" in model.content) return notChecked(CHECK, "the model cannot be read");
  if (!machine.isLive) return notChecked(CHECK, "only the machine itself can load it");
  const [library] = libraries;
  if (library === undefined || !("symbols" in library.content)) {
    return notChecked(CHECK, "there is no library");
  }
  const here = MACHINES[process.arch];
  if (library.content.machine !== here) {
    return notChecked(CHECK, `the library is not for this program, which is for ${here}`);
  }
  try {
    using backend = await openIsolated(model.bytes, {
      library: library.path,
      core: "auto",
      io: "float",
      loadLimitMs: LIMIT_MS,
    });
    const observation = new Float32Array(backend.observationSize);
    const action = new Float32Array(backend.actionSize);
    await backend.infer(observation, action, backend.createState(), 1);
    const { api, driver } = backend.versions;
    const found = `librknnrt ${api} with driver ${driver} runs the model`;
    if (backend.arithmetic === "npu") return ok(CHECK, found);
    return warning(
      CHECK,
      `${found}: the test double, no NPU`,
      "Rockchip's library",
      "leave it out",
    );
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    const needed = "a library that runs the model, for the user who runs the doctor";
    return fails(CHECK, error.message, needed, cureOf(error));
  }
}
