import { expect, test } from "bun:test";
import { join } from "node:path";

/** Runs lines of a program with everything of process.ts; what it wrote, and how it ended. */
async function runProgram(lines: readonly string[]) {
  const module = JSON.stringify(join(import.meta.dir, "process.ts"));
  const program = [
    `import * as own from ${module};`,
    'import { writeSync } from "node:fs";',
    ...lines,
  ];
  const child = Bun.spawn([process.execPath, "-e", program.join("\n")], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 20_000,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  await child.exited;
  return { stdout, stderr, signal: child.signalCode };
}

test("moveStdout() keeps stdout to who has the descriptor that it returns", async () => {
  const lines = [
    "const fd = own.moveStdout();",
    'writeSync(1, "a library ");',
    'writeSync(fd, "an event ");',
    'writeSync(2, "an error ");',
    'writeSync(fd, "another");',
  ];
  expect(await runProgram(lines)).toEqual({
    stdout: "an event another",
    stderr: "a library an error ",
    signal: null,
  });
});

test("ignoreSignals() leaves a program alive that has none of its own way with them", async () => {
  const lines = [
    'own.ignoreSignals(["SIGHUP", "SIGINT", "SIGTERM", "SIGXFSZ"]);',
    'for (const name of ["SIGHUP", "SIGINT", "SIGTERM", "SIGXFSZ"]) process.kill(process.pid, name);',
    'writeSync(1, "alive");',
  ];
  expect(await runProgram(lines)).toEqual({ stdout: "alive", stderr: "", signal: null });
});

test("endWithParent() kills a child that hangs when its parent ends", async () => {
  const module = JSON.stringify(join(import.meta.dir, "process.ts"));
  const child = `import * as own from ${module}; own.endWithParent(); console.log("up"); for (;;);`;
  const lines = [
    `const child = Bun.spawn([process.execPath, "-e", ${JSON.stringify(child)}], {`,
    '  stdio: ["ignore", "pipe", "ignore"],',
    "});",
    "await child.stdout.getReader().read();",
    "writeSync(1, String(child.pid));",
    'process.kill(process.pid, "SIGKILL");',
  ];
  const { stdout, signal } = await runProgram(lines);
  expect([stdout, signal]).toEqual([expect.stringMatching(/^\d+$/), "SIGKILL"]);
  const isThere = async () => {
    const stat = Bun.file(`/proc/${stdout}/stat`);
    // A zombie waits for whoever adopted it, and runs no more.
    return (await stat.exists()) && !/\) Z /.test(await stat.text().catch(() => ") Z "));
  };
  while (await isThere()) await Bun.sleep(5);
});
