/**
 * 100,000 inferences over a double with faults, in a process of its own so that its memory can be
 * watched: `bun isolated_soak_fixture.ts MODEL LIBRARY ONCE_DIRECTORY`. Prints one JSON document.
 */

import { readFileSync } from "node:fs";
import { present } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";
import { readGoldenActions } from "../policy/policy_fixture.ts";
import { type IsolatedBackend, openIsolated } from "./isolated.ts";

const CALLS = 100_000;
/** When the parent has compiled what it runs and the last child was started: growth follows. */
const SETTLED = { parent: 35_000, child: 35_000 } as const;
const OBSERVATIONS = 45;
const ACTIONS = 12;
/** What an action holds before the call; nothing computes it. */
const UNTOUCHED = -1e9;

const [path = "", library = "", once = ""] = process.argv.slice(2);
const model = readFileSync(path);
const golden = await readGoldenActions();
const open = (faults: Record<string, string>): Promise<IsolatedBackend> =>
  openIsolated(model, {
    library,
    core: "auto",
    io: "float",
    limitMs: 500,
    env: { LITE3RL_DOUBLE: "1", ...faults },
  });

const observation = new Float32Array(OBSERVATIONS);
const action = new Float32Array(ACTIONS);
const fill = (row: number): void =>
  observation.set(golden.normalised.subarray(row * OBSERVATIONS, (row + 1) * OBSERVATIONS));

const expected = new Float32Array(golden.rows * ACTIONS);
{
  using backend = await open({});
  for (let row = 0; row < golden.rows; row++) {
    fill(row);
    await backend.infer(observation, action, backend.createState(), 1);
    expected.set(action, row * ACTIONS);
  }
}

const errors: Record<string, number> = {};
let [acted, wrong, partial] = [0, 0, 0];
const pids = new Set<number>();
const rssKb: Record<string, number> = {};

using backend = await open({
  LITE3RL_DOUBLE_FAIL: "run:%50:-1",
  LITE3RL_DOUBLE_NAN_AT: "%999",
  LITE3RL_DOUBLE_HANG_AT: "30011",
  LITE3RL_DOUBLE_CRASH_AT: "30021",
  LITE3RL_DOUBLE_ONCE: once,
});
const state = backend.createState();
for (let call = 0; call < CALLS; call++) {
  const row = call % golden.rows;
  fill(row);
  action.fill(UNTOUCHED);
  try {
    await backend.infer(observation, action, state, 1);
    acted++;
    for (let i = 0; i < ACTIONS; i++) {
      if (action[i] !== expected[row * ACTIONS + i]) {
        wrong++;
        break;
      }
    }
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    const name = `${error.code}: ${error.message}`;
    errors[name] = (errors[name] ?? 0) + 1;
    if (action.some((value) => value !== UNTOUCHED)) partial++;
  }
  if (backend.pid !== undefined) pids.add(backend.pid);
  if (call === SETTLED.parent) rssKb.parent = residentKb("self");
  if (call === SETTLED.child) rssKb.child = residentKb(present(backend.pid, "a child"));
}
const grownKb = {
  parent: residentKb("self") - present(rssKb.parent),
  child: residentKb(present(backend.pid, "a child")) - present(rssKb.child),
};
const processes = pids.size;
process.stdout.write(JSON.stringify({ acted, wrong, partial, errors, processes, grownKb }));

function residentKb(pid: number | "self"): number {
  if (pid === "self") Bun.gc(true);
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]);
}
