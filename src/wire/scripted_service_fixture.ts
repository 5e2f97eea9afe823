/**
 * For tests: a service that behaves as its arguments say, also badly, in a process of its own
 * (our client blocks). Independent of our own service.
 *
 * Started with a socket path and `Script` as JSON; prints a line once it listens.
 */

export interface Script {
  /** Bytes of one request and one answer; a byte of the nth answer is n. */
  readonly requestBytes: number;
  readonly answerBytes: number;
  /** Wait before the nth answer (from 0), when it is there. */
  readonly delayMs?: readonly number[];
  /** Answers given on one connection before it goes silent, or is closed. */
  readonly answers?: number;
  readonly afterwards?: "silence" | "close";
  /** Sends answers in pieces of this size. */
  readonly piece?: number;
}

/** Starts it; dispose of it to end it. */
export async function startScripted(path: string, script: Script): Promise<Disposable> {
  const child = Bun.spawn([process.execPath, import.meta.path, path, JSON.stringify(script)], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
  });
  const { done } = await child.stdout[Symbol.asyncIterator]().next();
  if (done) throw new Error("the scripted service did not start");
  return { [Symbol.dispose]: () => child.kill("SIGKILL") };
}

interface Client {
  received: number;
  answered: number;
  queue: Promise<void>;
}

async function answer(socket: Bun.Socket<Client>, script: Script): Promise<void> {
  const {
    answers = Infinity,
    afterwards = "silence",
    delayMs = [],
    piece = script.answerBytes,
  } = script;
  const number = socket.data.answered++;
  if (number >= answers) {
    if (afterwards === "close") socket.end();
    return;
  }
  await Bun.sleep(delayMs[number] ?? 0);
  const bytes = new Uint8Array(script.answerBytes).fill(number);
  for (let at = 0; at < bytes.length; at += piece) {
    socket.write(bytes.subarray(at, at + piece));
    if (piece < bytes.length) await Bun.sleep(1);
  }
}

if (import.meta.main) {
  const [path = "", text = "{}"] = process.argv.slice(2);
  const script = JSON.parse(text) as Script;
  Bun.listen<Client>({
    unix: path,
    socket: {
      open(socket) {
        socket.data = { received: 0, answered: 0, queue: Promise.resolve() };
        if (script.answers === 0 && script.afterwards === "close") socket.end();
      },
      data(socket, bytes) {
        const { data } = socket;
        data.received += bytes.length;
        for (; data.received >= script.requestBytes; data.received -= script.requestBytes) {
          data.queue = data.queue.then(() => answer(socket, script));
        }
      },
    },
  });
  await Bun.write(Bun.stdout, "listening\n");
}
