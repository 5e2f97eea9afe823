import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import {
  exportDemoPolicy,
  failed,
  OBS_STATS,
  run,
  runJson,
  start,
} from "../cli/program_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { linear, modelOf, networkOf } from "../policy/policy_fixture.ts";
import { killServices, startService } from "../serve/service_fixture.ts";
import { CLOSED_INSTEAD } from "../wire/client_socket.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const socket = join(directory, "s");
let model: string;
let agent: string[];

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  agent = ["agent", "--model", model, "--obs-stats", OBS_STATS];
  const flags = ["--model", model, "--obs-stats", OBS_STATS, "--socket", socket];
  await startService(flags);
});

afterAll(killServices);

/** A policy file that always acts `value`. */
function constantModel(name: string, inputs: number, value: number): string {
  const path = join(directory, name);
  const row = Array<number>(inputs).fill(0);
  const layer = linear("actor.0", Array(12).fill(row), Array(12).fill(value));
  const metadata = { normalizer: "folded" } as const;
  writeFileSync(path, encodeOnnx(modelOf(networkOf(layer), { metadata })));
  return path;
}

describe("agent --json", () => {
  const number = expect.any(Number);
  const vector = [number, number, number];

  test("gives its document, and the same trajectory in process and through a service", async () => {
    const flags = ["--fast", "--steps", "60", "--seed", "5", "--command", "-0.3,0.1,0"];
    const [inProcess, remote] = await Promise.all([
      runJson([...agent, ...flags]),
      runJson(["agent", "--connect", `unix:${socket}`, ...flags]),
    ]);
    expect(inProcess).toEqual({
      status: 0,
      stderr: "",
      json: {
        walkedM: number,
        displacementM: [number, number],
        falls: 0,
        ending: null,
        steps: 60,
        durationS: 1.2,
        rateHz: 50,
        totalReward: number,
        restarts: 0,
        command: [-0.3, 0.1, 0],
        velocity: vector,
        velocityError: vector,
        heightM: { min: number, max: number, mean: number },
        feetDown: number,
        overruns: null,
        latencyUs: { p50: number, p99: number, max: number },
        requestedSteps: 60,
        realTime: false,
        environment: "lite3",
        start: "standing",
        seed: 5,
        backend: "mlp",
        evidence: "cpu",
        trajectorySha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    });
    expect(remote).toEqual({
      ...inProcess,
      json: {
        ...inProcess.json,
        backend: "remote",
        evidence: "cpu",
        latencyUs: { p50: number, p99: number, max: number },
      },
    });
  });

  test("runs a duration in real time, and another seed otherwise", async () => {
    const started = performance.now();
    const flags = ["--duration", "500ms", "--rate", "100"];
    const connect = ["agent", "--connect", `unix:${socket}`, ...flags];
    const [one, two] = await Promise.all([
      runJson([...connect, "--seed", "1"]),
      runJson([...connect, "--seed", "2"]),
    ]);
    expect(performance.now() - started).toBeGreaterThan(500);
    const facts = { steps: 50, durationS: 0.5, rateHz: 100, realTime: true, falls: 0 };
    expect([one.json, two.json]).toMatchObject([facts, facts]);
    expect(one.json.trajectorySha256).not.toBe(two.json.trajectorySha256);
  });

  test("takes 512 steps, the blueprint's number, unless told otherwise", async () => {
    const { status, json } = await runJson(["agent", "--connect", `unix:${socket}`, "--fast"]);
    expect({ status, json }).toMatchObject({ status: 0, json: { steps: 512, falls: 0 } });
  });

  test("runs in an environment of the user's, and reports what that tells", async () => {
    const env = join(directory, "my_env.ts");
    writeFileSync(
      env,
      `export default class {
        observationSize = 45;
        actionSize = 12;
        controlPeriodMs = 10;
        #steps = 0;
        reset(seed: number) { console.log("seed", seed); return new Float32Array(45); }
        step() {
          this.#steps++;
          const observation = new Float32Array(45);
          const truncated = this.#steps % 8 === 0;
          return { observation, reward: 0.5, terminated: false, truncated };
        }
      }`,
    );
    const ran = await runJson([
      "agent",
      "--connect",
      `unix:${socket}`,
      "--env",
      env,
      "--steps",
      "20",
    ]);
    expect(ran).toEqual({
      status: 0,
      stderr: "seed 0\nseed 1\nseed 2\n",
      json: {
        falls: 0,
        ending: null,
        steps: 20,
        durationS: 0.2,
        rateHz: 100,
        totalReward: 10,
        restarts: 2,
        overruns: number,
        latencyUs: { p50: number, p99: number, max: number },
        requestedSteps: 20,
        realTime: true,
        environment: env,
        seed: 0,
        backend: "remote",
        evidence: "cpu",
      },
    });
  });

  test("exits with 1 when the robot falls", async () => {
    const falling = constantModel("falling.onnx", 45, -6);
    expect(await runJson(["agent", "--model", falling, "--fast"])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^failed: the robot fell: pitch -\d\d\.\d°, limit 45°\n$/),
      json: {
        falls: 1,
        ending: expect.stringMatching(/^pitch/),
        requestedSteps: 512,
        steps: expect.any(Number),
      },
    });
  });
});

describe("agent", () => {
  test("shows its summary as a table on stdout", async () => {
    const { status, stdout, stderr } = await run([...agent, "--fast", "--steps", "51"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.split("\n").map((line) => line.split("  ")[0])).toEqual([
      "episode",
      "walked",
      "time",
      "command",
      "velocity",
      "velocity error",
      "base height",
      "feet down",
      "falls",
      "overruns",
      "latency",
      "",
    ]);
    expect(stdout).toContain("1.02 s, 51 steps at 50 Hz\n");
    expect(stdout).toContain("command         vx 0.50 m/s, vy 0.00 m/s, wz 0.00 rad/s\n");
    expect(stdout).toMatch(/\(mlp, cpu\)\n$/);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`${signal} ends it with a summary of what it did, and 1`, async () => {
      const path = join(directory, signal);
      let answers = 0;
      // Stands the robot still; its own process gets the signal when the loop is going.
      using listener = answerZeros(path, () => {
        if (++answers === 60) child.kill(signal);
      });
      const child = start(["agent", "--connect", `unix:${path}`, "--duration", "50s", "--json"]);
      const [status, stdout, stderr] = await Promise.all([
        child.exited,
        child.stdout.text(),
        child.stderr.text(),
      ]);
      const json = JSON.parse(stdout) as { steps: number };
      expect({ status, json, listening: listener.unix }).toMatchObject({
        status: 1,
        json: { falls: 0, ending: null, requestedSteps: 2500 },
      });
      expect(json.steps).toBeWithin(30, 2500);
      expect(stderr).toBe(
        `interrupted after ${json.steps} of 2500 steps\nfailed: interrupted before the end\n`,
      );
    });
  }

  test("ends with 7 when the service goes away in the middle", async () => {
    const path = join(directory, "leaving");
    let answers = 0;
    using _listener = answerZeros(path, (client) => {
      if (++answers === 60) client.end();
    });
    expect(await run(["agent", "--connect", `unix:${path}`, "--fast"])).toEqual(
      failed(7, `The service at unix:${path} ${CLOSED_INSTEAD}`),
    );
  });

  const usage: Record<string, { flags: string[]; message: string }> = {
    "neither --model nor --connect": {
      flags: [],
      message:
        "agent needs a policy: either --model policy.onnx or --connect unix:/tmp/lite3_policy.sock",
    },
    "both --model and --connect": {
      flags: ["--model", "policy.onnx", "--connect", "unix:/tmp/x"],
      message:
        'Cannot use --model "policy.onnx" and --connect "unix:/tmp/x" together: ' +
        "the service has its own model, give one of them",
    },
    "--connect with --obs-stats": {
      flags: ["--connect", "unix:/tmp/x", "--obs-stats", "a.npz"],
      message: 'Cannot use --obs-stats "a.npz" with --connect: the service normalises by itself',
    },
    "--steps with --duration": {
      flags: ["--model", "policy.onnx", "--steps", "5", "--duration", "5s"],
      message: "--steps and --duration say the same thing: give one of them",
    },
    "an endpoint without its kind": {
      flags: ["--connect", "/tmp/x"],
      message: 'Cannot use endpoint "/tmp/x": need unix:PATH or tcp:HOST:PORT',
    },
    "a start that is none": {
      flags: ["--model", "policy.onnx", "--start", "sitting"],
      message: '--start needs one of standing, lying, got "sitting"',
    },
    "a rate that is none": {
      flags: ["--model", "policy.onnx", "--rate", "5"],
      message: "--rate needs a rate in Hz from 10 to 1000, got 5",
    },
  };
  for (const [name, { flags, message }] of Object.entries(usage)) {
    test(`refuses ${name}`, async () => {
      expect(await run(["agent", ...flags])).toEqual(failed(2, message));
    });
  }

  test("refuses a model, and a service, of other sizes", async () => {
    const narrow = constantModel("narrow.onnx", 44, 0);
    const path = join(directory, "narrow");
    const other = await startService(["--model", narrow, "--socket", path]);
    const connect = ["--connect", `unix:${path}`, "--timeout", "300ms"];
    const [asModel, asService] = await Promise.all([
      run(["agent", "--model", narrow, "--fast"]),
      run(["agent", ...connect]),
    ]);
    expect(asModel).toEqual(
      failed(
        2,
        "Cannot run this policy in lite3: it takes 44 numbers and gives 12, the environment " +
          "gives 45 and takes 12; choose another --model or --env",
      ),
    );
    expect(asService).toEqual(
      failed(
        7,
        `Cannot use the service at unix:${path}: it takes 44 numbers and gives 12, ` +
          "need one that takes 45 numbers and gives 12",
      ),
    );
    await other.stop();
  });

  test("refuses a service that is not there, and one that never answers", async () => {
    const nobody = join(directory, "nobody");
    const silent = join(directory, "silent");
    using _listener = Bun.listen({ unix: silent, socket: { data() {} } });
    const connect = (path: string): string[] => ["agent", "--connect", `unix:${path}`];
    expect(
      await Promise.all([run(connect(nobody)), run([...connect(silent), "--timeout", "200ms"])]),
    ).toEqual([
      failed(
        7,
        `Cannot connect to "${nobody}": there is no such socket, start lite3rl serve there`,
      ),
      failed(
        7,
        `Cannot use the service at unix:${silent}: it did not answer one observation ` +
          `(The service at unix:${silent} did not answer within 200 ms (0 of 48 bytes)), ` +
          "need one that takes 45 numbers and gives 12",
      ),
    ]);
  });

  test("leaves the service it asked as it found it", async () => {
    const path = join(directory, "own");
    const flags = ["--model", model, "--obs-stats", OBS_STATS, "--socket", path];
    const own = await startService(flags);
    const asked = ["agent", "--connect", `unix:${path}`, "--fast", "--steps", "5"];
    expect((await run(asked)).status).toBe(0);
    const { status, stderr } = await own.stop();
    // It records what it is asked: nothing but the steps.
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr:
        "stopped: 5 answers on 1 connections, 0 requests refused, 0 left in the middle of a request\n",
    });
  });
});

/** A service of 45 → 12 in this process that answers zeros. */
function answerZeros(unix: string, onAnswer: (client: Bun.Socket<{ bytes: number }>) => void) {
  return Bun.listen<{ bytes: number }>({
    unix,
    socket: {
      open(client) {
        client.data = { bytes: 0 };
      },
      data(client, bytes) {
        const { data } = client;
        for (data.bytes += bytes.length; data.bytes >= 180; data.bytes -= 180) {
          client.write(new Uint8Array(48));
          onAnswer(client);
        }
      },
    },
  });
}
