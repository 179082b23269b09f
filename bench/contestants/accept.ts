/**
 * A server whose clients come and go: it answers 64 bytes to each request, and closes the descriptor that came with it. Arguments: its
 * path; `ours` (UnixListener) or `net` (net.Server, which gets no descriptor). Answers the question "ready".
 */

import { createServer } from "node:net";
import { UnixListener, type UnixStream } from "unix-ancillary";
import { check, serve } from "./serve.ts";

const [path, whose] = process.argv.slice(2) as [string, string];
const data = Buffer.alloc(64);
// All clients of a turn find room, however many come at a time.
const backlog = 1024;

async function serveOne(stream: UnixStream): Promise<void> {
  for await (const request of stream.messages(1)) {
    check(request.fds.length === 1 && request.data.length === data.length, "a request");
    request[Symbol.dispose]();
    await stream.sendFds(data);
  }
  stream.close();
}

async function listenOurs(): Promise<void> {
  for await (const stream of UnixListener.bind(path, { backlog })) serveOne(stream);
}

function listenNet(): void {
  const server = createServer((socket) => {
    socket.on("data", (request) => {
      check(request.length === data.length, "a request");
      socket.write(data);
    });
  });
  server.listen({ path, backlog });
}

if (whose === "ours") listenOurs();
else listenNet();
await serve(() => {}, { ready: async () => 1 });
process.exit();
