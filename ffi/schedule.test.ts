import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Runs one of schedule.ts's functions in a process of its own, without any privilege. */
async function runUnprivileged(call: string): Promise<{ stdout: string; stderr: string }> {
  const module = JSON.stringify(join(import.meta.dir, "schedule.ts"));
  const program = [
    `import { lockMemory, pinToCpu, useFifo } from ${module};`,
    'import { readFileSync } from "node:fs";',
    `try { ${call}; } catch (error) { console.log(error.code, error.message); }`,
    'const status = readFileSync("/proc/thread-self/status", "utf8");',
    String.raw`console.error(/Cpus_allowed_list:\t(.*)/.exec(status)[1]);`,
  ];
  // In a user namespace of its own, root may nothing that the system reserves for root.
  const limits = ["prlimit", "--rtprio=0", "--memlock=65536"];
  const isolated = ["unshare", "--user", "--map-root-user", ...limits];
  const child = Bun.spawn([...isolated, process.execPath, "-e", program.join("\n")], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 20_000,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  await child.exited;
  return { stdout: stdout.trim(), stderr: stderr.trim() };
}

test("pinToCpu() leaves the thread one CPU, and refuses one that is not there", async () => {
  const status = readFileSync("/proc/self/status", "utf8");
  const cpu = /Cpus_allowed_list:\t(\d+)/.exec(status)?.[1] as string;
  expect(await runUnprivileged(`pinToCpu(${cpu})`)).toEqual({ stdout: "", stderr: cpu });
  expect((await runUnprivileged("pinToCpu(1023)")).stdout).toBe(
    "NATIVE Cannot pin to CPU 1023: EINVAL, invalid argument, " +
      "need one of this machine's that it may use; see --cpu",
  );
});

test("useFifo() and lockMemory() say what permits them, where nothing does", async () => {
  expect((await runUnprivileged("useFifo(20)")).stdout).toBe(
    "NATIVE Cannot run with --fifo 20: not permitted (EPERM), " +
      "need CAP_SYS_NICE or a real-time limit (ulimit -r 20, LimitRTPRIO=20)",
  );
  expect((await runUnprivileged("lockMemory()")).stdout).toMatch(
    /^NATIVE Cannot lock memory with --mlock: not permitted \(ENOMEM\), need CAP_IPC_LOCK or a limit \(ulimit -l/,
  );
});
