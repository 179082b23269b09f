/** What a program does to the globals after the library was loaded: fake timers, a polluted prototype, replaced built-ins. */

import { mock } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  FdChannel,
  type ReceivedFds,
  recvmsg,
  SocketAncillary,
  sendmsg,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "unix-ancillary";
import * as assert from "uvu/assert";
import { again, codeOf, leakChecked, PAIRS, role, socketPath } from "../support.ts";

const test = leakChecked("globals");

/** A good part of what the library does, with every kind of wait. */
async function everything(path: string): Promise<void> {
  for (const [, make] of PAIRS) {
    const [a, b] = make();
    // Beyond the turns of the event loop that are forced.
    for (let i = 0; i < 200; i++) {
      await a.sendFds("x", i % 2 === 0 ? [0] : [0, 1, 2]);
      const message: ReceivedFds = await b.recvFds(3);
      assert.is(message.fds.length, i % 2 === 0 ? 1 : 3);
      message[Symbol.dispose]();
    }
    const waiting = b.recvFds(1, { bufferSize: 100_000 });
    await a.sendFds("later", [0]);
    const message = await waiting;
    assert.is(String(message.data), "later");
    message[Symbol.dispose]();
    assert.is(await codeOf(() => b.recvFdsSync(0, { timeout: 20 })), "ETIMEDOUT");
    a.sendFdsSync([Buffer.from("in "), Buffer.from("pieces")], [0]);
    const into = [Buffer.alloc(4), Buffer.alloc(4)];
    const received = b.recvFdsIntoSync(into, 0, { allowTruncated: true });
    assert.is(received.surplus, 1);
    assert.is(String(Buffer.concat(into)), "in piece");
    a.close();
    b.close();
  }
  const listener = UnixListener.bind(path, { backlog: 0 });
  const first = UnixStream.connectSync(path);
  // The backlog is full: they wait with timers.
  const rest = [UnixStream.connect(path), UnixStream.connect(path)];
  for (let i = 0; i < 3; i++) (await listener.accept()).close();
  first.close();
  for (const stream of await Promise.all(rest)) stream.close();
  listener.close();
  const server = UnixDatagram.bind(`${path}.d`);
  const client = UnixDatagram.unbound();
  // Its queue is full: a send waits with a timer.
  const sends = Array.from({ length: 30 }, (_, i) => client.sendFdsTo(`${i}`, [0], `${path}.d`));
  for (let i = 0; i < 30; i++) {
    const datagram = await server.recvFdsFrom(1);
    assert.is(String(datagram.data), `${i}`);
    datagram[Symbol.dispose]();
  }
  await Promise.all(sends);
  client.close();
  server.close();
  const [c, d] = FdChannel.pair({ frameTimeout: 10_000 });
  for (let i = 0; i < 100; i++) {
    await c.send("frame", [0]);
    const frame = await d.recv();
    assert.is(frame?.fds.length, 1);
    frame?.[Symbol.dispose]();
  }
  c.close();
  d.close();
  const [e, f] = UnixSeqpacket.pair();
  const space = new SocketAncillary(SocketAncillary.bufferSizeForRights(2));
  space.addFds([0, 1]);
  sendmsg(e, "low", space);
  recvmsg(f, Buffer.alloc(3), space);
  let came = 0;
  for (const item of space.messages())
    if (item.kind === "rights") {
      came += item.fds.length;
      for (const fd of item.fds) fd.close();
    }
  assert.is(came, 2);
  const reader = f.reader();
  e.sendFdsSync("read", [0]);
  assert.is(String(await reader.read(4)), "read");
  reader.takeFds(1)[0]!.close();
  reader.close();
  e.close();
}

/** Each is done to the globals of a second process, after the library was loaded. */
const DONE: Readonly<Record<string, () => unknown>> = {
  "the fake timers of node:test"() {
    mock.timers.enable({ apis: ["setTimeout", "setImmediate", "setInterval", "Date"] });
  },
  "timers and clocks that stand still"() {
    const still = () => ({ ref() {}, unref() {}, hasRef: () => false });
    for (const name of ["setTimeout", "setImmediate", "setInterval", "queueMicrotask"])
      Object.defineProperty(globalThis, name, { value: still });
    for (const name of ["clearTimeout", "clearImmediate", "clearInterval"])
      Object.defineProperty(globalThis, name, { value() {} });
    Object.defineProperty(performance, "now", { value: () => 0 });
    Date.now = () => 0;
    process.hrtime = Object.assign(() => [0, 0] as [number, number], { bigint: () => 0n });
  },
  "a polluted Object.prototype"() {
    const { prototype } = Object as unknown as { prototype: Record<string, unknown> };
    prototype.extend = () => {
      throw new Error("called");
    };
    prototype.version = 1;
    prototype.done = true;
    prototype.code = "ECONNRESET";
  },
  "a polluted Array.prototype"() {
    const { prototype } = Array as unknown as { prototype: Record<string, unknown> };
    prototype.last = () => {
      throw new Error("called");
    };
    prototype.fd = -1;
  },
};

for (const [what, change] of Object.entries(DONE)) {
  if (role === what) {
    change();
    await everything(process.argv[2]!);
    console.log("all of it");
    // Fake timers cannot end it.
    process.exit(0);
  }
  test(`after ${what} everything works as before`, async () => {
    const env = { NODE_OPTIONS: "--no-warnings" };
    const { code, stdout, stderr } = await again(import.meta.url, what, [socketPath()], { env });
    assert.is(stderr, "");
    assert.is(stdout, "all of it\n");
    assert.is(code, 0);
  });
}

/** The flags of Node that freeze or remove what programs change. */
for (const flag of ["--frozen-intrinsics", "--disable-proto=throw", "--disable-proto=delete"]) {
  if (role === flag) {
    await everything(process.argv[2]!);
    console.log("all of it");
  }
  test(`with ${flag} everything works`, async () => {
    const NODE_OPTIONS = `${flag} --no-warnings`;
    const { stdout, stderr } = await again(import.meta.url, flag, [socketPath()], { env: { NODE_OPTIONS } });
    assert.is(stderr, "");
    assert.is(stdout, "all of it\n");
  });
}

/** Replaces every method of the built-in objects while `body` runs, and lists those that are called. */
function calledBuiltins(body: () => void): string[] {
  const called = new Set<string>();
  const { apply } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const restore: (() => void)[] = [];
  const add = Set.prototype.add;
  const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
  const objects: [string, object][] = [
    ["Math", Math],
    ["Object", Object],
    ["Array", Array],
    ["Array.prototype", Array.prototype],
    ["ArrayBuffer", ArrayBuffer],
    ["TypedArray.prototype", typedArray],
    ["Buffer", Buffer],
    ["Buffer.prototype", Buffer.prototype],
    ["Map.prototype", Map.prototype],
    ["WeakMap.prototype", WeakMap.prototype],
    ["Number", Number],
    ["String.prototype", String.prototype],
  ];
  let on = false;
  for (const [name, object] of objects) {
    for (const key of Reflect.ownKeys(object)) {
      const descriptor = getOwnPropertyDescriptor(object, key)!;
      const original: unknown = descriptor.value;
      if (typeof original !== "function" || key === "constructor" || !descriptor.configurable) continue;
      const replaced = function (this: unknown, ...given: unknown[]): unknown {
        if (on) apply(add, called, [`${name}.${String(key)}`]);
        return apply(original, this, given);
      };
      defineProperty(object, key, { ...descriptor, value: replaced });
      restore[restore.length] = () => defineProperty(object, key, descriptor);
    }
  }
  on = true;
  try {
    body();
  } finally {
    on = false;
    for (let i = restore.length - 1; i >= 0; i--) restore[i]!();
  }
  return [...called];
}

test("built-ins that a program replaces do not run in a send, a receive or a close", async () => {
  for (const [, make] of PAIRS) {
    const [a, b] = make();
    const fds = [0, 1, 2];
    const data = Buffer.from("bytes");
    const large = Buffer.alloc(5000);
    // What is scheduled once is scheduled before.
    await sleep(20);
    a.sendFdsSync("warm", [0]);
    b.recvFdsSync(1)[Symbol.dispose]();
    const names = calledBuiltins(() => {
      a.sendFdsSync(data, fds);
      b.recvFdsSync(3)[Symbol.dispose]();
      a.trySendFds(large, fds);
      // Two of them are surplus.
      b.tryRecvFds(1, undefined)?.[Symbol.dispose]();
      a.sendFdsSync([data, data], [0]);
      b.recvFdsIntoSync([data, data], 1, undefined)[Symbol.dispose]();
    });
    // Before the call arguments are checked and an operation is made: V8's own constructor of a subclass iterates over an array.
    const before = ["Array.isArray", "Number.isInteger", "Array.prototype.Symbol(Symbol.iterator)"];
    assert.equal(
      names.filter((name) => !before.includes(name)),
      [],
    );
    a.close();
    b.close();
  }
});

if (role === undefined) test.run();
