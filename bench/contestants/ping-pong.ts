/** Two processes send each other 64 bytes and a descriptor in turn, and close what they receive. */

import { openSync } from "node:fs";
import { OwnedFd, UnixStream } from "unix-ancillary";
import { isPeer, startPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";

const data = Buffer.alloc(64);
const file = OwnedFd.fromRaw(openSync("/dev/null", "r"));

if (isPeer) {
  const stream = UnixStream.from(OwnedFd.fromRaw(3));
  for await (const message of stream.messages(1)) {
    message[Symbol.dispose]();
    await stream.sendFds(data, [file]);
  }
} else {
  const stream = startPeer(import.meta.url);
  await serve(async (rounds) => {
    for (let i = 0; i < rounds; i++) {
      await stream.sendFds(data, [file]);
      const message = await stream.recvFds(1);
      check(message.fds.length === 1 && message.data.length === 64, "one message");
      message[Symbol.dispose]();
    }
  });
  stream.close();
}
