/** Creating sockets: connect, adopt, hand over, names. */

import { createServer, connect as netConnect, type Server, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { OwnedFd, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, errorOf, leakChecked, NEEDS, openFds, run, socketPath } from "../support.ts";

const test = leakChecked("sockets");

/** Node 20 pads an abstract name with NULs, and each of them is a part of the name. */
const ABSTRACT = `\0unix-ancillary-test-${process.pid}`.padEnd(108, "\0");

/** A Node server whose accepted sockets have read nothing yet. */
async function listen(path: string): Promise<{ server: Server; accepted: () => Promise<Socket> }> {
  const server = createServer({ pauseOnConnect: true }).listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  return { server, accepted: () => new Promise((resolve) => server.once("connection", resolve)) };
}

function closed(server: Server): Promise<unknown> {
  return new Promise((resolve) => server.close(resolve));
}

for (const [name, path] of [
  ["a path", socketPath()],
  ["an abstract name", ABSTRACT],
] as const) {
  test(`connect to ${name}, and adopt the socket that Node accepted`, async () => {
    const { server, accepted } = await listen(path);
    const accepting = accepted();
    const client = await UnixStream.connect(path);
    const socket = UnixStream.from(await accepting);
    assert.is(client.peerAddress, path);
    assert.is(socket.address, path);
    assert.is(client.address, null);
    assert.is(socket.peerCredentials().pid, process.pid);
    client.sendFdsSync("hello", [0]);
    const message = await socket.recvFds(1);
    assert.is(message.fds.length, 1);
    message[Symbol.dispose]();
    const sync = UnixStream.connectSync(path);
    const other = await accepted();
    assert.is(sync.peerAddress, path);
    sync.close();
    other.destroy();
    client.close();
    socket.close();
    await closed(server);
  });
}

test.python("connect reports the errors of the kernel", async () => {
  const path = socketPath();
  for (const attempt of [() => UnixStream.connect(path), () => UnixStream.connectSync(path)]) {
    const error = (await errorOf(attempt)) as Error & { code: string; syscall: string; errno: number };
    assert.is(error.code, "ENOENT");
    assert.is(error.syscall, "connect");
    assert.is(error.errno, -2);
  }
  // A socket file without a listener.
  await run("python3", ["-c", `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(path)})`]);
  assert.is(await codeOf(UnixStream.connect(path)), "ECONNREFUSED");
  assert.is(await codeOf(() => UnixStream.connectSync(path)), "ECONNREFUSED");
});

test("a path that is too long, empty, or contains a NUL is refused, never cut", async () => {
  const long = `/tmp/${"x".repeat(200)}`;
  for (const [path, text] of [
    [long, "at most 107 bytes"],
    [`/tmp/${"\u00e9".repeat(60)}`, "at most 107 bytes"],
    ["", "at least 1 byte"],
    ["/tmp/a\0b", "without NUL"],
    [`\0${"x".repeat(200)}`, "at most 108 bytes"],
  ] as const) {
    const error = await errorOf(UnixStream.connect(path));
    assert.instance(error, RangeError);
    assert.match(error.message, text);
    assert.instance(await errorOf(() => UnixStream.connectSync(path)), RangeError);
  }
  assert.instance(await errorOf(UnixStream.connect(1 as never)), TypeError);
});

test.python("backlog-full: connect waits for room, and can be aborted", async () => {
  const path = socketPath();
  const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(${JSON.stringify(path)}); s.listen(0); print("ready", flush=True)
sys.stdin.readline()
while True:
  c, _ = s.accept(); c.send(b"x"); c.close()
`;
  const { spawn } = await import("node:child_process");
  const child = spawn("python3", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const full = [UnixStream.connectSync(path)];
  const abort = AbortSignal.timeout(30);
  const error = await errorOf(UnixStream.connect(path, { signal: abort }));
  assert.is(error, abort.reason);
  const waiting = UnixStream.connect(path);
  await sleep(10);
  child.stdin.write("\n");
  const stream = await waiting;
  assert.is((await stream.recvFds(0)).data.toString(), "x");
  stream.close();
  for (const one of full) one.close();
  child.kill();
  await new Promise((resolve) => child.once("close", resolve));
});

test.python("from refuses everything but a connected Unix stream, and does not change it", async () => {
  const path = socketPath();
  const script = `
import socket, os, sys
out = socket.socket(fileno=3)
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
c, d = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
l = socket.socket(socket.AF_UNIX); l.bind(${JSON.stringify(path)}); l.listen()
u = socket.socket(socket.AF_UNIX)
t = socket.socket(); t.bind(("127.0.0.1", 0)); t.listen()
r, w = os.pipe()
f = os.open("/dev/null", os.O_RDONLY)
socket.send_fds(out, [b"x"], [a.fileno(), c.fileno(), l.fileno(), u.fileno(), t.fileno(), r, f])
`;
  const [ours, theirs] = UnixStream.pair();
  const { code, stderr } = await run("python3", ["-c", script], { stdio: ["ignore", "pipe", "pipe", theirs.fd] });
  assert.is(code, 0, stderr);
  const { fds } = ours.recvFdsExactSync(7);
  const expected = ["SOCK_DGRAM", "SOCK_SEQPACKET", "listening", "not connected", "AF_INET", "no socket", "no socket"];
  for (const [i, fd] of fds.entries()) {
    const number = fd.fd;
    const error = await errorOf(() => UnixStream.from(fd));
    assert.is((error as { code?: string }).code, "ERR_NOT_UNIX_SOCKET");
    assert.match(error.message, expected[i]!);
    assert.is(fd.fd, number, "the source is still the owner");
    fd.close();
  }
  const gone = OwnedFd.from(0);
  gone.close();
  assert.is(await codeOf(() => UnixStream.from(gone)), "ERR_FD_CLOSED");
  ours.close();
  theirs.close();
});

test("from(OwnedFd) takes ownership: the source is released", () => {
  const [a, b] = UnixStream.pair();
  const owned = OwnedFd.from(a);
  const { fd } = owned;
  const taken = UnixStream.from(owned);
  assert.ok(owned.closed);
  assert.is(taken.fd, fd);
  a.close();
  taken.sendFdsSync("x", [0]);
  b.recvFdsSync(1)[Symbol.dispose]();
  taken.close();
  b.close();
});

test.python("an adopted socket keeps its shared flags", async () => {
  const [a, b] = UnixStream.pair();
  const script = `
import socket, fcntl, os, sys
out = socket.socket(fileno=3)
x, y = socket.socketpair()
socket.send_fds(out, [b"x"], [x.fileno()])
sys.stdin.readline()
print(fcntl.fcntl(x, fcntl.F_GETFL) & os.O_NONBLOCK, flush=True)
# Its end would be the end of the stream, too.
sys.stdin.readline()
`;
  const { spawn } = await import("node:child_process");
  const child = spawn("python3", ["-c", script], { stdio: ["pipe", "pipe", "inherit", b.fd] });
  const message = await a.recvFds(1);
  const stream = UnixStream.from(message.fds[0]!);
  // Waiting creates a watcher, and libuv's watcher makes descriptors non-blocking.
  const waiting = stream.recvFds(1);
  await sleep(5);
  child.stdin!.write("\n");
  const flags = await new Promise((resolve) => child.stdout!.once("data", (bytes) => resolve(String(bytes).trim())));
  assert.is(flags, "0");
  stream.close();
  assert.is(await codeOf(waiting), "ERR_SOCKET_CLOSED");
  child.stdin!.end();
  await new Promise((resolve) => child.once("close", resolve));
  a.close();
  b.close();
});

test("from(net.Socket) refuses a socket that has read, or has bytes to write", async () => {
  const path = socketPath();
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  const accepting = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const client = netConnect(path);
  const socket = await accepting;
  client.write("bytes that may have had descriptors");
  await new Promise((resolve) => socket.once("readable", resolve));
  const error = await errorOf(() => UnixStream.from(socket));
  assert.is((error as { code?: string }).code, "ERR_SOCKET_BUSY");
  assert.match(error.message, "pauseOnConnect");
  assert.is(String(socket.read()), "bytes that may have had descriptors", "it still works");
  client.write(Buffer.alloc(4_000_000));
  assert.match((await errorOf(() => UnixStream.from(client))).message, "nothing to write");
  client.destroy();
  socket.destroy();
  assert.is(await codeOf(() => UnixStream.from(client)), "ERR_FD_CLOSED");
  await closed(server);
});

test("from(net.Socket) of TCP is refused", async () => {
  const server = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const client = netConnect((server.address() as { port: number }).port, "127.0.0.1");
  await new Promise((resolve) => client.once("connect", resolve));
  assert.is(await codeOf(() => UnixStream.from(client)), "ERR_NOT_UNIX_SOCKET");
  client.destroy();
  await closed(server);
});

test("toSocket hands the connection to Node's streams, but not while operations wait", async () => {
  const [a, b] = UnixStream.pair();
  const abort = new AbortController();
  const waiting = a.recvFds(1, { signal: abort.signal });
  assert.is(await codeOf(() => a.toSocket()), "ERR_SOCKET_BUSY");
  abort.abort();
  await errorOf(waiting);
  const socket = a.toSocket();
  assert.instance(socket, Socket);
  assert.ok(a.closed);
  const reply = new Promise((resolve) => socket.once("data", (bytes) => resolve(String(bytes))));
  socket.write("to the stream");
  assert.is((await b.recvFds(0)).data.toString(), "to the stream");
  b.sendFdsSync("to Node");
  assert.is(await reply, "to Node");
  socket.destroy();
  await new Promise((resolve) => socket.once("close", resolve));
  b.close();
});

test("toSocket of a socket that has waited: its readiness is Node's from then on", async () => {
  const [a, b] = UnixStream.pair();
  const received = b.recvFds(0);
  a.sendFdsSync("x");
  await received;
  const socket = b.toSocket();
  const data = new Promise((resolve) => socket.once("data", (bytes) => resolve(String(bytes))));
  a.sendFdsSync("for Node");
  assert.is(await Promise.race([data, sleep(2000)]), "for Node");
  const answer = a.recvFds(0);
  socket.write("from Node");
  assert.is((await answer).data.toString(), "from Node");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.destroy();
  await closed;
  a.close();
});

test("TCP sockets are refused: they would accept descriptors and drop them", async () => {
  const tcp = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => tcp.once("listening", resolve));
  const owned = OwnedFd.from(tcp);
  assert.is(await codeOf(() => UnixStream.from(owned)), "ERR_NOT_UNIX_SOCKET");
  owned.close();
  await closed(tcp);
});

test("the ends of a pair are created CLOEXEC, and blocking, as a child may get one", async () => {
  const [a, b] = UnixStream.pair();
  const { readFileSync } = await import("node:fs");
  for (const { fd } of [a, b]) {
    const flags = Number.parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!, 8);
    assert.is(flags & 0o2004000, 0o2000000);
  }
  a.close();
  b.close();
});

test("credentials: those of the sender, or null if they are not known", async () => {
  const [a, b] = UnixStream.pair();
  a.sendFdsSync("before");
  b.setPassCredentials(true);
  assert.is(b.recvFdsSync(0).credentials, null, "sent before the option was on: pid 0, uid 65534");
  a.sendFdsSync("after", [0]);
  const message = b.recvFdsSync(1);
  assert.equal(message.credentials, { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() });
  message[Symbol.dispose]();
  a.close();
  const end = b.recvFdsSync(0);
  assert.ok(end.eof);
  assert.is(end.credentials, null, "the end of a stream comes with pid 0, uid 0");
  b.close();
});

test.needing(...NEEDS.passPidfd, "pidfds are closed unless requested; requested ones are owned", async () => {
  const [a, b] = UnixStream.pair();
  b.setPassPidfd(true);
  b.setPassCredentials(true);
  a.sendFdsSync("x", new Array(253).fill(0));
  const message = b.recvFdsSync(253);
  assert.is(message.fds.length, 253, "with every option on, the most descriptors are not refused");
  assert.is(message.pidfd!.describe().kind, "pidfd");
  message[Symbol.dispose]();
  assert.ok(message.pidfd!.closed);
  // The option belongs to the socket, not to the object: the other owner has not requested pidfds.
  const other = UnixStream.from(OwnedFd.from(b));
  a.sendFdsSync("x", [0]);
  const before = openFds().size;
  const second = other.recvFdsSync(1);
  assert.is(second.pidfd, null);
  assert.is(openFds().size, before + 1);
  second[Symbol.dispose]();
  for (const one of [a, b, other]) one.close();
});

test("a socket can be passed through itself and through its peer", () => {
  const [a, b] = UnixStream.pair();
  a.sendFdsSync("x", [a, b]);
  const { fds } = b.recvFdsExactSync(2);
  const again = UnixStream.from(fds[0]!);
  again.sendFdsSync("through the copy");
  assert.is(b.recvFdsSync(0).data.toString(), "through the copy");
  again.close();
  fds[1]!.close();
  a.close();
  b.close();
});

test("toSocket with options that Node refuses does not hand the connection over", async () => {
  const [a, b] = UnixStream.pair();
  assert.instance(await errorOf(() => a.toSocket({ highWaterMark: -1 } as never)), TypeError);
  assert.instance(await errorOf(() => a.toSocket("x" as never)), TypeError);
  a.sendFdsSync("still ours", [0]);
  b.recvFdsExactSync(1)[Symbol.dispose]();
  a.close();
  b.close();
});

test("toSocket with a buffer of onread that throws: no socket of Node's has it too", () => {
  const [a, b] = UnixStream.pair();
  const buffer = () => {
    throw new Error("no buffer");
  };
  const resources = process.getActiveResourcesInfo().length;
  assert.throws(() => b.toSocket({ onread: { buffer, callback: () => true } } as never), /no buffer/);
  assert.is(process.getActiveResourcesInfo().length, resources);
  a.sendFdsSync("still ours");
  assert.is(String(b.recvFdsSync(0).data), "still ours");
  a.close();
  b.close();
});

test("toSocket with buffers of onread: all are used, the first one once", async () => {
  const [a, b] = UnixStream.pair();
  const buffers = [Buffer.alloc(3), Buffer.alloc(3), Buffer.alloc(3)];
  const made: Buffer[] = [];
  let text = "";
  const onread = {
    buffer: () => {
      made.push(buffers[made.length]!);
      return made.at(-1)!;
    },
    callback(bytes: number, buffer: Buffer) {
      text += buffer.toString("latin1", 0, bytes);
      return made.includes(buffer);
    },
  };
  const socket = b.toSocket({ onread } as never);
  a.sendFdsSync("abcdef");
  while (text.length < 6) await sleep(1);
  assert.is(text, "abcdef");
  assert.is(String(buffers[0]), "abc");
  assert.is(String(buffers[1]), "def");
  socket.destroy();
  await new Promise((resolve) => socket.once("close", resolve));
  a.close();
});

test("from(net.Socket) of TLS is refused: it has read bytes that it does not count", async () => {
  const { TLSSocket } = await import("node:tls");
  const path = socketPath();
  const { server, accepted } = await listen(path);
  const client = netConnect(path);
  const socket = await accepted();
  const secure = new TLSSocket(client);
  assert.instance(await errorOf(() => UnixStream.from(secure)), TypeError);
  secure.destroy();
  client.destroy();
  socket.destroy();
  await closed(server);
});

test.run();
