/** Listeners: accepting, names, replacing files, adopting listeners. */

import type { SpawnOptions } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, connect as netConnect } from "node:net";
import { constants as osConstants } from "node:os";
import { OwnedFd, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import * as assert from "uvu/assert";
import { again, codeOf, errorOf, leakChecked, NEEDS, openFds, role, run, socketPath } from "../support.ts";

const test = leakChecked("listener");

for (const [kind, name] of [
  ["a path", null],
  ["an abstract name", `\0unix-ancillary-listener-${process.pid}`],
] as const) {
  test(`streams at ${kind}: accepted in the order of the calls, synchronously and asynchronously`, async () => {
    const path = name ?? socketPath();
    const listener = UnixListener.bind(path);
    assert.is(listener.address, path);
    const waiting = [listener.accept(), listener.accept()];
    const clients = [await UnixStream.connect(path), UnixStream.connectSync(path), UnixStream.connectSync(path)];
    const accepted = [...(await Promise.all(waiting)), listener.acceptSync()];
    for (const [i, client] of clients.entries()) {
      client.sendFdsSync(`client ${i}`, [0]);
      const message = accepted[i]!.recvFdsSync(1);
      assert.equal([message.data.toString(), message.fds.length], [`client ${i}`, 1]);
      message[Symbol.dispose]();
      assert.is(client.peerAddress, path);
    }
    for (const one of [...clients, ...accepted, listener]) one.close();
    if (!path.startsWith("\0")) assert.not.ok(existsSync(path), "close unlinks the path");
  });
}

test("seqpacket", async () => {
  const path = socketPath();
  const listener = UnixListener.bind(path, { type: "seqpacket" });
  const client = UnixSeqpacket.connectSync(path);
  const server = await listener.accept();
  assert.instance(server, UnixSeqpacket);
  client.sendFdsSync("a record");
  assert.is(server.recvFdsSync(0).data.toString(), "a record");
  for (const one of [client, server, listener]) one.close();
});

test("iteration ends when the listener is closed; close fails waiting accepts", async () => {
  const path = socketPath();
  const listener = UnixListener.bind(path);
  const clients = [UnixStream.connectSync(path), UnixStream.connectSync(path)];
  let count = 0;
  for await (const stream of listener) {
    stream.close();
    if (++count === 2) setTimeout(() => listener.close(), 5);
  }
  assert.is(count, 2);
  for (const client of clients) client.close();
  const other = UnixListener.bind(path);
  const waiting = codeOf(other.accept());
  other.close();
  assert.is(await waiting, "ERR_SOCKET_CLOSED");
  assert.is(await codeOf(other.accept()), "ERR_SOCKET_CLOSED");
});

test("accept: timeout, abort", async () => {
  const listener = UnixListener.bind(socketPath());
  const error = (await errorOf(() => listener.acceptSync({ timeout: 5 }))) as Error & { code: string; syscall: string };
  assert.equal([error.code, error.syscall], ["ETIMEDOUT", "accept"]);
  const abort = new AbortController();
  const waiting = listener.accept({ signal: abort.signal });
  abort.abort("reason");
  assert.is((await errorOf(waiting)) as unknown, "reason");
  listener.close();
});

test("mode: the permissions are set before any process can connect", () => {
  const path = socketPath();
  const listener = UnixListener.bind(path, { mode: 0o600 });
  assert.is(statSync(path).mode & 0o777, 0o600);
  listener.close();
});

test("the socket file of a killed process is replaced", async () => {
  const path = socketPath();
  const { signal } = await again(import.meta.url, "listen-and-die", [path]);
  assert.is(signal, "SIGKILL");
  assert.ok(existsSync(path));
  const listener = UnixListener.bind(path);
  UnixStream.connectSync(path).close();
  (await listener.accept()).close();
  listener.close();
});

test("a file, a living listener and a datagram socket are never replaced", async () => {
  const file = socketPath();
  writeFileSync(file, "content");
  assert.is(await codeOf(() => UnixListener.bind(file)), "EADDRINUSE");
  assert.is(readFileSync(file, "utf8"), "content");
  const path = socketPath();
  const living = UnixListener.bind(path);
  const { ino } = statSync(path);
  assert.is(await codeOf(() => UnixListener.bind(path)), "EADDRINUSE");
  assert.is(await codeOf(() => UnixListener.bind(path, { type: "seqpacket" })), "EADDRINUSE");
  assert.is(statSync(path).ino, ino);
  living.close();
  const datagram = UnixDatagram.bind(path);
  assert.is(await codeOf(() => UnixListener.bind(path)), "EADDRINUSE");
  datagram.close();
  assert.is(await codeOf(() => UnixListener.bind("/nonexistent/folder/socket")), "ENOENT");
});

test("a listener whose backlog is full is not dead", async () => {
  const path = socketPath();
  const listener = UnixListener.bind(path, { backlog: 0 });
  const client = UnixStream.connectSync(path);
  assert.is(await codeOf(() => UnixListener.bind(path)), "EADDRINUSE");
  listener.close();
  client.close();
});

test("a path that another program took over is not unlinked", async () => {
  const path = socketPath();
  const first = UnixListener.bind(path);
  await run("rm", [path]);
  const second = UnixListener.bind(path);
  first.close();
  assert.ok(existsSync(path));
  second.close();
  assert.not.ok(existsSync(path));
});

test("from(net.Server): the path stays, Node's server is closed, the listener accepts the connections", async () => {
  const path = socketPath();
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  const listener = UnixListener.from(server);
  assert.not.ok(server.listening);
  const client = netConnect(path);
  const stream = await listener.accept();
  client.end("from net");
  assert.is((await stream.recvFds(0)).data.toString(), "from net");
  client.destroy();
  stream.close();
  listener.close();
  assert.not.ok(existsSync(path));
});

test("from(OwnedFd): adopts a passed listener; anything else is refused", async () => {
  const path = socketPath();
  const listener = UnixListener.bind(path);
  const [a, b] = UnixStream.pair();
  a.sendFdsSync("take over", [listener]);
  const passed = UnixListener.from(b.recvFdsExactSync(1).fds[0]!);
  const client = UnixStream.connectSync(path);
  const stream = passed.acceptSync();
  assert.is(passed.address, path);
  for (const wrong of [OwnedFd.from(a), OwnedFd.from(0), OwnedFd.from(client)]) {
    assert.is(await codeOf(() => UnixListener.from(wrong)), "ERR_NOT_UNIX_SOCKET");
    assert.not.ok(wrong.closed);
    wrong.close();
  }
  passed.close();
  assert.ok(existsSync(path), "it did not bind the path");
  for (const one of [a, b, client, stream, listener]) one.close();
});

test("accepted sockets inherit the options", async () => {
  const path = socketPath();
  const listener = UnixListener.bind(path);
  listener.setPassCredentials(true);
  if (NEEDS.passPidfd[0]) listener.setPassPidfd(true);
  const client = UnixStream.connectSync(path);
  // Sent before the connection is accepted.
  client.sendFdsSync("first", [0]);
  const stream = await listener.accept();
  const message = await stream.recvFds(1);
  assert.is(message.credentials!.pid, process.pid);
  assert.is(message.pidfd?.describe().kind, NEEDS.passPidfd[0] ? "pidfd" : undefined);
  message[Symbol.dispose]();
  for (const one of [client, stream, listener]) one.close();
});

test("connected-before-the-option: an option also applies to connections that wait to be accepted", async () => {
  const path = socketPath();
  const listener = UnixListener.bind(path);
  const client = UnixStream.connectSync(path);
  listener.setPassCredentials(true);
  const stream = await listener.accept();
  client.sendFdsSync("first", [0]);
  const message = await stream.recvFds(1);
  assert.is(message.credentials?.pid, process.pid);
  message[Symbol.dispose]();
  for (const one of [client, stream, listener]) one.close();
});

test("misuse", async () => {
  for (const [options, kind] of [
    [{ tpye: "stream" }, TypeError],
    [{ type: "dgram" }, RangeError],
    [{ backlog: -1 }, RangeError],
    [{ mode: 0o1777 }, RangeError],
  ] as const) {
    assert.instance(await errorOf(() => UnixListener.bind(socketPath(), options as never)), kind);
  }
  assert.instance(await errorOf(() => UnixListener.bind("\0x", { mode: 0o600 })), RangeError);
  assert.instance(await errorOf(() => UnixListener.from({} as never)), TypeError);
});

test("a connection that its peer gave up while it waited is passed over", async () => {
  const kernel = new VirtualKernel("freebsd-amd64");
  const { platform } = kernel.process();
  const listener = UnixListener.bind("/s", { platform });
  const client = UnixStream.connectSync("/s", { platform });
  let given = 0;
  kernel.fault = ({ name }) => (name === "accept" && given++ < 2 ? { errno: "ECONNABORTED" } : null);
  const accepted = await listener.accept();
  assert.is(given, 3);
  for (const one of [accepted, client, listener]) one.close();
  kernel.check();
});

test.python("shut down by another process: accept delivers what waits, and then fails", async () => {
  const listener = UnixListener.bind(socketPath());
  const client = await UnixStream.connect(listener.address!);
  const accepted = listener.accept();
  const waiting = codeOf(listener.accept());
  (await accepted).close();
  const program = "import socket; socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)";
  const stdio: SpawnOptions["stdio"] = ["ignore", "pipe", "pipe", listener.fd];
  const { code, stderr } = await run("python3", ["-c", program], { stdio });
  assert.is(code, 0, stderr);
  assert.is(await waiting, "EINVAL");
  assert.is(await codeOf(() => listener.acceptSync()), "EINVAL");
  for (const socket of [client, listener]) socket.close();
});

test("close removes the name before it closes the socket: until then no other socket can have it", () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const { platform } = kernel.process();
  const calls: string[] = [];
  for (const socket of [UnixListener.bind("/l", { platform }), UnixDatagram.bind("/d", { platform })]) {
    kernel.fault = ({ name }) => {
      calls.push(name);
      return null;
    };
    socket.close();
    kernel.fault = null;
    const order = calls.splice(0).filter((name) => name === "unlink" || name === "close");
    assert.equal(order, ["unlink", "close"]);
  }
  kernel.check();
});

test("a path that can no longer be reached does not keep the socket open", () => {
  const folder = socketPath();
  mkdirSync(folder);
  const listener = UnixListener.bind(`${folder}/socket`);
  const { fd } = listener;
  renameSync(folder, `${folder}-moved`);
  symlinkSync(folder, folder);
  listener.close();
  assert.ok(listener.closed);
  assert.not.ok(openFds().has(fd));
});

if (role === "listen-and-die") {
  UnixListener.bind(process.argv[2]!);
  process.kill(process.pid, "SIGKILL");
} else {
  for (const answer of ["0", "ENOPROTOOPT"]) {
    test(`SO_ACCEPTCONN is ${answer} for a socket that listens (gVisor): it is taken over; one that does not listen is refused`, async () => {
      const kernel = new VirtualKernel("linux-x86_64-glibc");
      const process = kernel.process();
      const { platform } = process;
      const { system, constants } = platform;
      const getsockopt = system.getsockopt.bind(system);
      system.getsockopt = (fd, level, name, into) => {
        const length = getsockopt(fd, level, name, into);
        if (name !== constants.SO_ACCEPTCONN) return length;
        into.fill(0);
        return answer === "0" ? length : -osConstants.errno.ENOPROTOOPT;
      };
      const listener = UnixListener.bind("/socket", { platform });
      const [a, b] = UnixStream.pair({ platform });
      const number = system.socket(constants.SOCK_STREAM!);
      a.sendFdsSync("x", [listener, a, number]);
      const waiting = UnixStream.connectSync("/socket", { platform });
      const [listening, connected, unconnected] = b.recvFdsExactSync(3).fds;
      for (const one of [connected!, unconnected!])
        assert.is(await codeOf(() => UnixListener.from(one)), "ERR_NOT_UNIX_SOCKET");
      const taken = UnixListener.from(listening!);
      const accepted = taken.acceptSync();
      for (const one of [a, b, listener, waiting, connected!, unconnected!, taken, accepted]) one.close();
      system.close(number);
      kernel.check();
    });
  }

  test("a datagram socket is refused by every stream socket, and none is writable before it is connected (gVisor): no file is replaced", async () => {
    const kernel = new VirtualKernel("linux-x86_64-glibc");
    const process = kernel.process();
    const { platform } = process;
    const { system } = platform;
    const { connect, poll } = system;
    const living = UnixListener.bind("/socket", { platform });
    system.connect = () => -osConstants.errno.ECONNREFUSED;
    system.poll = () => 0;
    const error = await errorOf(() => UnixListener.bind("/socket", { platform }));
    assert.match(error.message, /^EADDRINUSE: .*gVisor does not tell whether a process has it open; remove it/);
    Object.assign(system, { connect, poll });
    const client = UnixStream.connectSync("/socket", { platform });
    for (const one of [living, client]) one.close();
    kernel.check();
  });

  test.run();
}
