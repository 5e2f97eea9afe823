import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { run, start } from "../cli/program_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const env = join(directory, "hostile.ts");
const stepping = (name: string, body: string): string =>
  `export const ${name} = () => ({ observationSize: 1, actionSize: 1, reset: () => [0],
     async step() { count++; await Bun.sleep(1); ${body}
       return { observation: [count], reward: 0, terminated: false }; } });\n`;
writeFileSync(
  env,
  ["let count = 0;\n"]
    .concat(
      stepping("exits", "if (count === 3) process.exit(0);"),
      stepping("late", 'if (count === 3) setTimeout(() => { throw new Error("late"); }, 1);'),
      stepping("rejects", 'if (count === 3) void Promise.reject(new Error("nobody waits"));'),
      stepping("slow", 'console.log("step");'),
    )
    .join(""),
);

const asked = (name: string): string[] => {
  const output = join(directory, `${name}.npy`);
  const words = ["--policy", "stand", "--samples", "50000", "--output", output];
  return ["collect", "--quiet", "--env", `${env}:${name}`, ...words];
};

const reasons = {
  exits: "Error: it asked to exit with 0",
  late: "Error: late",
  rejects: "Error: nobody waits",
};
for (const [name, reason] of Object.entries(reasons)) {
  test(`collect ends with an error and keeps what it saw when a program ${name}`, async () => {
    const { status, stdout, stderr } = await run(asked(name));
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toStartWith(`error: Cannot step environment "${env}:${name}": ${reason} in `);
    expect(stderr).toEndWith(`before it are in "${join(directory, `${name}.partial.npy`)}"\n`);
    expect(existsSync(join(directory, `${name}.npy`))).toBe(false);
  });
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  test(`collect keeps what it saw when ${signal} interrupts it`, async () => {
    const child = start(asked("slow"));
    const reader = child.stderr.getReader();
    await reader.read();
    child.kill(signal);
    let said = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      said += new TextDecoder().decode(value);
    }
    expect(await child.exited).toBe(1);
    expect(said).toMatch(
      /error: Cannot record the whole set: it was interrupted; .*"\S+slow\.partial\.npy"/,
    );
    expect(existsSync(join(directory, "slow.partial.npy"))).toBe(true);
  });
}
