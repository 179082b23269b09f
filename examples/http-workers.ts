/**
 * An HTTP server with workers: a front process accepts connections and hands them to two workers, which answer all requests of each,
 * keep-alive and WebSocket upgrades included. The same workers and the same load, then, with `node:cluster`, to compare.
 *
 * `node build/examples/http-workers.js`. The front's own server answers /front; upgrades it hands off with the head of their request.
 * The worker's HTTP server does not listen. One worker is killed in the middle: what it had not taken, the other one gets.
 */

import assert from "node:assert/strict";
import cluster from "node:cluster";
import { once } from "node:events";
import { Agent, createServer, get, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { type FdChannel as Channel, FdChannel, spawn } from "unix-ancillary";
import { HandOffError, handOff, handOffUpgrade, takeConnections } from "unix-ancillary/handoff";

const WORKERS = 2;
const REQUESTS = 1200;
const CLIENTS = 16;
const self = fileURLToPath(import.meta.url);

/** The server of a worker, as it was before: it knows nothing of hand-offs. */
function application(): Server {
  const server = createServer((request, response) => response.end(`${request.url} ${process.pid}`));
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n${request.url}\n`);
    socket.write(head);
    socket.pipe(socket);
  });
  return server;
}

/** Sends requests, half of them on connections of their own; returns milliseconds of each, and how many failed. */
async function load(port: number): Promise<string> {
  const times: number[] = [];
  const failures: string[] = [];
  let next = 0;
  const client = async (agent: Agent | false): Promise<void> => {
    while (next < REQUESTS) {
      const path = `/${next++}`;
      const start = performance.now();
      try {
        const [response] = (await once(get({ host: "127.0.0.1", port, path, agent }), "response")) as [IncomingMessage];
        let body = "";
        for await (const chunk of response) body += chunk;
        if (!body.startsWith(`${path} `)) failures.push(`${path}: ${body}`);
      } catch (error) {
        failures.push(`${path}: ${(error as Error).message}`);
      }
      times.push(performance.now() - start);
    }
  };
  const agent = new Agent({ keepAlive: true });
  const start = performance.now();
  await Promise.all(Array.from({ length: CLIENTS }, (_, i) => client(i % 2 === 0 ? agent : false)));
  const seconds = (performance.now() - start) / 1000;
  agent.destroy();
  assert.deepEqual(failures, []);
  const p99 = times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)]!;
  return `${Math.round(REQUESTS / seconds)} requests a second, p99 ${p99.toFixed(1)} ms, failures ${failures.length}`;
}

/** An upgraded connection: the worker echoes what came with the request, and what comes later. */
async function upgrade(port: number): Promise<void> {
  const socket = connect(port, "127.0.0.1").setEncoding("utf8");
  socket.write("GET /chat HTTP/1.1\r\nhost: x\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nearly ");
  let text = "";
  socket.on("data", (chunk) => (text += chunk));
  while (!text.endsWith("early ")) await once(socket, "data");
  socket.end("late");
  await once(socket, "end");
  assert.match(text, /^HTTP\/1.1 101 [\s\S]*\r\n\r\n\/chat\nearly late$/);
}

async function front(): Promise<void> {
  const workers = Array.from({ length: WORKERS }, () =>
    spawn(process.execPath, [self, "worker"], { stdio: "inherit" }),
  );
  const channels: Channel[] = workers.map(({ channel }) => channel);
  await Promise.all(channels.map((channel) => channel.recv()));
  let [turn, handedOff, cameBack] = [0, 0, 0];
  const give = async (socket: Duplex, hand = (channel: Channel) => handOff(channel, socket)): Promise<void> => {
    const channel = channels[turn++ % channels.length]!;
    try {
      await hand(channel);
      handedOff++;
    } catch (error) {
      // It cannot be handed off: a response of an earlier request is not written yet, or no worker is left.
      if (!(error instanceof HandOffError)) return void socket.destroy();
      cameBack++;
      // The worker has ended. The next one gets it.
      if (channels.includes(channel)) channels.splice(channels.indexOf(channel), 1);
      await give(error.takeBack());
    }
  };
  const server = createTcpServer({ pauseOnConnect: true }, (socket) => give(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  // The first load compiles the code of all processes, the client among them.
  await load(port);
  console.log(`NOTE: unix-ancillary/handoff: ${await load(port)}`);
  await upgrade(port);

  // The front's own HTTP server, which hands off upgrades.
  const own = createServer(
    ({ url }, response) => void setTimeout(() => response.end("front"), url === "/slow" ? 100 : 0),
  );
  own.on("upgrade", (request, socket, head) =>
    give(socket, (channel) => handOffUpgrade(channel, request, socket, head)),
  );
  await once(own.listen(0, "127.0.0.1"), "listening");
  const ownPort = (own.address() as AddressInfo).port;
  await upgrade(ownPort);
  // Pipelined behind a request that is not answered yet: the client is disconnected, and the front goes on.
  const impatient = connect(ownPort, "127.0.0.1").resume();
  impatient.write(
    "GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET /chat HTTP/1.1\r\nhost: x\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n",
  );
  await once(impatient, "close");

  // A worker that does not take what it is given, and then dies.
  workers[0]!.child.kill("SIGSTOP");
  setTimeout(() => workers[0]!.child.kill("SIGKILL"), 100);
  await load(port);
  assert.ok(cameBack > 0);
  console.log(
    `held: ${handedOff} connections handed off, ${cameBack} of them returned by a worker that was killed; none was lost`,
  );
  for (const { channel } of workers) channel.close();
  server.close();
  own.close();
}

async function worker(): Promise<void> {
  const channel = FdChannel.fromParent();
  await channel.send("ready");
  await takeConnections(channel, application());
  process.exit();
}

/** The same with node:cluster, whose primary accepts and sends the connections with `child_process.send`'s means. */
async function clustered(): Promise<void> {
  cluster.setupPrimary({ exec: self, args: ["clustered"] });
  const workers = Array.from({ length: WORKERS }, () => cluster.fork());
  const [{ port }] = (await Promise.all(
    workers.map((one) => once(one, "listening").then(([to]) => to)),
  )) as AddressInfo[] as [AddressInfo];
  await load(port);
  console.log(`NOTE: node:cluster: ${await load(port)}`);
  for (const one of workers) one.kill();
}

const role = process.argv[2];
if (role === "worker") await worker();
else if (role === "clustered") application().listen(0, "127.0.0.1");
else {
  await front();
  await clustered();
}
