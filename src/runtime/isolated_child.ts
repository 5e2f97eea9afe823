/**
 * The child of `isolated.ts`: holds the NPU library and one model, and answers one request after
 * the other on file descriptor 3 until that closes. It blocks in system calls; nothing else runs
 * in it.
 */

import { endWithParent } from "../../ffi/process.ts";
import type { Core } from "../../ffi/rknn_api.ts";
import { openRknnLibrary } from "../../ffi/rknn_library.ts";
import { present } from "../base/assert.ts";
import type { PolicyState } from "./backend.ts";
import {
  bytesOf,
  Channel,
  ChannelClosed,
  CHILD_FD,
  decodeJson,
  encodeError,
  encodeJson,
  MESSAGE,
} from "./isolated_channel.ts";
import { type IoKind, openRknn, type RknnBackend } from "./rknn.ts";

/** What the parent asks for when it opens a model. */
export interface OpenRequest {
  readonly library: string;
  readonly core: Core;
  readonly io: IoKind;
}

/** What the child tells of an opened model. */
export type OpenAnswer = Pick<
  RknnBackend,
  "arithmetic" | "io" | "versions" | "inputs" | "outputs" | "observationSize" | "actionSize"
> & { readonly stateSizes: readonly number[] };

/** Serves until the parent is done or gone. */
export async function runIsolatedChild(): Promise<void> {
  endWithParent();
  using channel = new Channel(CHILD_FD);
  let child: Child | undefined;
  try {
    for (;;) {
      const { kind, body } = channel.receive();
      if (kind === MESSAGE.CLOSE) break;
      try {
        if (kind === MESSAGE.OPEN) {
          child = openChild(body);
          // What opening it left behind goes now: between answers nobody looks for it.
          Bun.gc(true);
          channel.send(MESSAGE.DONE, [encodeJson(child.answer)]);
        } else {
          channel.send(MESSAGE.DONE, await present(child, "a model").act(body));
        }
      } catch (error) {
        if (error instanceof ChannelClosed) throw error;
        channel.send(MESSAGE.FAILED, [encodeError(error)]);
      }
    }
    child?.backend[Symbol.dispose]();
    channel.send(MESSAGE.DONE, []);
  } catch (error) {
    // The parent is gone, and with it everybody who could be told.
    if (!(error instanceof ChannelClosed)) throw error;
  }
}

interface Child {
  readonly backend: RknnBackend;
  readonly answer: OpenAnswer;
  /** Times, actions and state of a request. */
  act(body: Uint8Array<ArrayBuffer>): Promise<readonly Uint8Array[]>;
}

/** Body: u32 bytes of the request, the request, the model. */
function openChild(body: Uint8Array<ArrayBuffer>): Child {
  const length = new DataView(body.buffer, body.byteOffset).getUint32(0, true);
  const request = decodeJson(body.subarray(4, 4 + length)) as OpenRequest;
  const model = body.slice(4 + length);
  const backend = openRknn(openRknnLibrary(request.library), model, request);
  const { arithmetic, io, versions, inputs, outputs, observationSize, actionSize } = backend;
  const state: PolicyState = backend.createState();
  const stateSizes = state.tensors.map(({ length: size }) => size);
  const requestState = bytesOfState(state);
  let observation = new Float32Array(observationSize);
  let action = new Float32Array(actionSize);
  return {
    backend,
    answer: {
      arithmetic,
      io,
      versions,
      inputs,
      outputs,
      observationSize,
      actionSize,
      stateSizes,
    },
    async act(request) {
      const stateBytes = requestState.reduce((sum, { length: size }) => sum + size, 0);
      const observationBytes = request.length - stateBytes;
      const rows = observationBytes / 4 / observationSize;
      if (observation.length !== rows * observationSize) {
        observation = new Float32Array(rows * observationSize);
        action = new Float32Array(rows * actionSize);
      }
      bytesOf(observation).set(request.subarray(0, observationBytes));
      let at = observationBytes;
      for (const bytes of requestState) {
        bytes.set(request.subarray(at, at + bytes.length));
        at += bytes.length;
      }
      await backend.infer(observation, action, state, rows);
      return [bytesOf(backend.timesUs), bytesOf(action), ...requestState];
    },
  };
}

const bytesOfState = ({ tensors }: PolicyState): Uint8Array[] => tensors.map(bytesOf);
