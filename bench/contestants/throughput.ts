/**
 * One direction, two processes, a descriptor on each message. The receiver closes the descriptors, and answers with a byte when
 * everything has arrived. Arguments: bytes per message; `own` (recvFdsInto with the receiver's buffer) or `new` (recvFds).
 */

import { openSync } from "node:fs";
import { OwnedFd, UnixStream } from "unix-ancillary";
import { args, isPeer, startPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";

const bytes = Number(args[0]);
const file = OwnedFd.fromRaw(openSync("/dev/null", "r"));
/** The size that net.Socket uses, or a whole message. */
const bufferSize = Math.max(65536, bytes);

if (isPeer) {
  const stream = UnixStream.from(OwnedFd.fromRaw(3));
  const own = args[1] === "own";
  const buffer = Buffer.alloc(bufferSize);
  for (;;) {
    const order = await stream.recvFds(0, { bufferSize: 4 });
    if (order.eof) break;
    const messages = order.data.readUInt32LE();
    let left = messages * bytes;
    let fdsReceived = 0;
    while (left > 0) {
      if (own) {
        const message = await stream.recvFdsInto(buffer, 1);
        check(!message.eof, "the stream has not ended");
        left -= message.bytesRead;
        fdsReceived += message.fds.length;
        message[Symbol.dispose]();
      } else {
        const message = await stream.recvFds(1, { bufferSize });
        check(!message.eof, "the stream has not ended");
        left -= message.data.length;
        fdsReceived += message.fds.length;
        message[Symbol.dispose]();
      }
    }
    check(left === 0 && fdsReceived === messages, "a descriptor on each message");
    await stream.sendFds("x");
  }
} else {
  const stream = startPeer(import.meta.url);
  const data = Buffer.alloc(bytes);
  await serve(async (rounds) => {
    const order = Buffer.alloc(4);
    order.writeUInt32LE(rounds);
    await stream.sendFdsAll(order);
    for (let i = 0; i < rounds; i++) await stream.sendFdsAll(data, [file]);
    await stream.recvFds(0);
  });
  stream.close();
}
