/**
 * The cost of one socket's work while many others are open. Arguments: other sockets, each of which waits for a message; `exchange` (a
 * message to one socket and one back, asynchronous) or `open` (a new pair that is closed again).
 */

import { UnixStream } from "unix-ancillary";
import { check, serve } from "./serve.ts";

const others = Number(process.argv[2]);
const data = Buffer.alloc(64);
const kept: UnixStream[] = [];
while (kept.length < others) {
  for (const socket of UnixStream.pair()) {
    kept.push(socket);
    // It is closed by the end of the process alone.
    socket.recvFds(0).catch(() => {});
  }
}
const [one, other] = UnixStream.pair();

async function exchange(rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const answer = other.recvFds(0);
    await one.sendFds(data);
    check((await answer).data.length === data.length, "a message");
    await other.sendFds(data);
    check((await one.recvFds(0)).data.length === data.length, "a message");
  }
}

function open(rounds: number): void {
  for (let i = 0; i < rounds; i++) for (const socket of UnixStream.pair()) socket.close();
}

await serve(process.argv[3] === "open" ? open : exchange);
process.exit();
