/**
 * Graceful restart: 20 times a new HTTP server takes the place of the old one, under load, and no request fails.
 *
 * `node build/examples/graceful-restart.js`. The new process connects to the old one's door, a Unix socket, and receives the
 * listening socket. Both then accept from one backlog, so that at no moment nobody does. What makes requests fail, usually:
 *
 * - closing the listening socket before somebody else has it: connections that wait in the backlog are reset. Here the old
 *   process stops only when the new one has said that it serves;
 * - `close()` of a `node:http` server: it also destroys idle keep-alive connections, in the moment in which a client may be
 *   sending the next request. Here only the accepting stops (`close` of `net.Server`), and each connection ends with a
 *   response that says `Connection: close`, which tells the client to go elsewhere.
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
/** Requests that a server answers before its successor starts. */
const WARM = 50;

const tell = (what: { ready: number } | { warm: true } | { served: number }) => process.send!(what);

/** One server, from the moment it has the listening socket until its last connection has ended. */
async function serve(door: string, isFirst: boolean): Promise<void> {
  let served = 0;
  let draining = false;
  const server = createServer(async (request, response) => {
    const path = request.url!;
    // Requests of 0 to 15 ms: at each hand-over some are half-way.
    await sleep(5 * (Number(path.slice(1)) % 4));
    if (draining) response.setHeader("connection", "close");
    response.end(`${path} ${process.pid}`);
    if (++served === WARM) server.emit("warm");
  });
  const warm = once(server, "warm");
  if (isFirst) {
    await once(server.listen(0, "127.0.0.1"), "listening");
  } else {
    const old = await UnixStream.connect(door);
    const { fds } = await old.recvFdsExact(1);
    assert.equal(fds[0]!.describe().socket?.listening, true);
    // The number is Node's from here on.
    await once(server.listen({ fd: fds[0]!.release() }), "listening");
    await old.sendFds("serving");
    // It hangs up when its door is closed, and ours can have the path.
    await old.recvFds(0);
    old.close();
  }

  const stop = once(process, "message");
  tell({ ready: (server.address() as AddressInfo).port });
  const over = Promise.race([handOver(door, server), stop]);
  await warm;
  tell({ warm: true });
  await over;
  draining = true;
  const closed = once(server, "close");
  // And not server.close(): see above.
  Server.prototype.close.call(server);
  await closed;
  tell({ served });
  process.disconnect();
}

/** Gives the listening socket to whoever comes to the door, and returns when that one serves. */
async function handOver(door: string, server: Server): Promise<void> {
  // Only this user may come.
  const listener = UnixListener.bind(door, { mode: 0o600 });
  for await (const successor of listener) {
    const given = successor.sendFds("yours too", [server]);
    const answer = await given.then(() => successor.recvFds(0)).catch(() => null);
    const serves = answer?.data.toString() === "serving";
    if (serves) listener.close();
    successor.close();
    // One that died over it has taken nothing: we still serve, and wait for the next.
    if (serves) return;
  }
}

/** A process, what it tells, and its end. */
function start(
  program: string,
  ...args: string[]
): { child: ChildProcess; next: () => Promise<unknown>; exit: Promise<unknown[]> } {
  const child = fork(program, args);
  // Which comes after the last message; "exit" may come before it.
  const told = on(child, "message", { close: ["disconnect"] });
  const next = async () => (await told.next()).value?.[0];
  return { child, next, exit: once(child, "exit") };
}

async function supervisor(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "unix-ancillary-restart-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const door = join(folder, "door");
  let server = start(self, door, "first");
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
    // A successor that takes the socket and dies: nothing may come of it.
    const quitter = await UnixStream.connect(door);
    (await quitter.recvFdsExact(1))[Symbol.dispose]();
    quitter.close();
    const old = server;
    server = start(self, door);
    assert.deepEqual(await server.next(), { ready: port });
    assert.deepEqual(await server.next(), { warm: true });
    // The load goes on: the old one ends because its last connection was told to go, and not for want of requests.
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

const [door, generation] = process.argv.slice(2);
// A server that loses its supervisor ends.
process.once("disconnect", () => process.exit());
await (door === undefined ? supervisor() : serve(door, generation === "first"));
