/**
 * For tests: services and clients that end with the test that started them.
 */

import { afterEach } from "bun:test";
import { join } from "node:path";
import { type Driver, type Launch, startDriver } from "./driver_fixture.ts";
import { type Answer, answerWell, type FramedService, listen } from "./framed_service_fixture.ts";

/** A deadline that the service of a test never makes. */
export const SHORT_MS = 40;
/** What the drivers fill the array with before a call. */
export const UNTOUCHED = [-7, -7];
/** An observation, whose action is 1, 2. */
export const ONE = [1, 2, 3];

export interface Place {
  readonly directory: string;
  /** The driver's command; called when the tests run. */
  launch(): Launch;
}

export interface Stage {
  newPath(): string;
  /** Listens at a new path, at that one, or at a TCP port. */
  serve(answer?: Answer, at?: string): FramedService;
  drive(address: string, n?: number, a?: number, protocol?: "framed" | "raw"): Driver;
  meet(answer: Answer, n?: number): { readonly service: FramedService; readonly client: Driver };
  defer(end: () => void): void;
}

/** For a `describe`: clears up after each of its tests. */
export function createStage({ directory, launch }: Place): Stage {
  let stack = new AsyncDisposableStack();
  let count = 0;
  afterEach(async () => {
    const used = stack;
    stack = new AsyncDisposableStack();
    await used.disposeAsync();
  });
  const stage: Stage = {
    newPath: () => join(directory, `s${count++}`),
    serve(answer = answerWell, at = "unix") {
      const path = at === "unix" ? stage.newPath() : at === "tcp" ? undefined : at;
      return stack.use(listen(path, answer));
    },
    drive: (address, n = 3, a = 2, protocol = "framed") =>
      stack.use(startDriver(launch()([address, String(n), String(a), protocol]))),
    meet(answer, n) {
      const service = stage.serve(answer);
      return { service, client: stage.drive(service.address, n) };
    },
    defer: (end) => stack.defer(end),
  };
  return stage;
}
