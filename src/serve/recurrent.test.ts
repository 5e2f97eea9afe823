/**
 * A recurrent policy behind the service: every connection has a state of its own.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { present } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { run } from "../cli/program_fixture.ts";
import { GRU_CHECKPOINT, readSequence, type Sequence } from "../policy/recurrent_fixture.ts";
import type { PolicyState } from "../runtime/backend.ts";
import { openPolicy } from "../runtime/open.ts";
import { openRemote } from "../runtime/remote.ts";
import { FramedClient, type InferOptions } from "../wire/framed_client.ts";
import { Client, killServices, type Service, startService } from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const model = join(directory, "gru.onnx");
const unix = join(directory, "s");
let golden: Sequence;
let service: Service;

beforeAll(async () => {
  const { path, activation } = GRU_CHECKPOINT;
  const ran = await run(["export", path, "--activation", activation, "--output", model]);
  expect(ran.status).toBe(0);
  service = await startService(["--model", model, "--socket", unix]);
  golden = await readSequence("rsl_rl_4_0_gru");
});

afterAll(killServices);

const connect = () => Client.connect({ unix }, 16);

/** The golden observations in order, or in the opposite one. */
function requests(isReversed: boolean): Uint8Array[] {
  const rows = Array.from({ length: golden.rows }, (_, row) =>
    golden.observations.slice(row * 12, (row + 1) * 12),
  );
  return (isReversed ? rows.reverse() : rows).map((row) => new Uint8Array(row.buffer));
}

/** What the model answers to a sequence of its own. */
async function answersAlone(sequence: readonly Uint8Array[]): Promise<Uint8Array[]> {
  using policy = await openPolicy(model, undefined);
  const state = policy.backend.createState();
  const answers: Uint8Array[] = [];
  for (const bytes of sequence) {
    const action = new Float32Array(4);
    await policy.act(new Float32Array(bytes.slice().buffer), action, state);
    answers.push(new Uint8Array(action.buffer));
  }
  return answers;
}

describe("the service of a recurrent policy", () => {
  test("gives two interleaved clients what two separate sequences give", async () => {
    const sequences = [requests(false), requests(true)];
    const clients = [await connect(), await connect()];
    const given: Uint8Array[][] = [[], []];
    for (let step = 0; step < golden.rows; step++) {
      for (const [i, client] of clients.entries()) client.send(present(sequences[i]?.[step]));
      for (const [i, client] of clients.entries()) given[i]?.push(...(await client.take(1)));
    }
    for (const client of clients) client.close();
    expect(given).toEqual(await Promise.all(sequences.map(answersAlone)));
    const actions = new Float32Array(Buffer.concat(present(given[0])).buffer);
    const worst = golden.actions.reduce(
      (max, value, i) => Math.max(max, Math.abs(value - present(actions[i]))),
      0,
    );
    expect([actions.length, worst <= 1e-5]).toEqual([golden.actions.length, true]);
  });

  test("begins anew with each connection, and takes a sequence at once", async () => {
    const sequence = requests(false);
    const given: Uint8Array[][] = [];
    for (let round = 0; round < 2; round++) {
      const client = await connect();
      client.send(...sequence);
      given.push(await client.take(golden.rows));
      client.close();
    }
    const alone = await answersAlone(sequence);
    expect(given).toEqual([alone, alone]);
  });
});

describe("a reload of a recurrent policy", () => {
  test("closes raw connections in their episode, and moves those before it", async () => {
    const [first, second] = requests(false) as [Uint8Array, Uint8Array];
    const [alone] = (await answersAlone([first])) as [Uint8Array];
    const [begun, fresh] = [await connect(), await connect()];
    begun.send(first);
    expect(await begun.take(1)).toEqual([alone]);
    begun.send(second.subarray(0, 7));
    service.program.kill("SIGUSR1");
    await service.stderr.until(/generation 2 of .* serves, 2 connections moved/);
    expect(await begun.takeRest()).toEqual([]);
    await service.stderr.until(/closed a connection: another engine took over, and the policy's/);
    fresh.send(first);
    expect(await fresh.take(1)).toEqual([alone]);
    fresh.close();
  });
});

describe("the remote backend of a recurrent policy", () => {
  test("keeps a state per connection, and a connection per state", async () => {
    const sizes = { observationSize: 12, actionSize: 4, timeoutMs: 20_000 };
    using backend = openRemote({ kind: "unix", path: unix }, sizes);
    const infer = (state: PolicyState, bytes: Uint8Array): Uint8Array => {
      const action = new Float32Array(4);
      void backend.infer(new Float32Array(bytes.slice().buffer), action, state, 1);
      return new Uint8Array(action.buffer);
    };
    const sequence = requests(false).slice(0, 5);
    const [warm, first, second] = [
      backend.createState(),
      backend.createState(),
      backend.createState(),
    ];
    for (const bytes of sequence) infer(warm, bytes);
    const given = sequence.map((bytes) => [infer(first, bytes), infer(second, bytes)]);
    const alone = await answersAlone(sequence);
    expect(given).toEqual(alone.map((answer) => [answer, answer]));
  });
});

describe("the framed client of a recurrent policy", () => {
  const RESET = { reset: true } as const;
  const numbers = (parts: readonly Uint8Array[]): Float32Array =>
    new Float32Array(Uint8Array.from(Buffer.concat(parts)).buffer);

  function ask(client: FramedClient, parts: readonly Uint8Array[], options?: InferOptions) {
    const action = new Float32Array(parts.length * 4);
    client.infer(numbers(parts), action, options);
    return [...action];
  }

  test("takes rows of a request as consecutive steps, and begins anew where told to", async () => {
    const sequence = requests(false).slice(0, 9);
    const alone = [...numbers(await answersAlone(sequence))];
    using client = new FramedClient({ kind: "unix", path: unix }, 20_000);
    expect(client.hello.isRecurrent).toBe(true);
    for (const options of [undefined, RESET]) {
      const first = ask(client, sequence.slice(0, 4), options);
      const given = sequence.slice(4).map((row) => ask(client, [row]));
      expect([...first, ...given.flat()]).toEqual(alone);
    }
  });

  test("keeps its episode through a request with a NaN, also one that would end it", async () => {
    const [first, second, third] = requests(false) as [Uint8Array, Uint8Array, Uint8Array];
    const alone = [...numbers(await answersAlone([first, second, third]))];
    const bad = second.slice();
    new DataView(bad.buffer).setFloat32(4, Number.NaN, true);
    using client = new FramedClient({ kind: "unix", path: unix }, 20_000);
    const given = [ask(client, [first])];
    for (const refused of [[bad], [second, bad]]) {
      for (const options of [undefined, RESET]) {
        expect(() => ask(client, refused, options)).toThrow("bad input");
      }
    }
    given.push(ask(client, [second]), ask(client, [third]));
    expect(given.flat()).toEqual(alone);
  });
});
