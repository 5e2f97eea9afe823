import { afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { TextStream } from "../cli/program_fixture.ts";
import { encodeHello, KIND, STATUS } from "../wire/protocol.ts";
import { compile } from "./driver_fixture.ts";
import {
  ABOUT,
  type Answer,
  frame,
  type FramedService,
  listen,
  reasonFrame,
} from "./framed_service_fixture.ts";
import { clientText } from "./sources.ts";

setDefaultTimeout(120_000);

/** What the runner gives to the joints. */
interface Command {
  readonly decimation: number;
  readonly count: number;
  readonly pose: readonly number[];
  readonly velocity: readonly number[];
  readonly kp: readonly number[];
  readonly kd: readonly number[];
  readonly torque: readonly number[];
}

const POSE = [0, -0.65, 1.3];
const twelve = (numbers: readonly number[]): number[] =>
  Array.from({ length: 12 }, (_, i) => Math.fround(numbers[i % numbers.length] ?? NaN));
const close = (numbers: readonly number[]): number[] =>
  numbers.map((number) => expect.closeTo(number, 5) as number);
/** Joint targets by the contract: pose + action · scale. */
const targets = (action: readonly number[]): number[] =>
  action.map((value, i) => (POSE[i % 3] ?? 0) + value * (i % 3 === 0 ? 0.125 : 0.25));

const walking = (action: readonly number[]) => ({
  pose: close(targets(action)),
  velocity: twelve([0]),
  kp: twelve([30]),
  kd: twelve([1]),
  torque: twelve([0]),
});
const STANDING = walking(twelve([0]));
const DAMPED = { ...STANDING, kp: twelve([0]), kd: twelve([2.5]) };

interface State {
  readonly rpy: readonly number[];
  readonly omega: readonly number[];
  readonly command: readonly number[];
  readonly q: readonly number[];
  readonly dq: readonly number[];
}
const STATE: State = {
  rpy: [0.1, -0.2, 0.3],
  omega: [0.4, -0.8, 1.2],
  command: [0.5, -0.25, 1],
  q: Array.from({ length: 12 }, (_, i) => i / 10),
  dq: Array.from({ length: 12 }, (_, i) => -i / 2),
};

/** The action of the nth request is n + joint / 16, exact in float32. */
const actionOf = (n: number): number[] => Array.from({ length: 12 }, (_, i) => n + i / 16);

describeWith("cxx", "eigen")("the runner for Lite3_rl_deploy", () => {
  const directory = temporaryDirectory();
  const program = join(directory, "runner");
  let stack = new AsyncDisposableStack();
  let count = 0;
  beforeAll(async () => {
    await Bun.write(join(directory, "lite3_socket_policy_runner.hpp"), clientText("cpp --lite3"));
    const vendor = join(import.meta.dir, "lite3_fixture");
    const places = ["-isystem", findTool("eigen") ?? "", `-I${vendor}`, `-I${directory}`];
    await compile(findTool("cxx") ?? "", [join(vendor, "driver.cpp"), ...places, "-o", program]);
  });
  afterEach(async () => {
    const used = stack;
    stack = new AsyncDisposableStack();
    await used.disposeAsync();
  });

  let answers = 0;
  const well: Answer = (request, socket) => {
    if (request.kind === KIND.hello) socket.write(hello(request));
    else
      socket.write(frame(request, new Uint8Array(Float32Array.from(actionOf(answers++)).buffer)));
  };
  const hello = (request: Parameters<Answer>[0], about: object = {}, sizes: object = {}) => {
    const size = { observationSize: 45, actionSize: 12, rowsMax: 64, isRecurrent: false };
    return frame(request, encodeHello({ ...size, about: { ...ABOUT, ...about }, ...sizes }));
  };
  const refusing =
    (status: number): Answer =>
    (request, socket) =>
      void socket.write(reasonFrame(request, status, "why"));

  const serve = (answer: Answer = well): FramedService => {
    answers = 1;
    return stack.use(listen(join(directory, `s${count++}`), answer));
  };
  const drive = (address: string, env: Record<string, string> = {}) => {
    const child = Bun.spawn([program], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, LITE3RL_CONNECT: address, LITE3RL_DEADLINE_US: "10000000", ...env },
      timeout: 60_000,
    });
    const stdout = new TextStream(child.stdout);
    const stderr = new TextStream(child.stderr);
    stack.defer(async () => {
      void child.stdin.end();
      if ((await child.exited) !== 0) throw new Error(await stderr.rest());
    });
    const say = (line: string): void => {
      child.stdin.write(`${line}\n`);
      child.stdin.flush();
    };
    let taken = 0;
    return {
      stderr,
      enter: () => say("enter"),
      async act(change: Partial<State> = {}): Promise<Command> {
        const { rpy, omega, command, q, dq } = { ...STATE, ...change };
        say(["act", ...rpy, ...omega, ...command, ...q, ...dq].join(" "));
        const [, line = ""] = await stdout.until(new RegExp(`^(?:.*\n){${taken++}}(.*)\n`));
        return JSON.parse(line) as Command;
      },
    };
  };

  test("asks with the observation of the contract, and commands the action", async () => {
    const service = serve();
    const robot = drive(service.address);
    expect(await robot.act()).toEqual({ decimation: 12, count: 1, ...walking(actionOf(1)) });
    expect(await robot.act()).toEqual({ decimation: 12, count: 2, ...walking(actionOf(2)) });
    const [roll = 0, pitch = 0] = STATE.rpy;
    const measured = [
      ...STATE.omega.map((rate) => rate * 0.25),
      Math.sin(pitch),
      -Math.cos(pitch) * Math.sin(roll),
      -Math.cos(pitch) * Math.cos(roll),
      ...STATE.command.map((stick) => stick * 0.8),
      ...STATE.q.map((angle, i) => angle - (POSE[i % 3] ?? 0)),
      ...STATE.dq.map((velocity) => velocity * 0.05),
    ];
    const asked = service.infers().map(({ values, flags }) => ({ flags, values: [...values] }));
    expect(asked).toEqual([
      { flags: 1, values: close([...measured, ...twelve([0])]) },
      { flags: 0, values: close([...measured, ...actionOf(1)]) },
    ]);
    await robot.stderr.until(new RegExp(`${service.address}: ok\n`));
  });

  test("OnEnter() begins an episode without a last action", async () => {
    const service = serve();
    const robot = drive(service.address);
    await robot.act();
    await robot.act();
    robot.enter();
    expect(await robot.act()).toMatchObject({ count: 1 });
    const asked = service.infers().map(({ flags, values }) => [flags, values[33]]);
    expect(asked).toEqual([
      [1, 0],
      [0, 1],
      [1, 0],
    ]);
  });

  test("holds the last command while answers are late, then damps, and comes back", async () => {
    const service = serve();
    const robot = drive(service.address, { LITE3RL_HOLD: "4", LITE3RL_DEADLINE_US: "200000" });
    const held = walking(actionOf(1));
    expect(await robot.act()).toMatchObject(held);
    const late: (() => void)[] = [];
    service.answer = (request, socket) => void late.push(() => well(request, socket));
    const commands = [];
    for (let i = 0; i < 5; i++) commands.push(await robot.act());
    expect(commands).toMatchObject([held, held, held, held, DAMPED]);
    for (const answer of late) answer();
    answers = 2;
    service.answer = well;
    expect(await robot.act()).toMatchObject(walking(actionOf(2)));
    // Damping ended the episode.
    expect(service.infers().at(-1)).toMatchObject({ flags: 1 });
    expect(service.infers().at(-1)?.values[33]).toBe(0);
    expect(await robot.act()).toMatchObject(walking(actionOf(3)));
  });

  test("holds as long when the service is busy, one period when it failed", async () => {
    const service = serve();
    const robot = drive(service.address, { LITE3RL_HOLD: "2" });
    const held = walking(actionOf(1));
    await robot.act();
    service.answer = refusing(STATUS.busy);
    expect([await robot.act(), await robot.act()]).toMatchObject([held, held]);
    expect(await robot.act()).toMatchObject(DAMPED);
    service.answer = well;
    const again = walking(actionOf(2));
    expect(await robot.act()).toMatchObject(again);
    service.answer = refusing(STATUS.failed);
    expect(await robot.act()).toMatchObject(again);
    expect(await robot.act()).toMatchObject(DAMPED);
  });

  test("damps within a period when the service is gone, and comes back with it", async () => {
    const path = join(directory, `s${count++}`);
    answers = 1;
    const service = listen(path, well);
    const robot = drive(`unix:${path}`);
    const held = walking(actionOf(1));
    expect(await robot.act()).toMatchObject(held);
    service[Symbol.dispose]();
    expect([await robot.act(), await robot.act()]).toMatchObject([held, DAMPED]);
    stack.use(listen(path, well));
    await Bun.sleep(30);
    expect(await robot.act()).toMatchObject(walking(actionOf(2)));
  });

  test("an engine that dies with a request costs that period only", async () => {
    const service = serve();
    const robot = drive(service.address);
    const held = walking(actionOf(1));
    await robot.act();
    service.answer = (_, socket) => void socket.terminate();
    expect(await robot.act()).toMatchObject(held);
    service.answer = well;
    expect(await robot.act()).toMatchObject(walking(actionOf(2)));
  });

  test("damps at once, and asks nothing, when a reading is missing or not finite", async () => {
    const service = serve();
    const robot = drive(service.address);
    await robot.act();
    const wrong: Partial<State>[] = [
      { omega: [NaN, 0, 0] },
      { rpy: [0, NaN, 0] },
      { q: twelve([NaN]) },
      { q: [1, 2, 3], dq: [1, 2, 3] },
    ];
    for (const change of wrong) expect(await robot.act(change)).toMatchObject(DAMPED);
    expect(service.infers().length).toBe(1);
    await robot.stderr.until(/: bad input, a reading is missing or not finite\n/);
  });

  test("stands in the default pose before the first action", async () => {
    const robot = drive(`unix:${join(directory, "nobody")}`);
    expect(await robot.act()).toMatchObject(STANDING);
    expect(await robot.act()).toMatchObject(DAMPED);
    await robot.stderr.until(/nobody: disconnected, No such file or directory\n/);
  });

  test("does not walk with a service of another robot", async () => {
    const service = serve((request, socket) => {
      socket.write(hello(request, {}, { observationSize: 48 }));
    });
    const robot = drive(service.address);
    await robot.stderr.until(/incompatible, it takes 48 and gives 12 numbers, need 45 and 12\n/);
    expect([await robot.act(), await robot.act()]).toMatchObject([STANDING, DAMPED]);
    expect(service.infers()).toEqual([]);
  });

  test("with the fallback the vendor's runner acts, and the next question knows it", async () => {
    const service = serve();
    const robot = drive(service.address, { LITE3RL_FALLBACK: "onnx" });
    await robot.act();
    service.answer = refusing(STATUS.failed);
    const pose = twelve([0.125, -0.4, 1.55]);
    const kp = twelve([31]);
    for (let i = 0; i < 3; i++) expect(await robot.act()).toMatchObject({ pose, kp });
    // It throws, or gives no joints: then as without a fallback.
    const held = await robot.act({ command: [1, 1, 1] });
    expect(held).toMatchObject({ pose, kp });
    expect(await robot.act({ command: [-1, -1, -1] })).toMatchObject(DAMPED);
    await robot.act();
    service.answer = well;
    expect(await robot.act()).toMatchObject(walking(actionOf(2)));
    expect([...(service.infers().at(-1)?.values.subarray(33) ?? [])]).toEqual(
      close(twelve([1])) as number[],
    );
  });

  test("takes the period from its variable, and says when the policy's is another", async () => {
    const service = serve((request, socket) => {
      socket.write(hello(request, { controlPeriodMs: 20 }));
    });
    const vendor = drive(service.address);
    await vendor.stderr.until(
      /trained at 20 ms a period, and is run at 12 ms: LITE3RL_DECIMATION=20/,
    );
    service.answer = well;
    const own = drive(service.address, { LITE3RL_DECIMATION: "20", LITE3RL_HOLD: "many" });
    expect(await own.act()).toMatchObject({ decimation: 20 });
    await own.stderr.until(/Cannot use LITE3RL_HOLD "many": need 0 to 1000, taken is 8\n/);
  });
});
