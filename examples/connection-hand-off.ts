/**
 * Connection hand-off: a front process accepts TCP connections, and a pool of workers answers them.
 *
 * `node build/examples/connection-hand-off.js`. The front process reads no bytes: with `pauseOnConnect` everything that the
 * client sends stays in the kernel, for the worker. The front sends the descriptor of the connection and destroys its own
 * socket. The connection stays open while any process has a descriptor of it, or a descriptor is in flight.
 */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { OwnedFd, UnixStream } from "unix-ancillary";

const WORKERS = 3;
const CONNECTIONS = 300;
/** How many connections the clients have open at a time. */
const AT_ONCE = 30;
const self = fileURLToPath(import.meta.url);

/** Answers connections until the front process closes its end. */
async function worker(): Promise<void> {
  const front = UnixStream.from(OwnedFd.fromRaw(3));
  const open: Promise<unknown>[] = [];
  // Each connection is sent in a message of its own: a receive never has more than one descriptor.
  for await (const message of front.messages(1)) {
    const [connection] = message.fds;
    // Anything else is a bug of the front process: fail instead of guessing.
    if (connection?.describe().socket?.type !== "stream") throw new Error("expected a connection");
    // From here on the net.Socket owns the descriptor, and closes it.
    const socket = new Socket({ fd: connection.release(), readable: true, writable: true });
    socket.setEncoding("utf8");
    let line = "";
    socket.on("data", (text) => {
      line += text;
      // The client sends one line, which can arrive in several parts.
      if (line.endsWith("\n")) socket.end(`${process.pid} answers ${line}`);
    });
    // A client that resets its connection must not end the worker.
    socket.on("error", () => {});
    open.push(new Promise((resolve) => socket.once("close", resolve)));
  }
  // Finish all open connections.
  await Promise.all(open);
  await front.sendFds(String(open.length));
  front.close();
}

/** The clients: prints the answers as JSON. */
async function clients(port: number): Promise<void> {
  const answers: string[] = [];
  let next = 0;
  const ask = async (): Promise<void> => {
    while (next < CONNECTIONS) {
      const id = next++;
      const socket = connect(port, "127.0.0.1");
      socket.setEncoding("utf8");
      socket.write(`request ${id}\n`);
      let answer = "";
      // Read to the end, so that a second answer would be noticed.
      for await (const text of socket) answer += text;
      answers[id] = answer;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, ask));
  console.log(JSON.stringify(answers));
}

async function front(): Promise<void> {
  const pool = Array.from({ length: WORKERS }, () => {
    const [ours, theirs] = UnixStream.pair();
    const child = spawn(process.execPath, [self, "worker"], { stdio: ["ignore", "inherit", "inherit", theirs.fd] });
    theirs.close();
    return { stream: ours, child, exit: once(child, "exit") };
  });
  let accepted = 0;
  let bytesRead = 0;
  const handedOff: Promise<void>[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    const { stream } = pool[accepted++ % WORKERS]!;
    // The sends of one stream are served in order; each waits while the worker's queue is full.
    const handOff = stream.sendFds("c", [socket]).then(() => {
      bytesRead += socket.bytesRead;
      // Not before: the send reads the descriptor's number from this socket.
      socket.destroy();
    });
    handedOff.push(handOff);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const before = readdirSync("/proc/self/fd").length;

  const { stdout } = await promisify(execFile)(process.execPath, [self, "clients", String(port)]);
  const answers = JSON.parse(stdout) as string[];
  await Promise.all(handedOff);
  const after = readdirSync("/proc/self/fd").length;
  server.close();

  const counts = new Map<number, number>();
  for (const { stream, child, exit } of pool) {
    stream.shutdown("write");
    counts.set(child.pid!, Number((await stream.recvFds(0)).data));
    stream.close();
    assert.deepEqual(await exit, [0, null]);
  }
  for (const [pid, count] of counts) console.log(`worker ${pid} answered ${count} connections`);
  console.log(`front: accepted ${accepted}, read ${bytesRead} bytes, ${before} descriptors before and ${after} after`);

  assert.equal(answers.length, CONNECTIONS);
  const seen = new Map([...counts.keys()].map((pid) => [pid, 0]));
  answers.forEach((answer, id) => {
    const [, pid, request] = /^(\d+) answers (.*)\n$/.exec(answer) ?? [];
    assert.equal(request, `request ${id}`, `connection ${id} got ${JSON.stringify(answer)}`);
    seen.set(Number(pid), seen.get(Number(pid))! + 1);
  });
  // The counts of the workers agree with the answers of the clients.
  assert.deepEqual(seen, counts);
  assert.ok([...counts.values()].every((count) => count > 0));
  assert.deepEqual([accepted, bytesRead, after], [CONNECTIONS, 0, before]);
  console.log(`held: ${CONNECTIONS} connections, each answered exactly once, by ${counts.size} workers`);
}

const role = process.argv[2];
await (role === "worker" ? worker() : role === "clients" ? clients(Number(process.argv[3])) : front());
