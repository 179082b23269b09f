/**
 * Two processes send each other 64 characters and a handle in turn with Node's `child_process.send`, and close what they receive.
 * Argument: `server` (a listening net.Server) or `socket` (a net.Socket).
 */

import { fork } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, Server, Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { args, isPeer } from "./peer.ts";
import { check, serve } from "./serve.ts";

const text = "x".repeat(64);
// An abstract name, which leaves no file behind.
const server = createServer().listen(`\0unix-ancillary-bench-ipc-${process.pid}`);
await once(server, "listening");

async function handle(): Promise<Server | Socket> {
  if (args[0] === "server") return server;
  const socket = connect(server.address() as string);
  await once(socket, "connect");
  return socket;
}

/** The sender keeps its own handle, to send it again. */
const KEEP = { keepOpen: true };
const own = await handle();

function close(received: unknown): void {
  if (received instanceof Server) received.close();
  else {
    check(received instanceof Socket, "a handle");
    received.destroy();
  }
}

if (isPeer) {
  process.on("message", (message, received) => {
    check(message === text, "one message");
    close(received);
    process.send!(text, own, KEEP);
  });
  process.on("disconnect", () => process.exit());
  process.send!("ready");
} else {
  const child = fork(fileURLToPath(import.meta.url), args, { env: { ...process.env, UNIX_ANCILLARY_BENCH_PEER: "1" } });
  await once(child, "message");
  await serve(
    (rounds) =>
      new Promise<void>((resolve) => {
        let left = rounds;
        const listener = (message: unknown, received: unknown) => {
          check(message === text, "one message");
          close(received);
          if (--left > 0) child.send(text, own, KEEP);
          else {
            child.off("message", listener);
            resolve();
          }
        };
        child.on("message", listener);
        child.send(text, own, KEEP);
      }),
  );
  child.disconnect();
  process.exit();
}
