/**
 * Synchronous round trips in one process with the public API, as a user would write them: received OwnedFds are closed.
 * Arguments: descriptors per message; `each` (closed one by one), `batch` (the message is disposed of), or `ancillary` (with
 * SocketAncillary, sendmsg and recvmsg, closed one by one).
 */

import { openSync } from "node:fs";
import { recvmsg, SocketAncillary, sendmsg, UnixStream } from "unix-ancillary";
import { check, serve } from "./serve.ts";

const count = Number(process.argv[2]);
const fds = new Array<number>(count).fill(openSync("/dev/null", "r"));
const [left, right] = UnixStream.pair();
const data = Buffer.alloc(64);

/** Closed one by one. */
function each(rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    left.sendFdsSync(data, fds);
    const message = right.recvFdsSync(count);
    check(message.fds.length === count && message.data.length === data.length, "one message");
    for (const fd of message.fds) fd.close();
  }
}

/** The same as `using` at the end of its block. */
function disposed(rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    left.sendFdsSync(data, fds);
    const message = right.recvFdsSync(count);
    check(message.fds.length === count && message.data.length === data.length, "one message");
    message[Symbol.dispose]();
  }
}

const room = SocketAncillary.bufferSizeForRights(count);
const out = new SocketAncillary(room);
const into = new SocketAncillary(room);
const buffer = Buffer.alloc(4096);

/** With the low-level API; the ancillary buffer is filled again for each message. */
function ancillary(rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    out.clear();
    out.addFds(fds);
    sendmsg(left, data, out);
    const { bytesRead } = recvmsg(right, buffer, into);
    check(bytesRead === data.length, "bytes");
    let came = 0;
    for (const message of into.messages()) {
      if (message.kind !== "rights") continue;
      came += message.fds.length;
      for (const fd of message.fds) fd.close();
    }
    check(came === count, "descriptors");
  }
}

const ways: Readonly<Record<string, (rounds: number) => void>> = { each, batch: disposed, ancillary };
await serve(ways[process.argv[3]!]!);
