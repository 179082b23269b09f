/**
 * One way, two processes: a descriptor on each message; the receiver closes what comes and answers with a byte when all is
 * there. Arguments: bytes a message; `own` (recvFdsInto, a buffer of the receiver's) or `new` (recvFds).
 */

import { openSync } from "node:fs";
import { OwnedFd, UnixStream } from "unix-ancillary";
import { args, isPeer, startPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";

const bytes = Number(args[0]);
const file = OwnedFd.fromRaw(openSync("/dev/null", "r"));
/** As net.Socket's, or a whole message. */
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
    let came = 0;
    while (left > 0) {
      if (own) {
        const message = await stream.recvFdsInto(buffer, 1);
        check(!message.eof, "all of it");
        left -= message.bytesRead;
        came += message.fds.length;
        message[Symbol.dispose]();
      } else {
        const message = await stream.recvFds(1, { bufferSize });
        check(!message.eof, "all of it");
        left -= message.data.length;
        came += message.fds.length;
        message[Symbol.dispose]();
      }
    }
    check(left === 0 && came === messages, "a descriptor on each message");
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
