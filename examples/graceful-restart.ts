/**
 * Graceful restart: a new HTTP server replaces the old one 20 times, under load, and no request fails.
 *
 * `node build/examples/graceful-restart.js`. The new process connects to a Unix socket of the old one and receives the listening
 * socket. Both then accept from the same backlog, so that at least one of them always accepts. Two common causes of failed
 * requests are avoided:
 *
 * - Closing the listening socket before another process has it resets the connections in the backlog. Here the old process
 *   stops only after the new one has reported that it serves.
 * - `close()` of a `node:http` server also destroys idle keep-alive connections, on which a client may just be sending its next
 *   request. Here the server only stops accepting (`close` of `net.Server`), and each connection ends with a response that
 *   says `Connection: close`, so that the client opens a new one.
 */

import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { on, once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { UnixListener, UnixStream } from "unix-ancillary";
import type { LoadReport } from "./graceful-restart/load.ts";

const self = fileURLToPath(import.meta.url);
const load = fileURLToPath(new URL("graceful-restart/load.js", import.meta.url));

const HANDOVERS = 20;
/** How many requests a server answers before its successor starts. */
const WARM = 50;

const report = (what: { ready: number } | { warm: true } | { served: number }) => process.send!(what);

/** One server, from receiving the listening socket until its last connection has ended. */
async function serve(socketPath: string, isFirst: boolean): Promise<void> {
  let served = 0;
  let draining = false;
  const server = createServer(async (request, response) => {
    const path = request.url!;
    // Requests take 0 to 15 ms: at each hand-over some are in progress.
    await sleep(5 * (Number(path.slice(1)) % 4));
    if (draining) response.setHeader("connection", "close");
    response.end(`${path} ${process.pid}`);
    if (++served === WARM) server.emit("warm");
  });
  const warm = once(server, "warm");
  if (isFirst) {
    await once(server.listen(0, "127.0.0.1"), "listening");
  } else {
    const old = await UnixStream.connect(socketPath);
    const { fds } = await old.recvFdsExact(1);
    assert.equal(fds[0]!.describe().socket?.listening, true);
    // From here on Node owns the descriptor.
    await once(server.listen({ fd: fds[0]!.release() }), "listening");
    await old.sendFds("serving");
    // The old process closes the connection after it has closed its Unix socket: then this process can bind the path.
    await old.recvFds(0);
    old.close();
  }

  const stop = once(process, "message");
  report({ ready: (server.address() as AddressInfo).port });
  const over = Promise.race([handOver(socketPath, server), stop]);
  await warm;
  report({ warm: true });
  await over;
  draining = true;
  const closed = once(server, "close");
  // Not server.close(): see above.
  Server.prototype.close.call(server);
  await closed;
  report({ served });
  process.disconnect();
}

/** Gives the listening socket to each process that connects, and returns when one of them serves. */
async function handOver(socketPath: string, server: Server): Promise<void> {
  // Only this user may connect.
  const listener = UnixListener.bind(socketPath, { mode: 0o600 });
  for await (const successor of listener) {
    const sent = successor.sendFds("yours too", [server]);
    const answer = await sent.then(() => successor.recvFds(0)).catch(() => null);
    const serves = answer?.data.toString() === "serving";
    if (serves) listener.close();
    successor.close();
    // If the successor died, this process still serves, and waits for the next one.
    if (serves) return;
  }
}

/** Starts a process; `next` is its next message. */
function start(
  program: string,
  ...args: string[]
): { child: ChildProcess; next: () => Promise<unknown>; exit: Promise<unknown[]> } {
  const child = fork(program, args);
  // "disconnect" follows the last message; "exit" may precede it.
  const messages = on(child, "message", { close: ["disconnect"] });
  const next = async () => (await messages.next()).value?.[0];
  return { child, next, exit: once(child, "exit") };
}

async function supervisor(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-restart-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const socketPath = join(folder, "socket");
  let server = start(self, socketPath, "first");
  const port = ((await server.next()) as { ready: number }).ready;
  const clients = start(load, String(port));
  assert.deepEqual(await server.next(), { warm: true });
  const servers: (number | undefined)[] = [];
  let served = 0;
  const ended = async ({ child, next, exit }: typeof server): Promise<void> => {
    served += ((await next()) as { served: number }).served;
    assert.deepEqual(await exit, [0, null]);
    servers.push(child.pid);
  };
  for (let i = 0; i < HANDOVERS; i++) {
    // A successor that receives the socket and then dies must have no effect.
    const quitter = await UnixStream.connect(socketPath);
    (await quitter.recvFdsExact(1))[Symbol.dispose]();
    quitter.close();
    const old = server;
    server = start(self, socketPath);
    assert.deepEqual(await server.next(), { ready: port });
    assert.deepEqual(await server.next(), { warm: true });
    // The load continues: the old process ends because it has closed its last connection, not because requests have stopped.
    await ended(old);
  }
  clients.child.send("stop");
  const { requests, failures, slowest, pids } = (await clients.next()) as LoadReport;
  server.child.send("stop");
  await ended(server);
  console.log(`${requests} requests, ${served} served by ${pids.length} processes; ${HANDOVERS} hand-overs`);
  console.log(`slowest request: ${slowest.toFixed(1)} ms; failed: ${failures.length}`);
  assert.deepEqual(failures, []);
  assert.equal(served, requests);
  assert.deepEqual([...pids].sort(), servers.sort());
  console.log("held: no request failed, and none was answered twice");
}

const [socketPath, generation] = process.argv.slice(2);
// A server that loses its supervisor ends.
process.once("disconnect", () => process.exit());
await (socketPath === undefined ? supervisor() : serve(socketPath, generation === "first"));
