import { expect, test } from "bun:test";
import { join } from "node:path";
import { temporaryDirectory } from "../src/base/directory_fixture.ts";
import { refusalOf } from "../src/base/refusal_fixture.ts";
import { bindDatagram, connectDatagram, sendDatagram } from "./datagram.ts";
import { closeSocket, receive, WOULD_BLOCK } from "./socket.ts";

const directory = temporaryDirectory();

for (const name of [join(directory, "datagrams"), `@lite3rl-test-${process.pid}`]) {
  test(`sendDatagram() sends whole messages to ${name.slice(0, 8)}…`, () => {
    const server = bindDatagram(name);
    const client = connectDatagram(name);
    sendDatagram(client, "one");
    sendDatagram(client, "two\nlines");
    const buffer = new Uint8Array(64);
    const take = (): string =>
      new TextDecoder().decode(buffer.subarray(0, receive(server, buffer)));
    expect([take(), take(), receive(server, buffer)]).toEqual(["one", "two\nlines", WOULD_BLOCK]);
    closeSocket(server);
    // Nobody is there any more, and that is nobody's error.
    sendDatagram(client, "three");
    closeSocket(client);
  });
}

test("sendDatagram() waits for room where it may, and else loses the message", async () => {
  const name = join(directory, "full");
  const server = bindDatagram(name);
  const client = connectDatagram(name);
  // More than any queue takes.
  for (let i = 0; i < 5000; i++) sendDatagram(client, `${i}`);
  const reader = join(import.meta.dir, "socket.ts");
  const program =
    `const { receive } = await import(${JSON.stringify(reader)});` +
    "await Bun.sleep(100); const b = new Uint8Array(64); for (let i = 0; i < 3; i++) receive(3, b);";
  const child = Bun.spawn([process.execPath, "-e", program], {
    stdio: ["ignore", "ignore", "inherit", server],
  });
  sendDatagram(client, "kept", 20_000);
  await child.exited;
  sendDatagram(client, "after");
  const buffer = new Uint8Array(64);
  const texts: string[] = [];
  for (let count = receive(server, buffer); count > 0; count = receive(server, buffer)) {
    texts.push(new TextDecoder().decode(buffer.subarray(0, count)));
  }
  expect(texts.slice(-2)).toEqual(["kept", "after"]);
  expect(texts[0]).toBe("3");
  for (const fd of [server, client]) closeSocket(fd);
});

test("connectDatagram() says what stands in the way", async () => {
  const { code, message } = await refusalOf(() => connectDatagram(join(directory, "none")));
  expect([code, message]).toEqual([
    "NATIVE",
    "The system call connect failed: ENOENT, no such file or directory",
  ]);
});
