/**
 * A page in a real browser, for tests: what it says of itself, what it complained of, and pictures
 * of it. Speaks the Chrome DevTools protocol with headless Chromium.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TextStream } from "../../cli/program_fixture.ts";

const LIMIT_MS = 30_000;
const FLAGS =
  "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking " +
  "--disable-component-update --disable-sync --remote-debugging-port=0";

export interface BrowserPage extends AsyncDisposable {
  /** Errors of the console, of scripts, of the policy and of the network, as they came. */
  readonly problems: readonly string[];
  /** Addresses that the page asked for. */
  readonly requested: ReadonlySet<string>;
  evaluate<T>(expression: string): Promise<T>;
  /** Waits until the expression is true. */
  until(expression: string): Promise<void>;
  /** The whole page as PNG. */
  screenshot(width: number, theme: "light" | "dark"): Promise<Uint8Array>;
}

type Json = Record<string, unknown>;

/** Starts a browser of its own with the page; both end when disposed. */
export async function openInBrowser(chromium: string, url: string): Promise<BrowserPage> {
  const profile = mkdtempSync(join(tmpdir(), "lite3rl-browser-"));
  const flags = [...FLAGS.split(" "), `--user-data-dir=${profile}`, "about:blank"];
  const browser = Bun.spawn([chromium, ...flags], { stdio: ["ignore", "ignore", "pipe"] });
  const end = async (): Promise<void> => {
    browser.kill("SIGKILL");
    await browser.exited;
    rmSync(profile, { recursive: true, force: true, maxRetries: 20 });
  };
  try {
    const stderr = new TextStream(browser.stderr);
    const [, port] = await stderr.until(/DevTools listening on ws:\/\/[^/]*:(\d+)\//);
    const list = `http://127.0.0.1:${port}/json/list`;
    const targets = (await (await fetch(list)).json()) as { type: string; [key: string]: string }[];
    const target = targets.find(({ type }) => type === "page")?.webSocketDebuggerUrl;
    const page = await speakTo(target ?? "");
    await page.call("Page.navigate", { url });
    return { ...page, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}

async function speakTo(url: string) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`no DevTools at ${url}`));
  });
  const problems: string[] = [];
  const requested = new Set<string>();
  const waiting = new Map<number, (message: Json) => void>();
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(String(data)) as { id?: number; method?: string; params?: Json };
    if (message.id !== undefined) waiting.get(message.id)?.(message as Json);
    else note(message.method ?? "", message.params ?? {}, problems, requested);
  };
  let calls = 0;
  const call = async (method: string, params: Json = {}): Promise<Json> => {
    const id = ++calls;
    const answer = await new Promise<Json>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer to ${method}`)), LIMIT_MS);
      waiting.set(id, (message) => {
        clearTimeout(late);
        resolve(message);
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
    if (answer.error !== undefined) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
    return answer.result as Json;
  };
  for (const domain of ["Page", "Runtime", "Log", "Network"]) await call(`${domain}.enable`);

  const evaluate = async <T>(expression: string): Promise<T> => {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await call("Runtime.evaluate", options);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  };
  return {
    problems,
    requested,
    call,
    evaluate,
    async until(expression: string): Promise<void> {
      const deadline = performance.now() + LIMIT_MS;
      // What is being loaded has no document yet, and what is being left has none any more.
      const whenLoaded = `document.readyState === "complete" && (${expression})`;
      while (!(await evaluate<boolean>(whenLoaded).catch(() => false))) {
        if (performance.now() > deadline) throw new Error(`never true in the page: ${expression}`);
        await Bun.sleep(50);
      }
    },
    async screenshot(width: number, theme: string): Promise<Uint8Array> {
      const features = [{ name: "prefers-color-scheme", value: theme }];
      await call("Emulation.setEmulatedMedia", { features });
      const size = { width, height: 900, deviceScaleFactor: 1, mobile: false };
      await call("Emulation.setDeviceMetricsOverride", size);
      await Bun.sleep(300);
      const picture = await call("Page.captureScreenshot", { captureBeyondViewport: true });
      return Buffer.from(String(picture.data), "base64");
    },
  };
}

function note(method: string, params: Json, problems: string[], requested: Set<string>): void {
  const keep = (kind: string): void => void problems.push(`${kind}: ${JSON.stringify(params)}`);
  if (method === "Runtime.exceptionThrown") keep("exception");
  if (method === "Log.entryAdded") keep("log");
  if (method === "Runtime.consoleAPICalled" && params.type !== "debug") keep("console");
  if (method === "Network.requestWillBeSent") {
    const { url } = params.request as { url: string };
    requested.add(url);
  }
}
