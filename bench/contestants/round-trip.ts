/**
 * Synchronous round trips in one process, by the public API as a user would write it: OwnedFds come and are closed.
 * Arguments: descriptors a message; `each` (closed one by one) or `batch` (the message is disposed of).
 */

import { openSync } from "node:fs";
import { UnixStream } from "unix-ancillary";
import { check, serve } from "./serve.ts";

const count = Number(process.argv[2]);
const batch = process.argv[3] === "batch";
const fds = new Array<number>(count).fill(openSync("/dev/null", "r"));
const [left, right] = UnixStream.pair();
const data = Buffer.alloc(64);

/** Closed one by one. */
function each(rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    left.sendFdsSync(data, fds);
    const message = right.recvFdsSync(count);
    check(message.fds.length === count, "descriptors");
    for (const fd of message.fds) fd.close();
  }
}

/** What `using` does at the end of its block, where the language has it. */
function disposed(rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    left.sendFdsSync(data, fds);
    const message = right.recvFdsSync(count);
    check(message.fds.length === count, "descriptors");
    message[Symbol.dispose]();
  }
}

await serve(batch ? disposed : each);
