/** The same options, in the same words, in every class: what one can do, its sisters can. */

import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import {
  FdChannel,
  FdReader,
  notify,
  notifyBarrier,
  recvmsg,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import * as assert from "uvu/assert";
import { codeOf, crowd, errorOf, leakChecked, socketPath, temporaryFolder, withEnvironment } from "../support.ts";

const test = leakChecked("class-options");

/** A call that has to wait, with options. */
type Wait = (options?: object) => unknown;

/** The calls of a class that wait, and how to end what they use. */
interface Waits {
  readonly calls: Readonly<Record<string, Wait>>;
  readonly close: () => void;
}

/** The call of a method by its name, with these arguments before its options. */
function called(on: object, name: string, ...args: unknown[]): Record<string, Wait> {
  return { [name]: (options) => (on as Record<string, (...args: unknown[]) => unknown>)[name]!(...args, options) };
}

function both(on: object, name: string, ...args: unknown[]): Record<string, Wait> {
  return { ...called(on, name, ...args), ...called(on, `${name}Sync`, ...args) };
}

/** The sends and receives of a socket that has no room and no message. */
function messages(socket: UnixStream | UnixSeqpacket | UnixDatagram): Record<string, Wait> {
  while (socket.trySendFds(Buffer.alloc(4096)) !== null);
  return {
    ...both(socket, "sendFds", Buffer.alloc(4096), [0]),
    ...both(socket, "recvFds", 1),
    ...both(socket, "recvFdsExact", 1),
    ...both(socket, "recvFdsInto", Buffer.alloc(8), 1),
    messages: (options) => socket.messages(1, options).next(),
  };
}

/** A listener whose backlog is full. */
function fullListener(type: "stream" | "seqpacket"): { path: string; close: () => void } {
  const path = socketPath();
  const listener = UnixListener.bind(path, { type: type as "stream", backlog: 0 });
  const client = (type === "stream" ? UnixStream : UnixSeqpacket).connectSync(path);
  const close = () => {
    client.close();
    listener.close();
  };
  return { path, close };
}

function connected(class_: typeof UnixStream | typeof UnixSeqpacket, type: "stream" | "seqpacket"): Waits {
  const [a, b] = class_.pair();
  const { path, close } = fullListener(type);
  return {
    calls: { ...messages(a), ...both(a, "sendFdsAll", Buffer.alloc(4096), [0]), ...both(class_, "connect", path) },
    close: () => {
      for (const socket of [a, b]) socket.close();
      close();
    },
  };
}

/** For each class: calls that wait. */
const WAITS: Readonly<Record<string, () => Waits>> = {
  UnixStream: () => connected(UnixStream, "stream"),
  UnixSeqpacket: () => connected(UnixSeqpacket, "seqpacket"),
  UnixDatagram() {
    const [a, b] = UnixDatagram.pair();
    const full = UnixDatagram.bind(socketPath());
    const sender = UnixDatagram.unbound();
    crowd(sender, full.address!);
    return {
      calls: { ...messages(a), ...both(a, "recvFdsFrom", 1), ...both(sender, "sendFdsTo", "x", [0], full.address) },
      close: () => {
        for (const socket of [a, b, full, sender]) socket.close();
      },
    };
  },
  UnixListener() {
    const listener = UnixListener.bind(socketPath());
    return { calls: both(listener, "accept"), close: () => listener.close() };
  },
  FdReader() {
    const [a, b] = UnixStream.pair();
    const reader = a.reader();
    const reads = { ...called(reader, "read", 1), ...called(reader, "readUntil", "\n", 9), ...called(reader, "ended") };
    return {
      calls: reads,
      close: () => {
        reader.close();
        b.close();
      },
    };
  },
  FdChannel() {
    const [a, b] = FdChannel.pair();
    return {
      // The first one fills the socket.
      calls: { ...called(a, "send", Buffer.alloc(1 << 20), []), ...called(a, "recv") },
      close: () => {
        a.close();
        b.close();
      },
    };
  },
  "unix-ancillary"() {
    const manager = UnixDatagram.bind(socketPath());
    const sender = UnixDatagram.unbound();
    crowd(sender, manager.address!);
    const [a, b] = UnixStream.pair();
    while (a.trySendFds(Buffer.alloc(4096)) !== null);
    process.env.NOTIFY_SOCKET = manager.address!;
    return {
      calls: {
        notify: (options) => notify("READY=1", [], options),
        notifyBarrier: (options) => notifyBarrier(options),
        sendmsgSync: (options) => sendmsg(a, "x", null, { wait: true, ...options }),
        recvmsgSync: (options) => recvmsg(a, Buffer.alloc(1), null, { wait: true, ...options }),
      },
      close: () => {
        delete process.env.NOTIFY_SOCKET;
        for (const socket of [a, b, manager, sender]) socket.close();
      },
    };
  },
};

test("a method that has a synchronous form is in the table, in both forms", () => {
  const classes = { UnixStream, UnixSeqpacket, UnixDatagram, UnixListener, FdReader, FdChannel };
  for (const [name, class_] of Object.entries(classes)) {
    const found: string[] = [];
    for (const start of [class_, class_.prototype])
      for (let of: object = start; of !== null && of !== Function.prototype; of = Object.getPrototypeOf(of))
        found.push(...Object.getOwnPropertyNames(of).filter((method) => `${method}Sync` in start));
    const { calls, close } = WAITS[name]!();
    for (const method of found) assert.ok(method in calls && `${method}Sync` in calls, `${name}, ${method}`);
    close();
  }
});

const isSync = (name: string): boolean => name.endsWith("Sync");

for (const [name, make] of Object.entries(WAITS)) {
  test(`${name}: what is asynchronous takes a signal`, async () => {
    const { calls, close } = make();
    for (const [method, call] of Object.entries(calls)) {
      if (isSync(method)) continue;
      const what = `${name}, ${method}`;
      assert.is(await errorOf(async () => call({ signal: AbortSignal.abort(what) })), what);
      const wrong = await errorOf(async () => call({ signal: 1 }));
      assert.is(wrong.message, '"options.signal" expected an AbortSignal, got 1 (number)', what);
      assert.match(
        (await errorOf(async () => call({ signals: 1 }))).message,
        /^"options" expected any of .*signal/,
        what,
      );
      const controller = new AbortController();
      const waiting = errorOf(async () => call({ signal: controller.signal }));
      setTimeout(() => controller.abort(what), 5);
      const reason = (await waiting) as unknown;
      // A frame of which a part was sent.
      const halfWay = method === "send" && reason instanceof Error;
      assert.is(halfWay ? reason.cause : reason, what);
    }
    close();
  });

  test(`${name}: what is synchronous takes a timeout, in milliseconds`, async () => {
    const { calls, close } = make();
    for (const [method, call] of Object.entries(calls)) {
      const what = `${name}, ${method}`;
      if (!isSync(method) && method !== "notifyBarrier") {
        assert.match((await errorOf(async () => call({ timeout: 1 }))).message, /^"options" expected any of /, what);
        continue;
      }
      assert.is(await codeOf(async () => call({ timeout: 0 })), "ETIMEDOUT", what);
      const begun = performance.now();
      assert.is(await codeOf(async () => call({ timeout: 20 })), "ETIMEDOUT", what);
      const took = performance.now() - begun;
      // A timer of Node counts from the beginning of the loop's turn, which is several ms ago when the addon runs under a sanitizer.
      assert.ok(took >= 10 && took < 2000, `${what}: ${took} ms`);
      const negative = await errorOf(async () => call({ timeout: -1 }));
      assert.instance(negative, RangeError, what);
      assert.is(negative.message, '"options.timeout" expected at least 0 milliseconds, got -1 (number)', what);
      assert.instance(await errorOf(async () => call({ timeout: Number.NaN })), RangeError, what);
      const wrong = await errorOf(async () => call({ timeout: "1" }));
      assert.is(wrong.message, '"options.timeout" expected a number of milliseconds, got "1"', what);
    }
    close();
  });
}

test("a timeout of 0 is enough for what need not wait", async () => {
  const path = socketPath();
  for (const [class_, type] of [
    [UnixStream, "stream"],
    [UnixSeqpacket, "seqpacket"],
  ] as const) {
    const listener = UnixListener.bind(path, { type: type as "stream" });
    const client = class_.connectSync(path, { timeout: 0 });
    const server = listener.acceptSync({ timeout: 0 });
    client.sendFdsSync("x", [0], { timeout: 0 });
    server.recvFdsSync(1, { timeout: 0 })[Symbol.dispose]();
    for (const socket of [client, server, listener]) socket.close();
  }
});

test("connectSync waits for room in the backlog until its timeout", async () => {
  for (const [class_, type] of [
    [UnixStream, "stream"],
    [UnixSeqpacket, "seqpacket"],
  ] as const) {
    const path = socketPath();
    const listener = UnixListener.bind(path, { type: type as "stream", backlog: 0 });
    const first = class_.connectSync(path);
    const error = await errorOf(() => class_.connectSync(path, { timeout: 30 }));
    assert.match(error.message, /^ETIMEDOUT: .*, connect/);
    const server = listener.acceptSync();
    const second = class_.connectSync(path, { timeout: 30 });
    for (const socket of [first, server, second, listener]) socket.close();
  }
});

/** The classes that receive, by the name of their type. */
const PAIRS = { stream: UnixStream, seqpacket: UnixSeqpacket, datagram: UnixDatagram };

test("every receive takes bufferSize and allowTruncated, with the same checks", async () => {
  for (const [type, class_] of Object.entries(PAIRS)) {
    const [a, b] = class_.pair();
    const calls: Record<string, Wait> = {
      ...both(b, "recvFds", 1),
      ...both(b, "recvFdsExact", 0),
      ...called(b, "tryRecvFds", 1),
      messages: (options) => b.messages(1, options).next(),
      ...(b instanceof UnixDatagram ? both(b, "recvFdsFrom", 1) : {}),
    };
    const into: Record<string, Wait> = both(b, "recvFdsInto", Buffer.alloc(2), 1);
    for (const [method, call] of Object.entries({ ...calls, ...into })) {
      const what = `${type}, ${method}`;
      const flag = await errorOf(async () => call({ allowTruncated: 1 }));
      assert.is(flag.message, '"options.allowTruncated" expected a boolean, got 1 (number)', what);
      for (const allowTruncated of [true, false]) {
        a.sendFdsSync("long");
        const options = method in into ? { allowTruncated } : { allowTruncated, bufferSize: 2 };
        const cut = type !== "stream" && !allowTruncated;
        const result = async () => call(options);
        if (cut) assert.is(await codeOf(result), "ERR_DATA_TRUNCATED", what);
        else {
          const message = (await result()) as { data?: Buffer; bytesRead?: number; value?: { data: Buffer } };
          const length = message.bytesRead ?? (message.data ?? message.value!.data).length;
          assert.is(length, 2, what);
        }
        if (type === "stream") b.recvFdsSync(0);
      }
      if (method in into) continue;
      const size = await errorOf(async () => call({ bufferSize: 0 }));
      assert.is(size.message, '"options.bufferSize" expected an integer from 1 to 2147483647, got 0 (number)', what);
    }
    a.close();
    b.close();
  }
});

/** Every function that binds to a name. */
const BINDS: Readonly<Record<string, (path: string, options?: object) => UnixListener | UnixDatagram>> = {
  "UnixListener.bind, stream": (path, options) => UnixListener.bind(path, options),
  "UnixListener.bind, seqpacket": (path, options) =>
    UnixListener.bind(path, { type: "seqpacket" as "stream", ...options }),
  "UnixDatagram.bind": (path, options) => UnixDatagram.bind(path, options),
};

/** A folder whose path is longer than sun_path. */
function longFolder(): string {
  const folder = `${temporaryFolder()}/${"long/".repeat(30)}`;
  mkdirSync(folder, { recursive: true });
  return folder;
}

for (const [name, bind] of Object.entries(BINDS)) {
  test(`${name}: takes mode, a long path, and the name of a dead socket`, async () => {
    const path = `${longFolder()}socket`;
    let socket = bind(path, { mode: 0o640 });
    assert.is(socket.address, path);
    assert.is(statSync(path).mode & 0o777, 0o640);
    const used = await errorOf(() => bind(path));
    assert.match(used.message, /^EADDRINUSE: .*, bind .*\(a socket that is in use\)$/);
    // Its file stays, as that of a killed process.
    renameSync(path, `${path}.kept`);
    socket.close();
    renameSync(`${path}.kept`, path);
    socket = bind(path, { mode: 0o600 });
    assert.is(statSync(path).mode & 0o777, 0o600);
    socket.close();
    assert.not.ok(existsSync(path));
    const wrong = await errorOf(() => bind(path, { mode: 0o1000 }));
    assert.is(
      wrong.message,
      '"options.mode" expected permissions from 0 to 0o777 (octal numbers begin with 0o), got 512 (number)',
    );
    const none = await errorOf(() => bind(`\0${path.slice(0, 50)}`, { mode: 0o600 }));
    assert.match(none.message, /^"options.mode" expected no mode for an abstract name/);
  });
}

test("everything that takes the name of a socket takes a long path", async () => {
  const folder = longFolder();
  for (const [class_, type] of [
    [UnixStream, "stream"],
    [UnixSeqpacket, "seqpacket"],
  ] as const) {
    const listener = UnixListener.bind(`${folder}${type}`, { type: type as "stream" });
    const sockets = [class_.connectSync(listener.address!, { timeout: 0 }), await class_.connect(listener.address!)];
    for (const socket of [...sockets, listener.acceptSync(), await listener.accept(), listener]) socket.close();
  }
  const receiver = UnixDatagram.bind(`${folder}datagram`);
  const path = receiver.address!;
  const sender = UnixDatagram.unbound();
  await sender.sendFdsTo("1", [0], path);
  sender.sendFdsToSync("2", [0], path);
  sender.trySendFdsTo("3", [0], path);
  sendmsg(sender, "4", null, { address: path });
  await withEnvironment({ NOTIFY_SOCKET: path }, () => notify("5", [0]));
  sender.connect(path);
  sender.sendFdsSync("6", [0]);
  for (let i = 1; i <= 6; i++) {
    const message = receiver.recvFdsSync(1, { timeout: 0 });
    assert.is(String(message.data), `${i}`);
    message[Symbol.dispose]();
  }
  sender.close();
  receiver.close();
});

test.run();
