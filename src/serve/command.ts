/**
 * `lite3rl serve`: answers observations with actions, as the blueprint's service does. This process
 * is the supervisor; engines, processes of their own, have the model and the clients.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { notice, setJsonLog } from "../base/log.ts";
import { plural } from "../base/text.ts";
import { type Stop, stopOnSignals } from "../base/stop.ts";
import { defineCommand } from "../cli/command.ts";
import type { ReadyEvent } from "../service/control.ts";
import type { EngineSnapshot } from "../service/page.ts";
import { checkReach, chooseEndpoints, httpAddress, openEndpoints } from "./endpoints.ts";
import { chooseFiles, chooseOptions, type ServeFlags } from "./engine_options.ts";
import { SERVE_FLAGS } from "./flags.ts";
import type { Listener } from "./listener.ts";
import { type Notify, openNotify } from "./notify.ts";
import { describeReady } from "./ready.ts";
import { lockRecording } from "./record_lock.ts";
import { createServiceView } from "./service_view.ts";
import { Supervisor } from "./supervisor.ts";
import { hasSystemdListeners, takeSystemdListeners } from "./systemd.ts";
import { type SocketWatch, watchSockets } from "./watch_sockets.ts";

export default defineCommand({
  name: "serve",
  positionals: "",
  summary: "Answer observations with actions on a Unix or TCP socket",
  example:
    "serve --model build/policy.onnx --obs-stats inputs/obs_stats.npz " +
    "--socket /tmp/lite3_policy.sock --warmup 16",
  flags: SERVE_FLAGS,
  // A socket beside systemd's must be asked for in so many words.
  unused: () => (hasSystemdListeners() ? ["socket", "tcp"] : []),
  async run(_positionals, flags, context) {
    setJsonLog(flags.log === "json");
    const given = takeSystemdListeners();
    const listeners: Listener[] = [...given];
    const endpoints = chooseEndpoints(flags, given);
    using stop = stopOnSignals();
    if (flags.stopWithStdin) stopAtEndOfStdin(stop);
    using notify = openNotify();
    stop.signal.addEventListener("abort", notify.stopping);
    using _record = flags.record === undefined ? undefined : lockRecording(flags.record);
    using supervisor = await createSupervisor(flags);
    supervisor.history.onEvent = notify.heard;
    using _reload = reloadOnSignal(supervisor, notify);
    try {
      const ready = await supervisor.open(stop);
      if (ready === undefined) return undefined;
      checkCalibration(flags.calibration, supervisor, ready);
      listeners.push(...openEndpoints(endpoints));
      await supervisor.listen(listeners);
      using sockets = watchSockets(listeners, supervisor);
      using _http = await openHttp(flags, supervisor, sockets);
      if (!stop.requested) {
        const announced = describeReady(flags.model, listeners, ready);
        context.announce(announced);
        notify.ready(announced.text);
      }
      await supervisor.serve();
      notice(lastWords(supervisor.totals().counters));
    } finally {
      for (const listener of listeners) listener[Symbol.dispose]();
      process.stdin.destroy();
    }
    return undefined;
  },
});

async function createSupervisor(flags: ServeFlags): Promise<Supervisor> {
  return new Supervisor({
    files: await chooseFiles(flags),
    options: await chooseOptions(flags),
    inferTimeoutMs: flags.inferTimeout * 1000,
    restartsMax: flags.restartsMax,
    spare: flags.spare,
    watch: flags.watch,
  });
}

/** What `--http` asks for, if it does. */
async function openHttp(
  flags: ServeFlags,
  supervisor: Supervisor,
  sockets: SocketWatch,
): Promise<Disposable> {
  if (flags.http === undefined) return { [Symbol.dispose]() {} };
  const address = httpAddress(flags.http);
  checkReach(address, flags.insecureNetwork, "metrics");
  const { startHttp } = await import("./http/server.ts");
  const server = await startHttp(address, createServiceView(supervisor, sockets));
  supervisor.history.tell("info", "http", `metrics and a live page are at ${server.address}`);
  return server;
}

function stopAtEndOfStdin(stop: Stop): void {
  process.stdin.on("end", stop.request);
  process.stdin.on("error", stop.request);
  process.stdin.resume();
}

function reloadOnSignal(supervisor: Supervisor, notify: Notify): Disposable {
  const reload = (): void => {
    notify.reloading();
    supervisor.reload();
  };
  process.on("SIGUSR1", reload);
  return {
    [Symbol.dispose]() {
      process.off("SIGUSR1", reload);
    },
  };
}

function checkCalibration(
  path: string | undefined,
  { settings }: Supervisor,
  { observationSize }: ReadyEvent,
): void {
  const width = settings.options.ranges?.min.length ?? observationSize;
  if (width === observationSize) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot use the calibration set ${quote(path)}: it has ${width} columns, the policy observes ` +
      `${observationSize}; name the set that belongs to it with --calibration`,
  );
}

function lastWords(totals: EngineSnapshot["counters"]): string {
  const { answered, connections, badInput, failed, protocolErrors, partialFrames } = totals;
  const turnedAway = totals.connectionsRefused + totals.credentialsRefused;
  return (
    `stopped: ${answered} answers on ${connections} connections, ` +
    `${plural(badInput + failed + protocolErrors, "request")} refused, ` +
    `${partialFrames} left in the middle of a request` +
    (turnedAway === 0 ? "" : `, ${plural(turnedAway, "client")} turned away`)
  );
}
