/**
 * A server process with many connections, each waiting for a message. One in a hundred of them, at least one, is active: this
 * process sends 64 bytes and a descriptor on each active one in turn, and the server answers with the same.
 * Arguments: connections; `memory`, to answer the question "memory" with the resident bytes per connection of the idle server.
 */

import { openSync } from "node:fs";
import { OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
import { args, isPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";
import { FEW, listenerPath, memoryOf, reportMemory, startServer, WARM_UP_MESSAGES } from "./server.ts";

const count = Number(args[0]);
const data = Buffer.alloc(64);
const file = OwnedFd.fromRaw(openSync("/dev/null", "r"));

if (isPeer) {
  const serveOne = async (stream: UnixStream) => {
    await stream.sendFds("x");
    for await (const message of stream.messages(1)) {
      message[Symbol.dispose]();
      await stream.sendFds(data, [file]);
    }
    stream.close();
  };
  const listener = UnixListener.bind(listenerPath(process.ppid));
  reportMemory();
  for await (const stream of listener) serveOne(stream);
} else {
  const server = await startServer(import.meta.url);
  const connections: UnixStream[] = [];
  const open = async (total: number) => {
    while (connections.length < total) {
      const stream = await UnixStream.connect(listenerPath(process.pid));
      connections.push(stream);
      // The server has accepted the connection, and waits on it.
      await stream.recvFds(0);
    }
  };
  const round = async (stream: UnixStream) => {
    await stream.sendFds(data, [file]);
    const message = await stream.recvFds(1);
    check(message.fds.length === 1 && message.data.length === 64, "one message");
    message[Symbol.dispose]();
  };
  await open(Math.min(FEW, count));
  for (let i = 0; i < WARM_UP_MESSAGES; i++) await round(connections[i % connections.length]!);
  const before = await memoryOf(server);
  await open(count);
  const after = await memoryOf(server);
  const active = connections.filter((_, i) => i % 100 === 0);
  await serve(
    async (rounds) => {
      for (let i = 0; i < rounds; i++) await round(active[i % active.length]!);
    },
    { memory: async () => (after - before) / (count - FEW) },
  );
  server.kill();
  process.exit();
}
