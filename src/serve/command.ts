/**
 * `lite3rl serve`: answers observations with actions, as the blueprint's service does.
 */

import { quantileSorted } from "simple-statistics";
import * as v from "valibot";
import { Lite3Error } from "../base/errors.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { notice } from "../base/log.ts";
import { type Stop, stopOnSignals } from "../base/stop.ts";
import { defineCommand, integerValue, pathValue, switchValue, textValue } from "../cli/command.ts";
import { NPU_FLAGS } from "../cli/npu_flags.ts";
import { microseconds } from "../cli/output.ts";
import { openPolicy } from "../runtime/open.ts";
import type { Policy } from "../runtime/policy.ts";
import {
  DEFAULT_SOCKET,
  DEFAULT_TCP,
  describeAddress,
  tcpAddress,
  unixAddress,
} from "../wire/endpoint.ts";
import type { SocketAddress } from "../../ffi/socket.ts";
import { runEngine } from "./engine.ts";
import { type Listener, openListener } from "./listener.ts";

export default defineCommand({
  name: "serve",
  positionals: "",
  summary: "Answer observations with actions on a Unix or TCP socket",
  example:
    "serve --model build/policy.onnx --obs-stats inputs/obs_stats.npz " +
    "--socket /tmp/lite3_policy.sock --warmup 16",
  flags: {
    model: { value: "<file>", help: "The policy, an .onnx or .rknn file", schema: pathValue() },
    obsStats: {
      value: "<npz>",
      help: "mean and std of the observations, applied as (obs-mean)/max(std,1e-3)",
      schema: v.optional(pathValue()),
    },
    socket: {
      value: "<path>",
      help: `Unix socket to listen on (default: ${DEFAULT_SOCKET})`,
      schema: v.optional(pathValue()),
    },
    tcp: {
      value: "[host:port]",
      help: "Listen on TCP instead, or as well if --socket is given (default: 127.0.0.1:3588)",
      schema: v.optional(v.union([v.literal(true), textValue("host:port")])),
    },
    insecureNetwork: {
      help: "Allow --tcp beyond loopback: whoever reaches the port gets actions",
      schema: switchValue(),
    },
    stopWithStdin: {
      help: "Stop when standard input ends, as it does when the program that started this one dies",
      schema: switchValue(),
    },
    warmup: {
      value: "<n>",
      help: "Inferences before the service is ready (default: 16)",
      schema: v.optional(integerValue(0, 1_000_000), 16),
    },
    ...NPU_FLAGS,
  },
  async run(_positionals, flags, context) {
    const addresses = chooseAddresses(flags.socket, flags.tcp, flags.insecureNetwork);
    using stop = stopOnSignals();
    if (flags.stopWithStdin) stopAtEndOfStdin(stop);
    using policy = await openPolicy(flags.model, flags.obsStats, { ...flags, backend: "auto" });
    const warmup = await warmUp(policy, flags.warmup, stop);
    const listeners: Listener[] = [];
    try {
      for (const address of addresses) listeners.push(openListener(address));
      context.announce(ready(flags.model, policy, listeners, warmup));
      const counters = await runEngine(listeners, policy, stop);
      notice(
        `stopped: ${counters.answered} answers on ${counters.connections} connections, ` +
          `${counters.refused} refused, ${counters.partial} left in the middle of an observation`,
      );
    } finally {
      for (const listener of listeners) listener[Symbol.dispose]();
      process.stdin.destroy();
    }
    return undefined;
  },
});

function stopAtEndOfStdin(stop: Stop): void {
  process.stdin.on("end", stop.request);
  process.stdin.on("error", stop.request);
  process.stdin.resume();
}

function chooseAddresses(
  socket: string | undefined,
  tcp: string | true | undefined,
  insecure: boolean,
): SocketAddress[] {
  const addresses: SocketAddress[] = [];
  if (socket !== undefined || tcp === undefined) {
    addresses.push(unixAddress(socket ?? DEFAULT_SOCKET));
  }
  if (tcp !== undefined) {
    const address = tcp === true ? DEFAULT_TCP : tcpAddress(tcp);
    if (address.kind === "tcp" && !address.host.startsWith("127.") && !insecure) {
      throw new Lite3Error(
        "USAGE",
        `Cannot listen on ${address.host}: the service would answer the whole network, need ` +
          "127.0.0.1 (and ssh -L for other machines) or --insecure-network",
      );
    }
    addresses.push(address);
  }
  return addresses;
}

interface WarmUp {
  readonly count: number;
  readonly p50Us: number;
  readonly maxUs: number;
}

/** Runs the whole policy, normalizer included, on the mean observation. */
async function warmUp(
  policy: Policy,
  count: number,
  stop: { readonly requested: boolean },
): Promise<WarmUp> {
  const observation = new Float32Array(policy.observationSize);
  if (policy.normalizer !== undefined) observation.set(policy.normalizer.mean);
  const action = new Float32Array(policy.actionSize);
  const state = policy.backend.createState();
  const latenciesUs: number[] = [];
  for (let i = 0; i < count && !stop.requested; i++) {
    if (i % 1000 === 999) await turnEventLoop();
    const started = Bun.nanoseconds();
    await policy.act(observation, action, state);
    latenciesUs.push((Bun.nanoseconds() - started) / 1000);
  }
  const sorted = latenciesUs.sort((a, b) => a - b);
  const [first] = sorted;
  if (first === undefined) return { count: 0, p50Us: 0, maxUs: 0 };
  return { count: sorted.length, p50Us: quantileSorted(sorted, 0.5), maxUs: sorted.at(-1) ?? 0 };
}

function ready(model: string, policy: Policy, listeners: readonly Listener[], warmup: WarmUp) {
  const endpoints = listeners.map(({ address }) => describeAddress(address));
  const { backend, observationSize, actionSize } = policy;
  const normalizer = policy.normalizer === undefined ? policy.normalizerUse : "obs-stats";
  const latency =
    warmup.count === 0
      ? "no warm-up"
      : `warm-up ${warmup.count}: p50 ${microseconds(warmup.p50Us)}, ` +
        `max ${microseconds(warmup.maxUs)}`;
  return {
    text:
      `READY ${endpoints.join(" ")} · ${model} · ${observationSize} → ${actionSize} · ` +
      `normalizer ${normalizer} · ${backend.name} (${backend.arithmetic}) · ${latency}`,
    json: {
      ready: true,
      endpoints,
      model,
      observationSize,
      actionSize,
      normalizer,
      backend: backend.name,
      evidence: backend.arithmetic,
      warmup: { count: warmup.count, p50Us: warmup.p50Us, maxUs: warmup.maxUs },
      pid: process.pid,
    },
  };
}
