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

test("connectDatagram() says what stands in the way", async () => {
  const { code, message } = await refusalOf(() => connectDatagram(join(directory, "none")));
  expect([code, message]).toEqual([
    "NATIVE",
    "The system call connect failed: ENOENT, no such file or directory",
  ]);
});
