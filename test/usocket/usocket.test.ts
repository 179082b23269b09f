/** usocket's classes: what programs of usocket rely on, and the faults of usocket that are none here. */

import { once } from "node:events";
import { unlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
import { VirtualKernel } from "unix-ancillary/testing";
import { UServer, USocket } from "unix-ancillary/usocket";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import { codeOf, leakChecked, openFds, settled, socketPath } from "../support.ts";

const test = leakChecked("usocket");

/** The next event of a name. `once` of Node rejects when an "error" comes first. */
const next = (socket: USocket, event: string): Promise<unknown> =>
  new Promise((resolve) => socket.once(event, resolve));

/** A USocket that owns the descriptor of a stream. */
function over(stream: UnixStream): USocket {
  const fd = OwnedFd.from(stream).release();
  stream.close();
  return new USocket({ fd });
}

/** The body of a test with two connected USockets. */
function connected(body: (a: USocket, b: USocket) => unknown): () => Promise<void> {
  return async () => {
    const [a, b] = UnixStream.pair().map(over) as [USocket, USocket];
    try {
      await body(a, b);
    } finally {
      a.destroy();
      b.destroy();
    }
  };
}

/** Reads as usocket's programs do: on "readable", until there is nothing. */
async function readAll(socket: USocket, size: number, fds: number | null, count: number): Promise<number[][]> {
  const received: number[][] = [];
  while (received.length < count) {
    const message = socket.read(size, fds);
    if (message === null) await once(socket, "readable");
    else received.push(message.fds);
  }
  return received;
}

test(
  "2,000 descriptors written at once to a full socket: each arrives once, with its message",
  connected(async (a, b) => {
    const files = ["/", "/proc", "/dev/null", "/dev/zero", "/etc"].map((path) => openSync(path, "r"));
    const inodes = files.map((fd) => fstatSync(fd).ino);
    let sent = 0;
    const callback = () => void sent++;
    for (let i = 0; i < 2000; i++) a.write({ data: Buffer.alloc(1000, i), fds: [files[i % files.length]!], callback });
    await sleep(20);
    assert.ok(sent < 2000, "the socket was never full");
    for (const [i, fds] of (await readAll(b, 1000, 1, 2000)).entries()) {
      assert.is(fds.length, 1);
      assert.is(fstatSync(fds[0]!).ino, inodes[i % files.length], `message ${i}`);
      closeSync(fds[0]!);
    }
    assert.is(sent, 2000);
    assert.equal(b.read(null, null), { data: null, fds: [] });
    files.forEach(closeSync);
  }),
);

test(
  "a write larger than the socket sends its descriptors once",
  connected(async (a, b) => {
    const file = openSync("/dev/null", "r");
    a.write({ data: Buffer.alloc(1 << 20), fds: [file] });
    let bytes = 0;
    const fds: number[] = [];
    b.on("fds", (numbers: number[]) => fds.push(...numbers));
    b.on("data", (data: Buffer) => {
      bytes += data.length;
    });
    while (bytes < 1 << 20) await once(b, "data");
    assert.is(fds.length, 1);
    assert.is(fstatSync(fds[0]!).rdev, fstatSync(file).rdev);
    assert.equal(b.read(null, null)!.fds, fds);
    closeSync(fds[0]!);
    closeSync(file);
  }),
);

test(
  "read(n, null) leaves the descriptors of later messages: dbus-next would give them to the wrong one",
  connected(async (a, b) => {
    const file = openSync("/dev/null", "r");
    // Linux joins the bytes of the first message to those of the second in one receive.
    a.write("first");
    a.write({ data: Buffer.from("second"), fds: [file] });
    while (b.readableLength < 11) {
      b.read(0);
      await sleep(1);
    }
    assert.equal(b.read(5, null), { data: Buffer.from("first"), fds: [] });
    const { data, fds } = b.read(6, null)!;
    assert.is(String(data), "second");
    assert.is(fds.length, 1);
    closeSync(fds[0]!);
    closeSync(file);
  }),
);

test("read while descriptors of the next message are on their way to the listeners: each message gets its own", async () => {
  const file = openSync("/dev/null", "r");
  const wrong: unknown[] = [];
  // After each number of microtasks: one of them is between the receive and the event. Undefined: in the listener.
  for (const microtasks of [undefined, ...new Array(40).keys()]) {
    for (const [size, count, expected] of [
      [5, null, 1],
      [0, 2, 2],
    ] as const) {
      const [peer, stream] = UnixStream.pair();
      const socket = over(stream);
      await once(socket, "connected");
      for (const text of ["first", "other"]) peer.sendFdsAllSync(text, [file]);
      socket.read(0);
      const fds: number[] = [];
      const read = (): void => void fds.push(...(socket.read(size, count)?.fds ?? []));
      await once(socket, "fds");
      if (microtasks === undefined) {
        await once(socket.once("fds", read), "fds");
      } else {
        await new Promise(process.nextTick);
        for (let i = 0; i < microtasks; i++) await null;
        read();
        await sleep(1);
      }
      // Not all had arrived.
      if (fds.length !== expected && (count === null || fds.length > 0)) wrong.push([microtasks, count, fds.length]);
      fds.forEach(closeSync);
      socket.destroy();
      peer.close();
    }
  }
  assert.equal(wrong, []);
  closeSync(file);
});

test(
  "descriptors without bytes are an error: the kernel would drop them",
  connected(async (a) => {
    const [failed, closed] = [next(a, "error"), next(a, "close")];
    a.write([0]);
    assert.is(((await failed) as { code: string }).code, "ERR_EMPTY_PAYLOAD");
    await closed;
    assert.is(a.fd, undefined);
  }),
);

test(
  "what is put back is read again; what nobody reads is closed with the socket",
  connected(async (a, b) => {
    const file = openSync("/dev/null", "r");
    for (let i = 0; i < 3; i++) a.write({ data: Buffer.from("abc"), fds: [file, file] });
    const [fds] = (await readAll(b, 3, 2, 1)) as [number[]];
    const numbers = [...fds];
    b.unshift(Buffer.from("abc"), fds);
    assert.equal(fds, [], "the list is emptied");
    assert.equal(b.read(3, 2), { data: Buffer.from("abc"), fds: numbers });
    b.unshift(null, numbers);
    await readAll(b, 3, 0, 2);
    closeSync(file);
  }),
);

test(
  "a number of descriptors that is none is refused before anything is read; a list put back with a number that is no descriptor stays the caller's",
  connected(async (a, b) => {
    const file = openSync("/dev/null", "r");
    a.write({ data: Buffer.from("abc"), fds: [file] });
    await once(b, "readable");
    for (const count of [-1, 0.5, Number.NaN]) assert.is(await codeOf(() => b.read(3, count)), "ERR_OUT_OF_RANGE");
    const { data, fds } = b.read(3, 1)!;
    assert.is(String(data), "abc");
    const list = [fds[0]!, -1];
    assert.is(await codeOf(() => b.unshift(null, list)), "ERR_OUT_OF_RANGE");
    assert.equal(list, [fds[0]!, -1]);
    closeSync(fds[0]!);
    closeSync(file);
  }),
);

test(
  "a consumer that takes its time is waited for: more descriptors than a reader queues",
  connected(async (a, b) => {
    const file = openSync("/dev/null", "r");
    for (let i = 0; i < 1500; i++) a.write({ data: Buffer.from("x"), fds: [file] });
    b.read(0);
    const open = await settled(() => openFds().size);
    assert.ok(open > 512 && open < 512 + 300, `${open} are open`);
    for (const [fd] of await readAll(b, 1, 1, 1500)) closeSync(fd!);
    closeSync(file);
  }),
);

test("a failed connect can be repeated; the peer's end and an own end close the socket", async () => {
  const path = socketPath();
  const client = new USocket();
  for (const to of [{ fd: -1 }, { path }]) {
    client.connect(to, () => assert.unreachable());
    const [error, cause] = await Promise.all([next(client, "error"), next(client, "close")]);
    assert.is(error, cause);
  }
  const server = new UServer();
  server.listen({ path, backlog: 4 });
  await once(server, "listening");
  assert.is(typeof server.fd, "number");
  server.pause();
  client.connect(path);
  // Written before the connection is made.
  client.end({ data: Buffer.from("hello") });
  await Promise.all([once(client, "connected"), sleep(20)]);
  assert.throws(() => client.connect(path), /already connected/);
  const accepting = once(server, "connection");
  server.resume();
  const [socket] = (await accepting) as [USocket];
  const closed = [once(client, "close"), once(socket, "close")];
  socket.setEncoding("utf8").on("data", (text) => socket.end(`${text} back`, "utf8"));
  let answer = "";
  client.on("data", (data: Buffer) => {
    answer += data;
  });
  await Promise.all(closed);
  assert.is(answer, "hello back");
  server.close();
  unlinkSync(path);
});

test(
  "destroy is silent, and a write without a connection fails",
  connected(async (a, b) => {
    for (const event of ["close", "end", "error"]) a.on(event, () => assert.unreachable(event));
    a.destroy();
    b.resume();
    await once(b, "end");
    await sleep(5);
    // A write that waits for the connection fails with it.
    const early = new USocket({ path: socketPath() });
    early.on("error", () => assert.unreachable("error"));
    const unsent = new Promise<unknown>((resolve) => early.write("x", resolve));
    early.destroy();
    assert.ok((await unsent) instanceof Error);
    const lonely = new USocket();
    const failed = once(lonely, "error");
    lonely.write("x");
    assert.match(String((await failed)[0]), "not connected");
    assert.is(await codeOf(() => new USocket({ path: 5 as never })), "ERR_INVALID_ARG_TYPE");
    // A number that is no socket stays the caller's.
    const file = openSync("/dev/null", "r");
    const [error] = await once(new USocket({ fd: file }), "error");
    assert.is((error as { code: string }).code, "ERR_NOT_UNIX_SOCKET");
    closeSync(file);
  }),
);

test("a server that a listener pauses emits one connection, and the others when it resumes; close closes one that was accepted", async () => {
  const path = socketPath();
  const server = new UServer();
  let pausing = true;
  const served: USocket[] = [];
  server.on("connection", (socket: USocket) => {
    served.push(socket);
    if (pausing) server.pause();
  });
  // usocket takes null and 0 for its own backlog.
  server.listen({ path, backlog: null as never });
  await once(server, "listening");
  const clients: UnixStream[] = [];
  const connect = async (): Promise<void> => void clients.push(await UnixStream.connect(path));
  await Promise.all([connect(), connect(), connect()]);
  const settles = (): Promise<number> => settled(() => served.length);
  assert.is(await settles(), 1);
  server.resume();
  assert.is(await settles(), 2);
  // The third is accepted at once, and the server is paused again before that is known.
  server.resume();
  server.pause();
  assert.is(await settles(), 2);
  pausing = false;
  server.resume();
  assert.is(await settles(), 3);
  await connect();
  assert.is(await settles(), 4);
  server.pause();
  await connect();
  server.resume();
  server.pause();
  await settles();
  server.close();
  assert.is(served.length, 4);
  for (const one of [...served, ...clients.map((client) => over(client))]) one.destroy();
  unlinkSync(path);
});

test("a server that a listener pauses takes no connection ahead: another process that has the listening socket gets it", async () => {
  const path = socketPath();
  const server = new UServer();
  const paused = new Promise<void>((resolve) => {
    server.once("connection", (socket: USocket) => {
      server.pause();
      socket.destroy();
      setImmediate(resolve);
    });
  });
  server.listen(path);
  await once(server, "listening");
  const clients = await Promise.all([UnixStream.connect(path), UnixStream.connect(path)]);
  await paused;
  const successor = UnixListener.from(OwnedFd.from(server.fd!));
  server.close();
  successor.acceptSync({ timeout: 1000 }).close();
  for (const one of [...clients, successor]) one.close();
  unlinkSync(path);
});

test(
  "after destroy nothing is read or taken: bytes would come without their descriptors, and descriptors would stay open",
  connected(async (a, b) => {
    const file = openSync("/dev/null", "r");
    a.write({ data: Buffer.from("abc"), fds: [file] });
    b.read(0);
    await once(b, "readable");
    b.destroy();
    assert.is(b.read(3, null), null);
    const list = [file];
    b.unshift(null, list);
    assert.equal(list, [file]);
    // Destroyed by the list itself, when its last number is read.
    const get = (): number => {
      a.destroy();
      return file;
    };
    a.unshift(null, Object.defineProperty(list, 0, { get, configurable: true }));
    assert.is(list.length, 1);
    closeSync(file);
    // What is no destination for usocket is none here.
    for (const none of ["", null, { path: null, fd: null }, { path: "" }])
      new USocket(none as never).on("error", (error) => assert.unreachable(String(error)));
    await sleep(5);
  }),
);

test("a close of the server that fails has closed it: it can listen again", async () => {
  const kernel = new VirtualKernel("linux-x86_64-glibc");
  const { platform } = kernel.process();
  const server = new UServer();
  server.listen({ path: "/socket", platform });
  await once(server, "listening");
  kernel.fault = ({ name }) => (name === "close" ? { errno: "EIO" } : null);
  assert.is(await codeOf(() => server.close()), "EIO");
  assert.is(server.listening, false);
  kernel.fault = null;
  server.listen({ path: "/other", platform });
  await once(server, "listening");
  server.close();
  kernel.check();
});

test.run();
