import { expect, setDefaultTimeout, test } from "bun:test";
import { monotonicUs, waitUntilUs } from "./clock.ts";

setDefaultTimeout(60_000);

/** The file under test, for programs in a process of their own. */
const CLOCK = JSON.stringify(import.meta.resolve("./clock.ts"));

test("monotonicUs() never goes back, and goes as fast as Bun's own clock", () => {
  const [started, startedNs] = [monotonicUs(), Bun.nanoseconds()];
  let before = started;
  for (let i = 0; i < 20_000; i++) {
    const now = monotonicUs();
    if (now < before) throw new Error(`${now} came after ${before}`);
    before = now;
  }
  while (Bun.nanoseconds() - startedNs < 20e6);
  const [us, ns] = [monotonicUs() - started, Bun.nanoseconds() - startedNs];
  // Both were read twice, one after the other: preemption between may add, never take away.
  expect(us).toBeGreaterThanOrEqual(20_000);
  expect(Math.abs(us - ns / 1000)).toBeLessThan(0.25 * us + 50_000);
});

test("monotonicUs() is the clock that other processes read", async () => {
  const before = monotonicUs();
  const script = `import { monotonicUs } from ${CLOCK};
    console.log(monotonicUs())`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const theirs = Number(await child.stdout.text());
  expect(theirs).toBeWithin(before, monotonicUs());
});

test("waitUntilUs() never returns early, with and without a sleep", () => {
  for (const waitUs of [0, 200, 1000, 1499, 1501, 2500, 7300, 20_000]) {
    const deadline = monotonicUs() + waitUs;
    waitUntilUs(deadline);
    expect(monotonicUs()).toBeGreaterThanOrEqual(deadline);
  }
});

test("waitUntilUs() returns at once when the time has passed", () => {
  const started = monotonicUs();
  for (const ago of [0, 1, 5_000, started]) waitUntilUs(started - ago);
  expect(monotonicUs() - started).toBeLessThan(1_000_000);
});

test("waitUntilUs() goes on waiting after a signal", async () => {
  const script = `import { monotonicUs, waitUntilUs } from ${CLOCK};
    process.on("SIGUSR1", () => {});
    console.log("waiting");
    const deadline = monotonicUs() + 300_000;
    waitUntilUs(deadline);
    process.exitCode = monotonicUs() >= deadline ? 0 : 1;`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const { value } = await child.stdout[Symbol.asyncIterator]().next();
  expect(String(new TextDecoder().decode(value))).toBe("waiting\n");
  for (let i = 0; i < 5; i++) {
    child.kill("SIGUSR1");
    await Bun.sleep(10);
  }
  expect(await child.exited).toBe(0);
});
