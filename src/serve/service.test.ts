import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, OBS_STATS } from "../cli/program_fixture.ts";
import {
  ACTION_BYTES,
  Client,
  computeExchange,
  type Exchange,
  expectAnswers,
  killServices,
  OBSERVATION_BYTES,
  type Service,
  startService,
} from "./service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let service: Service;
let unix: string;
let exchange: Exchange;

beforeAll(async () => {
  const model = await exportDemoPolicy(directory);
  unix = join(directory, "s");
  service = await startService(["--model", model, "--obs-stats", OBS_STATS, "--socket", unix]);
  exchange = await computeExchange(model);
});

afterAll(killServices);

const request = (i: number): Uint8Array => exchange.requests[i % exchange.requests.length]!;
const answer = (i: number): Uint8Array => exchange.answers[i % exchange.answers.length]!;
const range = <T>(from: number, count: number, of: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => of(from + i));

/** An observation with one number that is not finite. */
function spoiled(index: number, value: number): Uint8Array {
  const observation = new Float32Array(request(0).slice().buffer);
  observation[index] = value;
  return new Uint8Array(observation.buffer);
}

describe("the service", () => {
  test("answers one raw observation with one raw action", async () => {
    expect([OBSERVATION_BYTES, ACTION_BYTES]).toEqual([request(0).length, answer(0).length]);
    const client = await Client.connect({ unix });
    client.send(request(0));
    await expectAnswers(client, [answer(0)]);
    client.close();
  });

  test("answers an observation that comes in two parts, split anywhere", async () => {
    const client = await Client.connect({ unix });
    for (let at = 1; at < OBSERVATION_BYTES; at++) {
      client.send(request(at).subarray(0, at));
      client.send(request(at).subarray(at));
      await expectAnswers(client, [answer(at)]);
    }
    client.close();
  });

  test("answers two observations whose end and begin come together, split anywhere", async () => {
    const client = await Client.connect({ unix });
    const both = Buffer.concat([request(1), request(2)]);
    for (let at = 1; at < OBSERVATION_BYTES; at++) {
      client.send(both.subarray(0, at));
      client.send(both.subarray(at, OBSERVATION_BYTES + at));
      await expectAnswers(client, [answer(1)]);
      client.send(both.subarray(OBSERVATION_BYTES + at));
      await expectAnswers(client, [answer(2)]);
    }
    client.close();
  });

  test("answers an observation that comes byte by byte", async () => {
    const client = await Client.connect({ unix });
    for (const byte of request(7)) {
      client.send(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    await expectAnswers(client, [answer(7)]);
    client.close();
  });

  test("answers 500 pipelined observations in their order", async () => {
    const client = await Client.connect({ unix });
    client.send(...range(0, 500, request));
    await expectAnswers(client, range(0, 500, answer));
    client.close();
  });

  test("answers any pieces of a stream as it answers the whole", async () => {
    const client = await Client.connect({ unix });
    const stream = Buffer.concat(range(0, 20, request));
    const cuts = fc.array(fc.integer({ min: 1, max: stream.length - 1 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(cuts, async (positions) => {
        let from = 0;
        for (const to of [...positions.sort((a, b) => a - b), stream.length]) {
          client.send(stream.subarray(from, to));
          from = to;
        }
        await expectAnswers(client, range(0, 20, answer));
      }),
      { numRuns: 40, seed: 7 },
    );
    client.close();
  });

  test("ends a connection that sends NaN or infinity, after the answers before it", async () => {
    const bystander = await Client.connect({ unix });
    bystander.send(request(3).subarray(0, 100));
    for (const bad of [spoiled(0, NaN), spoiled(44, Infinity), spoiled(20, -Infinity)]) {
      const client = await Client.connect({ unix });
      client.send(...range(0, 5, request), bad, request(5));
      expect(await client.takeRest()).toEqual(range(0, 5, answer));
    }
    bystander.send(request(3).subarray(100));
    await expectAnswers(bystander, [answer(3)]);
    bystander.close();
    for (const bad of ["0\\] is NaN", "44\\] is Infinity", "20\\] is -Infinity"]) {
      await service.stderr.until(
        new RegExp(`closed a connection: Cannot act: observation\\[${bad}, need finite numbers\n`),
      );
    }
  });

  test("goes on when a client leaves in the middle of an observation", async () => {
    const client = await Client.connect({ unix });
    client.send(request(0), request(1).subarray(0, 90));
    await expectAnswers(client, [answer(0)]);
    client.close();
    await service.stderr.until(/a client left in the middle of a request\n/);
    const next = await Client.connect({ unix });
    next.send(request(2));
    await expectAnswers(next, [answer(2)]);
    next.close();
  });

  test("answers everything to a client that has said it sends no more", async () => {
    const client = await Client.connect({ unix });
    client.send(...range(30, 200, request));
    await client.finish();
    expect(await client.takeRest()).toEqual(range(30, 200, answer));
  });

  test("takes a client that says nothing, and one that leaves without a word", async () => {
    const silent = await Client.connect({ unix });
    (await Client.connect({ unix })).close();
    const client = await Client.connect({ unix });
    client.send(request(9));
    await expectAnswers(client, [answer(9)]);
    client.close();
    silent.send(request(10));
    await expectAnswers(silent, [answer(10)]);
    silent.close();
  });
});
