/** {@link file://./connections.ts} with net.Socket, which carries no descriptors. */

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { args, isPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";
import { FEW, listenerPath, memoryOf, reportMemory, startServer, WARM_UP_MESSAGES } from "./server.ts";

const count = Number(args[0]);
const data = Buffer.alloc(64);

if (isPeer) {
  const server = createServer((socket) => {
    socket.write("x");
    socket.on("data", () => socket.write(data));
    socket.on("error", () => {});
  });
  server.listen(listenerPath(process.ppid), () => reportMemory());
} else {
  const server = await startServer(import.meta.url);
  const connections: Socket[] = [];
  const open = async (total: number) => {
    while (connections.length < total) {
      const socket = connect(listenerPath(process.pid));
      connections.push(socket);
      // The server has accepted the connection, and waits on it.
      await once(socket, "data");
    }
  };
  const rounds = (rounds: number) =>
    new Promise<void>((resolve) => {
      let round = 0;
      const next = () => {
        if (round === rounds) {
          for (const socket of active) socket.removeAllListeners("data");
          resolve();
        } else active[round++ % active.length]!.write(data);
      };
      for (const socket of active) {
        socket.on("data", (bytes) => {
          check(bytes.length === 64, "one message");
          next();
        });
      }
      next();
    });
  let active = connections;
  await open(Math.min(FEW, count));
  active = [...connections];
  await rounds(WARM_UP_MESSAGES);
  const before = await memoryOf(server);
  await open(count);
  const after = await memoryOf(server);
  active = connections.filter((_, i) => i % 100 === 0);
  await serve(rounds, { memory: async () => (after - before) / (count - FEW) });
  server.kill();
  process.exit();
}
