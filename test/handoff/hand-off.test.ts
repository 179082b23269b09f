/** Connections for other processes: every byte goes along, and the end of a worker loses none. */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { Agent, createServer as createHttp, request as httpRequest, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, createServer, type Server, Socket } from "node:net";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { FdChannel, OwnedFd, spawn, UnixStream } from "unix-ancillary";
import { HandOffError, handOff, handOffUpgrade, takeConnections } from "unix-ancillary/handoff";
import * as assert from "uvu/assert";
import { codeOf, errorOf, leakChecked, openFds, role, settled } from "../support.ts";

const test = leakChecked("handoff");

/** The worker: an HTTP server that does not listen, and takes WebSocket-like upgrades, which it echoes. */
async function worker(): Promise<void> {
  const server = createHttp((request, response) => response.end(`${process.pid} ${request.url}`));
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nX-Worker: ${process.pid}\r\n\r\n`);
    socket.write(`${JSON.stringify([request.method, request.url, request.rawHeaders])}\n`);
    socket.write(head);
    socket.pipe(socket);
  });
  const channel = FdChannel.fromParent();
  await channel.send("ready");
  await takeConnections(channel, server);
  channel.close();
  process.exit();
}

interface Process extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly channel: FdChannel;
}

async function start(): Promise<Process> {
  const { child, channel } = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
    stdio: "inherit",
    env: { ...process.env, UNIX_ANCILLARY_TEST_ROLE: "worker" },
  });
  assert.is(String((await channel.recv())!.payload), "ready");
  return {
    child,
    channel,
    async [Symbol.asyncDispose]() {
      channel.close();
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

async function listening(server: Server): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}

const closed = (server: Server): Promise<unknown> => new Promise((resolve) => server.close(resolve));

/** A server that is handed off whole: it reads nothing. */
const front = (take: (socket: Socket) => unknown): Server => createServer({ pauseOnConnect: true }, take);

interface Answer {
  readonly pid: number;
  readonly path: string;
}

function ask(port: number, path: string, agent?: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, agent: agent ?? false }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      const [pid, answered] = text.split(" ") as [string, string];
      resolve({ pid: Number(pid), path: answered });
    });
    request.on("error", reject);
    request.end();
  });
}

/** Reads until there are so many bytes. */
async function readBytes(socket: Socket, count: number): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (text.length >= count) break;
  }
  return text;
}

if (role === "worker") await worker();

test("keep-alive: every request of a connection is answered by the worker that has it, and the front reads none", async () => {
  await using one = await start();
  let handed = 0;
  const server = front((socket) => handOff(one.channel, socket).then(() => handed++));
  const port = await listening(server);
  const agent = new Agent({ keepAlive: true, maxSockets: 2 });
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(port, `/${i}`, agent)));
  for (const [i, { pid, path }] of answers.entries()) assert.equal([pid, path], [one.child.pid, `/${i}`]);
  assert.is(handed, 2);
  agent.destroy();
  await closed(server);
});

test("what was read goes along, in order: by the program, by Node alone, and what was not read yet", async () => {
  await using one = await start();
  const requests = Array.from({ length: 3 }, (_, i) => `GET /${i} HTTP/1.1\r\nhost: x\r\n\r\n`);
  const ways: ((socket: Socket) => unknown)[] = [
    // A chunk decides which worker it is; a listener of "data" stays.
    (socket) => void socket.on("data", (chunk) => handOff(one.channel, socket, chunk)),
    // Node has read, the program has not.
    (socket) => void socket.once("readable", () => handOff(one.channel, socket)),
    // A part each.
    (socket) =>
      void socket.once("readable", () => {
        const head = socket.read(7) as Buffer;
        assert.ok(socket.readableLength > 0);
        socket.on("data", () => assert.unreachable("it gets what goes along")).pause();
        return handOff(one.channel, socket, head);
      }),
  ];
  for (const way of ways) {
    const server = createServer(way);
    const client = connect(await listening(server), "127.0.0.1");
    // Two requests at once, the third later, in two parts.
    client.write(requests[0]! + requests[1]!);
    let text = "";
    client.on("data", (chunk) => (text += chunk));
    while (!text.includes(" /1")) await once(client, "data");
    client.write(requests[2]!.slice(0, 9));
    await sleep(5);
    client.write(requests[2]!.slice(9));
    while (!text.includes(" /2")) await once(client, "data");
    assert.equal(
      text.match(/\d+ \/\d/g),
      [0, 1, 2].map((i) => `${one.child.pid} /${i}`),
    );
    client.destroy();
    await closed(server);
  }
});

test("several chunks that Node has read go along, if the socket is to flow again", async () => {
  const [ours, theirs] = FdChannel.pair();
  const server = createServer();
  const port = await listening(server);
  const client = connect(port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  socket.on("readable", () => {});
  for (const [i, chunk] of ["one ", "two ", "three "].entries()) {
    client.write(chunk);
    while (socket.readableLength < ["one ", "one two ", "one two three "][i]!.length) await sleep(1);
  }
  socket.removeAllListeners("readable");
  await sleep(1);
  let text = "";
  const taking = takeConnections(theirs, (taken) => void taken.on("data", (chunk) => (text += chunk)));
  await handOff(ours, socket.resume());
  client.end("four");
  await once(client.resume(), "close");
  assert.is(text, "one two three four");
  ours.close();
  await taking;
  theirs.close();
  await closed(server);
});

test("a frame that no handOff has sent: nothing is acknowledged or served, and its descriptors are closed", async () => {
  for (const [payload, count] of [
    ["", 1],
    ["\0\0\0", 1],
    ["\0\0\0\0", 2],
    ["\0\0\0\x05head", 1],
    ["\0\0\0\x03head", 1],
    ["\0\0\0\0", 0],
  ] as const) {
    const [ours, theirs] = FdChannel.pair();
    const before = openFds().size;
    await ours.send(payload, new Array(count).fill(0));
    const taking = takeConnections(theirs, () => assert.unreachable());
    assert.is(await codeOf(taking), "ERR_CHANNEL_FD_COUNT", JSON.stringify([payload, count]));
    assert.is(openFds().size, before);
    theirs.close();
    assert.is(await ours.recv(), null);
    ours.close();
  }
});

test("a descriptor that is no socket, among connections: none of the frame is served, and all are closed", async () => {
  const [ours, theirs] = FdChannel.pair();
  const [a, b] = UnixStream.pair();
  const file = OwnedFd.fromRaw(openSync(process.execPath, "r"));
  await ours.send(Buffer.alloc(12), [a, file, a]);
  file.close();
  a.close();
  const before = openFds().size;
  assert.is(await codeOf(takeConnections(theirs, () => assert.unreachable())), "ERR_INVALID_FD_TYPE");
  assert.ok((await b.recvFds(0)).eof);
  assert.is(openFds().size, before);
  for (const one of [b, ours, theirs]) one.close();
});

test("a thread that is terminated while Node makes the socket of a connection: it is closed", async () => {
  const [front, worker] = UnixStream.pair();
  const [client, accepted] = UnixStream.pair();
  const ours = FdChannel.over(front);
  await ours.send(Buffer.alloc(4), [accepted]);
  accepted.close();
  const library = (entry: string): string => JSON.stringify(fileURLToPath(import.meta.resolve(entry)));
  const thread = new Worker(
    `const net = require("node:net");
     const { parentPort } = require("node:worker_threads");
     const { FdChannel, OwnedFd, UnixStream } = require(${library("unix-ancillary")});
     net.Socket = class extends net.Socket {
       constructor() {
         super();
         parentPort.postMessage(null);
         for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
       }
     };
     const channel = FdChannel.over(UnixStream.from(OwnedFd.from(${worker.fd})));
     require(${library("unix-ancillary/handoff")}).takeConnections(channel, () => {});`,
    { eval: true },
  );
  await once(thread, "message");
  await thread.terminate();
  worker.close();
  const end = await Promise.race([client.recvFds(0), sleep(2000)]);
  assert.ok(end?.eof);
  for (const one of [ours, client]) one.close();
});

test("what the worker has is handed off, even if the close of it fails here", async () => {
  const [a, b] = UnixStream.pair();
  const { system } = a.platform as unknown as { system: { close(fd: number): number } };
  const [ours, theirs] = [FdChannel.over(a), FdChannel.over(b)];
  const sockets: Socket[] = [];
  const server = front((socket) => sockets.push(socket));
  const port = await listening(server);
  const clients = Array.from({ length: 3 }, () => connect(port, "127.0.0.1").resume());
  while (sockets.length < clients.length) await sleep(1);
  const taking = takeConnections(theirs, (socket) => void socket.end());
  const { close } = system;
  system.close = (fd) => Math.min(close.call(system, fd), -constants.errno.EIO);
  try {
    const all = Promise.all(sockets.map((socket) => handOff(ours, socket).then(() => "handed off")));
    assert.equal(await Promise.race([all, sleep(2000)]), new Array(3).fill("handed off"));
    await Promise.all(clients.map((client) => once(client, "close")));
  } finally {
    system.close = close;
  }
  ours.close();
  await taking;
  theirs.close();
  await closed(server);
});

test("Upgrade: the worker has the same request, header by header, and the bytes that came with it", async () => {
  await using one = await start();
  const server = createHttp((_, response) => response.end(`${process.pid} here`));
  server.on("upgrade", (request, socket, head) => handOffUpgrade(one.channel, request, socket, head));
  const port = await listening(server);
  const client = connect(port, "127.0.0.1").setEncoding("latin1");
  // The server answers a request of the connection itself, before.
  client.write("GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.match(await readBytes(client, 1), "200 OK");
  const headers =
    "Host: x\r\nuPGRADE: websocket\r\nConnection: Upgrade\r\nX-Twice: \xe9\r\nX-Twice: 2\r\nX-Empty: \r\n";
  client.write(`GET /chat?a=%20 HTTP/1.1\r\n${headers}\r\nearly bytes|`, "latin1");
  const list = headers.split("\r\n").slice(0, -1);
  const pairs = list.flatMap((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
  let text = "";
  client.on("data", (chunk) => (text += chunk));
  while (!text.includes("early bytes|")) await once(client, "data");
  client.write("later bytes");
  while (!text.includes("later bytes")) await once(client, "data");
  const [, pid, request, echoed] = /^HTTP\/1.1 101 .*\r\nX-Worker: (\d+)\r\n\r\n(.*)\n([\s\S]*)$/.exec(text) ?? [];
  assert.is(Number(pid), one.child.pid);
  assert.is(echoed, "early bytes|later bytes");
  assert.equal(JSON.parse(Buffer.from(request!, "latin1").toString()), ["GET", "/chat?a=%20", pairs]);
  client.destroy();
  await closed(server);
});

test("a worker that dies before it has taken connections: each comes back, with its bytes, and another worker serves it", async () => {
  await using first = await start();
  await using second = await start();
  first.child.kill("SIGSTOP");
  const errors: HandOffError[] = [];
  let [accepted, resolved] = [0, 0];
  const server = createServer((socket) => {
    // Node has read it.
    socket.once("readable", () => {
      handOff(first.channel, socket).then(
        () => resolved++,
        (error) => errors.push(error),
      );
      accepted++;
    });
  });
  const port = await listening(server);
  const answers = Array.from({ length: 20 }, (_, i) => ask(port, `/${i}`));
  while (accepted < 20) await sleep(1);
  await sleep(20);
  assert.equal([errors.length, resolved], [0, 0], "nobody has taken them");
  first.child.kill("SIGKILL");
  while (errors.length < 20) await sleep(1);
  // One that the worker cannot be given at all.
  answers.push(ask(port, "/20"));
  while (errors.length < 21) await sleep(1);
  for (const error of errors) {
    assert.instance(error, HandOffError);
    assert.is(error.code, "ERR_NOT_HANDED_OFF");
    await handOff(second.channel, error.takeBack());
    assert.is(await codeOf(() => error.takeBack()), "ERR_FD_CLOSED");
  }
  for (const [i, { pid, path }] of (await Promise.all(answers)).entries())
    assert.equal([pid, path], [second.child.pid, `/${i}`]);
  await closed(server);
});

test("workers that are killed under load: what was not taken is served by the next, and what fails had been taken", async () => {
  const workers = [await start(), await start(), await start(), await start()];
  let [current, taken, back] = [0, 0, 0];
  const give = async (socket: Socket): Promise<void> => {
    try {
      await handOff(workers[current]!.channel, socket);
      taken++;
      if (taken % 40 === 0 && current < workers.length - 1) workers[current++]!.child.kill("SIGKILL");
    } catch (error) {
      back++;
      await give((error as HandOffError).takeBack());
    }
  };
  const server = front(give);
  const port = await listening(server);
  const pids = new Set(workers.map(({ child }) => child.pid));
  let [answered, failed] = [0, 0];
  const client = async (i: number): Promise<void> => {
    for (let n = 0; n < 25; n++) {
      const path = `/${i}-${n}`;
      try {
        const answer = await ask(port, path);
        assert.is(answer.path, path);
        assert.ok(pids.has(answer.pid));
        answered++;
      } catch (error) {
        assert.ok(["ECONNRESET", "EPIPE"].includes((error as { code: string }).code), String(error));
        failed++;
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, (_, i) => client(i)));
  assert.is(current, 3);
  assert.is(answered + failed, 400);
  // An answer may be here before the worker's acknowledgement.
  assert.is(await settled(() => taken), 400, "every connection was taken, once");
  // Those that a worker had taken when it was killed: at most what the clients have open.
  assert.ok(failed <= 3 * 16, `${failed} failed, ${back} came back`);
  for (const one of workers) await one[Symbol.asyncDispose]();
  await closed(server);
});

test("a worker that stops gives back what it has not taken", async () => {
  const [ours, theirs] = FdChannel.pair();
  const server = front((socket) => void handOff(ours, socket).catch((error) => errors.push(error)));
  const errors: HandOffError[] = [];
  const port = await listening(server);
  const served: Socket[] = [];
  const taking = takeConnections(theirs, (socket) => {
    served.push(socket);
    theirs.close();
  });
  const clients = Array.from({ length: 100 }, () => connect(port, "127.0.0.1").resume());
  assert.is(await codeOf(taking), "ERR_CHANNEL_CLOSED");
  while (errors.length + served.length < 100) await sleep(1);
  // A frame has at most 64, so others were on their way.
  assert.ok(served.length > 0 && errors.length > 0, `${served.length} served`);
  for (const socket of [...served, ...errors.map((error) => error.takeBack())]) socket.end("answer");
  await Promise.all(clients.map((client) => once(client, "close")));
  for (const client of clients) assert.is(client.bytesRead, 6);
  for (const socket of served) socket.destroy();
  ours.close();
  await closed(server);
});

test("what cannot be handed off is refused, and the socket is as before", async () => {
  const [ours, theirs] = FdChannel.pair();
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket));
  const port = await listening(server);
  const client = connect(port, "127.0.0.1");
  client.write("hello");
  while (sockets.length < 1) await sleep(1);
  const [socket] = sockets as [Socket];
  while (socket.readableLength === 0) {
    socket.read(0);
    await sleep(1);
  }
  const before = openFds().size;
  const wrong = [{}, null, server, 3, new Socket()] as unknown as Socket[];
  for (const one of wrong)
    assert.match(await codeOf(handOff(ours, one)), /^ERR_(INVALID_ARG_TYPE|FD_CLOSED)$/, String(one));
  assert.is(await codeOf(handOff({} as FdChannel, socket)), "ERR_INVALID_ARG_TYPE");
  assert.is(await codeOf(handOff(ours, socket, "text" as never)), "ERR_INVALID_ARG_TYPE");
  assert.is(await codeOf(takeConnections({} as FdChannel, server)), "ERR_INVALID_ARG_TYPE");
  // TLS: its keys are here.
  Object.assign(socket, { encrypted: true });
  assert.match((await errorOf(handOff(ours, socket))).message, "TLS");
  delete (socket as { encrypted?: boolean }).encrypted;
  assert.is(socket.readableLength, 5);
  // Bytes that are not written: the client does not read.
  client.pause();
  while (socket.writableLength === 0) socket.write(Buffer.alloc(1 << 20));
  assert.is(await codeOf(handOff(ours, socket)), "ERR_SOCKET_BUSY");
  client.resume();
  await once(socket, "drain");
  while (socket.writableLength > 0) await sleep(1);
  assert.is(await codeOf(handOff(ours, connect(port, "127.0.0.1").setEncoding("utf8"))), "ERR_SOCKET_BUSY");
  assert.is(openFds().size >= before, true);
  assert.is(String(socket.read()), "hello");
  // A closed channel takes nothing: the connection comes back.
  ours.close();
  const error = (await errorOf(handOff(ours, socket))) as HandOffError;
  assert.is((error.cause as { code: string }).code, "ERR_CHANNEL_CLOSED");
  error.takeBack().end("still there");
  client.end();
  await once(client, "close");
  for (const one of sockets) one.destroy();
  theirs.close();
  await closed(server);
});

test("a socket that is about to flow, and is refused, has what Node has read: it went to nobody", async () => {
  const [ours, theirs] = FdChannel.pair();
  const server = createServer();
  const client = connect(await listening(server), "127.0.0.1");
  client.write("hello");
  const [socket] = (await once(server, "connection")) as [Socket];
  while (socket.readableLength === 0) {
    socket.read(0);
    await sleep(1);
  }
  let text = "";
  socket.on("data", (chunk) => (text += chunk));
  assert.match((await errorOf(handOff(ours, Object.assign(socket, { encrypted: true })))).message, "TLS");
  client.end(", world");
  await once(socket, "end");
  assert.is(text, "hello, world");
  ours.close();
  theirs.close();
  await closed(server);
});

test("many connections at once over a channel with low limits: each frame keeps them, and one that exceeds them alone comes back", async () => {
  const [ours, theirs] = FdChannel.pair({ maxFds: 3, maxPayload: 100 });
  const accepted: Socket[] = [];
  const server = front((socket) => accepted.push(socket));
  const port = await listening(server);
  const clients = Array.from({ length: 10 }, () => connect(port, "127.0.0.1").resume());
  while (accepted.length < 10) await sleep(1);
  const served: Socket[] = [];
  const taking = takeConnections(theirs, (socket) => served.push(socket));
  // The lengths of the heads: two fit into a frame, three do not; one does not at all.
  const sizes = [40, 40, 40, 0, 0, 0, 0, 97, 0, 96];
  const results = await Promise.all(
    accepted.map((socket, i) => handOff(ours, socket, Buffer.alloc(sizes[i]!, 120)).catch((error) => error)),
  );
  const back = results.filter((error) => error !== undefined) as HandOffError[];
  assert.equal(
    results.map((error) => error?.cause.code),
    sizes.map((size) => (size === 97 ? "ERR_CHANNEL_PAYLOAD_TOO_LARGE" : undefined)),
  );
  await settled(() => served.length);
  assert.equal(
    served.map((socket) => socket.readableLength),
    sizes.filter((size) => size !== 97),
  );
  ours.close();
  await taking;
  theirs.close();
  for (const socket of [...served, ...back.map((error) => error.takeBack())]) socket.destroy();
  await Promise.all(clients.map((client) => once(client, "close")));
  await closed(server);
});

test("a worker's HTTP server that does not listen keeps its timeouts, and can close its connections", async () => {
  const [ours, theirs] = FdChannel.pair();
  const server = front((socket) => handOff(ours, socket));
  const port = await listening(server);
  const timeouts = { headersTimeout: 200, requestTimeout: 300, connectionsCheckingInterval: 20 };
  const serving = createHttp(timeouts, (_, response) => response.end("answer"));
  serving.on("listening", () => assert.unreachable("it does not listen"));
  const taking = takeConnections(theirs, serving);
  const half = connect(port, "127.0.0.1");
  half.write("GET / HTTP/1.1\r\nHost:");
  assert.match(await readBytes(half, 1), "408 Request Timeout");
  half.destroy();
  const idle = connect(port, "127.0.0.1");
  idle.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.match(await readBytes(idle, 1), "200 OK");
  serving.closeAllConnections();
  await once(idle.resume(), "close");
  ours.close();
  await taking;
  theirs.close();
  await closed(server);
});

test("the options that a worker's server sets on what it accepts are set on what it takes, too", async () => {
  const [ours, theirs] = FdChannel.pair();
  const server = front((socket) => handOff(ours, socket));
  const port = await listening(server);
  const set: unknown[] = [];
  const { setNoDelay, setKeepAlive } = Socket.prototype;
  Object.assign(Socket.prototype, {
    setNoDelay: (...parameters: unknown[]) => set.push("setNoDelay", ...parameters),
    setKeepAlive: (...parameters: unknown[]) => set.push("setKeepAlive", ...parameters),
  });
  const serving = createServer({ pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 5000 });
  const taking = takeConnections(theirs, serving);
  const client = connect(port, "127.0.0.1").resume();
  const [socket] = (await once(serving, "connection")) as [Socket];
  Object.assign(Socket.prototype, { setNoDelay, setKeepAlive });
  assert.equal(set, ["setNoDelay", true, "setKeepAlive", true, 5000]);
  client.end("for the one that it is passed to");
  await settled(() => socket.bytesRead);
  assert.equal([socket.isPaused(), socket.bytesRead], [true, 0]);
  socket.resume().end();
  await once(client, "close");
  ours.close();
  await taking;
  theirs.close();
  await closed(server);
});

test("a connection that the program has ended is refused until its end is sent: a worker could write after it", async () => {
  const [ours, theirs] = FdChannel.pair();
  const server = createServer({ allowHalfOpen: true });
  const port = await listening(server);
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true }).resume();
  const [socket] = (await once(server, "connection")) as [Socket];
  const served: Socket[] = [];
  const taking = takeConnections(theirs, (one) => served.push(one));
  socket.end();
  assert.is(await codeOf(handOff(ours, socket)), "ERR_SOCKET_BUSY");
  await once(client, "end");
  await settled(() => Number(socket.writableFinished));
  // What the client still sends is the worker's.
  await handOff(ours, socket);
  client.end("the rest");
  ours.close();
  await taking;
  theirs.close();
  let text = "";
  for await (const chunk of served[0]!) text += chunk;
  assert.is(text, "the rest");
  await closed(server);
});

test("a request that is not answered yet, before a pipelined upgrade too, is refused: its client would wait for ever, or get the wrong answer", async () => {
  const [ours, theirs] = FdChannel.pair();
  const codes: string[] = [];
  const server = createHttp(async ({ socket }, response) => {
    codes.push(await codeOf(handOff(ours, socket)));
    await sleep(5);
    response.end("answered");
  });
  server.on("upgrade", async (request, socket, head) => {
    codes.push(await codeOf(handOffUpgrade(ours, request, socket, head)));
    socket.resume().on("end", () => socket.destroy());
  });
  const client = connect(await listening(server), "127.0.0.1");
  const headers = "Host: x\r\nConnection: Upgrade\r\n";
  client.write(`GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n${headers}Upgrade: x\r\n\r\n`);
  assert.match(await readBytes(client, 100), "answered");
  assert.equal(codes, ["ERR_SOCKET_BUSY", "ERR_SOCKET_BUSY"]);
  client.destroy();
  ours.close();
  theirs.close();
  await closed(server);
});

test("a worker in the way of a request does not get it twice: acknowledged is served, unacknowledged is not", async () => {
  const [ours, theirs] = FdChannel.pair();
  const server = front((socket) => void handOff(ours, socket).catch((error) => errors.push(error)));
  const errors: HandOffError[] = [];
  const port = await listening(server);
  // The worker cannot acknowledge: the front does not receive, and has closed that direction.
  const client = connect(port, "127.0.0.1").resume();
  await settled(() => errors.length);
  ours.close();
  const served: Socket[] = [];
  await takeConnections(theirs, (socket) => served.push(socket));
  assert.is(served.length, 0, "the front takes it back, and would serve it again");
  while (errors.length === 0) await sleep(1);
  errors[0]!.takeBack().end();
  client.destroy();
  theirs.close();
  await closed(server);
});

test.run();
