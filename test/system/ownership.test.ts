/**
 * Who owns a number, and what becomes of it when its thread ends. The functions of the addon are called as the library calls them, by
 * an environment of the test's own: so a thread can end between two of its calls.
 */

import { execFileSync } from "node:child_process";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
import { Codec } from "unix-ancillary/core";
import * as assert from "uvu/assert";
import { closeSync, fstatSync, openSync } from "../descriptors.ts";
import { again, codeOf, denosSockets, fileWith, leakChecked, openFds, role, settled, works } from "../support.ts";

const suite = leakChecked("ownership");

/** The workers of a test. One that is left would keep the process alive after a failure. */
const workers: Worker[] = [];

function started(one: Worker): Worker {
  workers.push(one);
  return one;
}

function test(title: string, body: () => unknown): void {
  suite(title, async () => {
    try {
      await body();
    } finally {
      await Promise.all(workers.splice(0).map((one) => one.terminate()));
    }
  });
}

/** Words of the request block: see src/system/native.ts. */
const WORD = {
  CONTROL_LENGTH: 0,
  UNSETTLED: 3,
  RESULT: 4,
  FD: 5,
  OFFSET: 6,
  LENGTH: 7,
  CONTROL: 8,
  FLAGS: 9,
  NAME: 10,
};

/** Terminates a worker, and waits for the end of its thread: with Deno, that is later. */
async function ended(one: Worker): Promise<void> {
  await one.terminate();
  if ("Deno" in globalThis) await sleep(700);
}

/**
 * An environment of the addon, as a program text: a worker needs it too. `bits` is its ownership bits, `owns` reads one of them,
 * `received` makes it what a thread is that has received control data and has not looked at them.
 */
const ENVIRONMENT = `
  function environment(path, words32) {
    const module = { exports: {} };
    process.dlopen(module, path);
    const addon = module.exports.open();
    const words = new Int32Array(16);
    const batch = new Int32Array(16);
    addon.bind({ words: words.buffer, batch: batch.buffer, address: new ArrayBuffer(4096) });
    const bits = new Uint32Array(words32);
    addon.bindOwned(bits.buffer);
    const control = new ArrayBuffer(4096);
    addon.bindControl(control, 0, 4096);
    // Calls of the batch are made only where it is known that enough stack is left.
    addon.hasStack();
    const reach = () => addon.stackReached() === 1 || reach();
    reach();
    return {
      addon, words, batch, bits, control,
      owns: (fd) => (bits[fd >> 5] >>> (fd & 31) & 1) === 1,
      close(fd) { words[${WORD.FD}] = fd; addon.close(); },
      received(bytes) { new Uint8Array(control).set(bytes); words[${WORD.UNSETTLED}] = bytes.length; },
    };
  }`;

interface Environment {
  readonly control: ArrayBuffer;
  // biome-ignore lint/suspicious/noExplicitAny: the functions of the addon, which only src/system/native.ts declares
  readonly addon: any;
  readonly words: Int32Array;
  readonly batch: Int32Array;
  owns(fd: number): boolean;
  close(fd: number): void;
}

/** The platform of this process. */
function hostPlatform(): UnixStream["platform"] {
  const [a, b] = UnixStream.pair();
  for (const end of [a, b]) end.close();
  return a.platform;
}

const addonPath = (): string => (hostPlatform().system as unknown as { file: string }).file;

/** A worker with an environment `e` of the addon that has so many words of bits. It runs `body`, and lives until it is told to end. */
function worker(words: number, body: string, shared = new Int32Array(new SharedArrayBuffer(8))): Worker {
  return started(
    new Worker(
      `const { parentPort, workerData: shared } = require("node:worker_threads");
     ${ENVIRONMENT}
     const e = environment(${JSON.stringify(addonPath())}, ${words});
     const report = (value) => parentPort.postMessage(value);
     ${body}
     setInterval(() => {}, 1000);`,
      { eval: true, workerData: shared },
    ),
  );
}

const message = <T>(one: Worker): Promise<T> => new Promise((resolve) => one.once("message", resolve));

const isOpen = (fd: number): boolean => {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
};

/** Waits without a turn of the event loop. */
function block(until: () => boolean): void {
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < 2000 && !until(); i++) Atomics.wait(nothing, 0, 0, 2);
}

/** Opens a file at a number that is free; closes what was opened at lower numbers. */
function openAt(fd: number): void {
  const lower: number[] = [];
  for (let opened = openSync("/", "r"); opened !== fd; opened = openSync("/", "r")) {
    lower.push(opened);
    assert.ok(opened < fd, `${fd} is not free`);
  }
  lower.forEach(closeSync);
}

test("every call that makes a number has recorded it when it returns, and made it CLOEXEC", () => {
  const make = new Function("path", "words", `${ENVIRONMENT} return environment(path, words);`);
  const e = make(addonPath(), 32) as Environment;
  const { addon, words } = e;
  // The addon makes no call of messages before it knows that there is stack enough.
  const reach = (): void => void (addon.stackReached() === 0 && reach());
  if (addon.hasStack() === 0) reach();
  // The headers may be older than the kernel: these are the table's, too.
  const { constants } = hostPlatform();
  const recorded = (what: string, fd: number) => {
    assert.ok(fd >= 0, `${what}: ${fd}`);
    assert.ok(e.owns(fd), `${what} is not recorded`);
    assert.is(addon.fcntl(fd, constants.F_GETFD, 0), constants.FD_CLOEXEC, `${what} is not CLOEXEC`);
  };
  const made: number[] = [];
  const check = (what: string, fd: number): number => {
    recorded(what, fd);
    made.push(fd);
    return fd;
  };
  const { SOCK_STREAM, SOL_SOCKET, SO_PEERPIDFD } = constants;
  const skipped = (what: string) => console.log(`SKIPPED: ownership, ${what}: this system has none`);
  const pair = new Int32Array(2);
  assert.is(addon.socketpair(SOCK_STREAM, pair), 0);
  for (const end of pair) check("an end of a pair", end);
  const listener = check("a socket", addon.socket(SOCK_STREAM));
  const name = Buffer.from(`\0unix-ancillary-ownership-${process.pid}`);
  assert.is(addon.bindSocket(listener, name, -1), 0);
  assert.is(addon.listen(listener, 1), 0);
  const client = check("a socket", addon.socket(SOCK_STREAM));
  assert.is(addon.connect(client, name), 0);
  check("an accepted socket", addon.accept(listener));
  check("a duplicate", addon.dup(0));
  check("a folder", addon.openFolder("/"));
  const memfd = addon.memfd("", 0);
  if (memfd >= 0) check("a memfd", memfd);
  else skipped("memfd");
  const pidfd = addon.getsockoptFd(client, SOL_SOCKET, SO_PEERPIDFD ?? -1);
  if (pidfd >= 0) check("the pidfd of a peer", pidfd);
  else skipped("the pidfd of a peer");
  // What a message brings is recorded by its control data until the core has read them.
  const [a, b] = UnixStream.pair();
  a.sendFdsSync("x", [0]);
  words[WORD.FD] = b.fd;
  words[WORD.OFFSET] = 0;
  words[WORD.LENGTH] = 1;
  words[WORD.CONTROL] = 64;
  words[WORD.FLAGS] = a.platform.receiveFlags;
  words[WORD.NAME] = 0;
  addon.recvmsg(new Uint8Array(1));
  assert.is(words[WORD.RESULT], 1);
  assert.ok(words[WORD.CONTROL_LENGTH]! > 0);
  assert.is(words[WORD.UNSETTLED], words[WORD.CONTROL_LENGTH]);
  words[WORD.UNSETTLED] = 0;
  const codec = new Codec(a.platform.abi);
  const { messages } = codec.decode(new Uint8Array(e.control, 0, words[WORD.CONTROL_LENGTH]!));
  for (const fd of codec.fdsOf(messages[0]!)) closeSync(fd);
  a.close();
  b.close();
  // Half of them one by one, the others together: all are forgotten.
  const alone = made.splice(0, made.length >> 1);
  for (const fd of alone) e.close(fd);
  e.batch.set(made);
  words[WORD.LENGTH] = made.length;
  addon.closeBatch();
  for (const fd of [...alone, ...made]) assert.not.ok(e.owns(fd), `${fd} is closed, and recorded`);
});

test("numbers that were closed together belong to others when the thread ends", async () => {
  const one = worker(
    32,
    `const fds = [0, 0, 0].map((fd) => e.addon.dup(fd));
     fds.forEach((fd, i) => (e.batch[i] = fd));
     e.words[${WORD.LENGTH}] = 3;
     e.addon.closeBatch();
     report(fds);`,
  );
  const fds = await message<number[]>(one);
  for (const fd of fds) openAt(fd);
  await one.terminate();
  for (const fd of fds) closeSync(fd);
});

test("numbers beyond the bits: owned, seen from other threads, closed with their thread, unless they were closed before", async () => {
  // From here on new numbers are beyond a word of bits.
  const filler = Array.from({ length: 40 }, () => openSync("/", "r"));
  for (const grows of [false, true]) {
    const one = worker(
      1,
      `const fds = [0, 0, 0].map((fd) => e.addon.dup(fd));
       if (${grows}) {
         // As the library does: a larger copy of the bits.
         const larger = new Uint32Array(32);
         larger.set(e.bits);
         e.addon.bindOwned(larger.buffer);
       }
       e.close(fds[1]);
       report(fds);`,
    );
    const [kept, closed, other] = (await message<number[]>(one)) as [number, number, number];
    openAt(closed);
    for (const fd of [kept, other]) assert.is(await codeOf(() => OwnedFd.fromRaw(fd)), "ERR_FD_OWNED");
    // The number that the thread has closed has no owner.
    OwnedFd.fromRaw(closed).release();
    await ended(one);
    assert.not.ok(isOpen(kept), "a number beyond the bits is still open");
    assert.not.ok(isOpen(other), "a number beyond the bits is still open");
    closeSync(closed);
  }
  filler.forEach(closeSync);
});

test("an orphan's descriptors and pidfd are closed by another thread, those that its thread owned only once", async () => {
  const [left, process_] = [openSync(fileWith("left"), "r"), openSync(fileWith("for a process"), "r")];
  const one = worker(
    32,
    `const own = e.addon.dup(0);
     report(own);
     require("node:worker_threads").parentPort.once("message", (control) => {
       e.received(control);
       report("received");
     });`,
  );
  const own = await message<number>(one);
  const { system, abi } = hostPlatform();
  const codec = new Codec(abi);
  const recorded: number[] = [];
  const { own: record } = system;
  system.own = (fd: number) => {
    recorded.push(fd);
    record.call(system, fd);
  };
  try {
    const data = new Uint8Array(Int32Array.of(process_).buffer);
    one.postMessage(codec.encode([codec.rights([own, left]), { level: abi.SOL_SOCKET, type: abi.SCM_PIDFD!, data }]));
    await message(one);
    const ended = one.terminate();
    block(() => !isOpen(own));
    // This thread has had no turn since: it takes the orphan after this.
    openAt(own);
    await ended;
    for (let turn = 0; turn < 200 && (isOpen(left) || isOpen(process_)); turn++) await sleep(5);
  } finally {
    delete (system as Partial<typeof system>).own;
  }
  assert.not.ok(isOpen(left), "a descriptor that nobody recorded is still open");
  assert.not.ok(isOpen(process_), "the pidfd is still open");
  assert.equal(recorded.sort(), [left, process_].sort(), "they are owned before they are closed");
  closeSync(own);
});

test("an orphan is an orphan again when the thread that takes it ends, without what that thread has recorded", async () => {
  const [first, second] = [openSync(fileWith("first"), "r"), openSync(fileWith("second"), "r")];
  const codec = new Codec(hostPlatform().abi);
  const control = codec.encode([codec.rights([first, second])]);
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const taker = worker(
    32,
    `report("ready");
     setImmediate(() => {
       const into = new Uint8Array(4096);
       for (;;) {
         const taken = e.addon.takeOrphan(into);
         if (taken !== undefined && e.words[${WORD.RESULT}] >= 0) break;
         Atomics.wait(shared, 1, 0, 1);
       }
       e.bits[${first} >> 5] |= 1 << (${first} & 31);
       process.exit();
     });`,
    shared,
  );
  const leaver = worker(
    32,
    `e.received(${JSON.stringify([...control])});
     report("ready");
     setImmediate(() => {
       Atomics.wait(shared, 0, 0);
       process.exit();
     });`,
    shared,
  );
  const exits = [taker, leaver].map((one) => new Promise((resolve) => one.once("exit", resolve)));
  await Promise.all([message(taker), message(leaver)]);
  Atomics.store(shared, 0, 1);
  Atomics.notify(shared, 0);
  // The taker ends, and closes what it has recorded. Meanwhile this thread cannot take the orphan.
  block(() => !isOpen(first));
  assert.not.ok(isOpen(first));
  assert.ok(isOpen(second));
  openAt(first);
  await Promise.all(exits);
  for (let turn = 0; turn < 200 && isOpen(second); turn++) await sleep(5);
  assert.not.ok(isOpen(second), "the orphan was lost");
  closeSync(first);
});

test("a number that is given away is closed with its thread, but not when it is another file's by then", async () => {
  for (const reused of [false, true]) {
    const given = openSync(fileWith("given"), "r");
    const one = worker(32, `e.addon.give(${given}); report("given");`);
    await message(one);
    if (reused) {
      closeSync(given);
      openAt(given);
    }
    await ended(one);
    assert.is(isOpen(given), reused);
    if (reused) closeSync(given);
  }
});

test("every descriptor of a message is recorded before its control data count as settled, and before any is closed", async () => {
  const [a, b] = UnixStream.pair();
  const { system } = a.platform;
  const { own, close, discard } = system;
  const calls: string[] = [];
  const unsettled: boolean[] = [];
  Object.assign(system, {
    own(fd: number) {
      calls.push("own");
      unsettled.push(system.out[WORD.UNSETTLED]! > 0);
      own.call(system, fd);
    },
    close(fd: number) {
      calls.push("close");
      return close.call(system, fd);
    },
    discard(fds: Int32Array, from: number, to: number) {
      calls.push(`discard ${to - from}`);
      return discard.call(system, fds, from, to);
    },
  });
  let pidfds = true;
  try {
    try {
      b.setPassPidfd(true);
    } catch {
      pidfds = false;
    }
    a.sendFdsSync("x", [0, 0, 0, 0]);
    const received = b.recvFdsSync(1);
    assert.is(received.surplus, 3);
    const expected = [...new Array(pidfds && received.pidfd !== null ? 5 : 4).fill("own"), "discard 3"];
    assert.equal(calls, expected);
    assert.ok(unsettled.every(Boolean), "settled too early");
    assert.is(system.out[WORD.UNSETTLED], 0);
    received[Symbol.dispose]();
  } finally {
    for (const name of ["own", "close", "discard"]) delete (system as unknown as Record<string, unknown>)[name];
  }
  a.close();
  b.close();
});

test("a message that is refused is closed with its pidfd", async () => {
  const [a, b] = UnixStream.pair();
  try {
    b.setPassPidfd(true);
  } catch {
    console.log("SKIPPED: ownership, the pidfd of a message that is refused: needs SO_PASSPIDFD");
  }
  a.sendFdsSync("x", [0]);
  assert.is(await codeOf(() => b.recvFdsExactSync(2)), "ERR_FD_COUNT");
  a.close();
  b.close();
});

/** A worker that runs `body` with the library. */
function libraryWorker(body: string): Worker {
  const library = JSON.stringify(fileURLToPath(import.meta.resolve("unix-ancillary")));
  return started(
    new Worker(
      `const { parentPort } = require("node:worker_threads");
     const net = require("node:net");
     const { OwnedFd, UnixStream } = require(${library});
     ${body}
     setInterval(() => {}, 1000);`,
      { eval: true },
    ),
  );
}

test("a socket that could not be handed over is closed with its thread", async () => {
  const one = libraryWorker(`
    const [a, b] = globalThis.kept = UnixStream.pair();
    const { Socket } = net;
    net.Socket = class extends Socket {
      constructor(options) {
        super();
        if (options.fd !== undefined) throw new Error("of Node");
      }
      // On Bun, this takes the descriptor.
      connect() {
        throw new Error("of Node");
      }
    };
    try {
      a.toSocket();
    } catch ({ message }) {
      parentPort.postMessage(message);
    }`);
  assert.is(await message(one), "of Node");
  await one.terminate();
});

test("a released number is not closed with the thread that released it", async () => {
  const one = libraryWorker("parentPort.postMessage(OwnedFd.from(0).release());");
  const fd = await message<number>(one);
  await one.terminate();
  assert.ok(isOpen(fd));
  closeSync(fd);
});

test("the duplicate of a net.Socket, or a net.Server, that cannot be taken over is closed", async () => {
  const path = `\0unix-ancillary-ownership-${process.pid}`;
  const server = net.createServer().listen(path);
  const accepted = new Promise<net.Socket>((resolve) => server.once("connection", resolve));
  await new Promise((resolve) => server.once("listening", resolve));
  const client = net.connect(path);
  const other = await accepted;
  const { register } = FinalizationRegistry.prototype;
  FinalizationRegistry.prototype.register = () => {
    throw new Error("of the next owner");
  };
  try {
    assert.throws(() => UnixStream.from(client), /next owner/);
    assert.throws(() => UnixListener.from(server), /next owner/);
  } finally {
    FinalizationRegistry.prototype.register = register;
  }
  other.destroy();
});

test("waiting leaves a blocking socket blocking", async () => {
  const [a, b] = UnixStream.pair();
  const received = b.recvFds(0);
  await sleep(5);
  const { system, constants } = b.platform;
  assert.is(system.fcntl(b.fd, constants.F_GETFL!, 0) & constants.O_NONBLOCK!, 0);
  a.sendFdsSync("x");
  await received;
  a.close();
  b.close();
});

test("the pipe of the readiness thread is not inherited", async () => {
  const { code, stderr } = await again(import.meta.url, "thread", [], { env: { UNIX_ANCILLARY_READINESS: "thread" } });
  assert.is(code, 0, stderr);
});

suite.needing(
  works("prlimit", ["--version"]),
  "prlimit",
  "growth of the bits: numbers beyond those of the start are owned, and so are those from before",
  async () => {
    const { code, stdout, stderr } = await again(import.meta.url, "growth");
    assert.is(code, 0, stderr);
    assert.is(stdout, "received\n0 left open");
  },
);

const limit = (number: number) => execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${number}:`]);

async function growth(): Promise<void> {
  // The library makes as many bits as the limit says when it is first used in a thread.
  limit(1100);
  await denosSockets();
  const before = openFds();
  const one = libraryWorker(`
    const kept = globalThis.kept = UnixStream.pair();
    parentPort.once("message", () => {
      for (let i = 0; i < 1200; i++) kept.push(OwnedFd.from(0));
      const [a, b] = kept;
      a.sendFdsSync("x", [0, 0, 0]);
      kept.push(...b.recvFdsSync(3).fds);
      parentPort.postMessage("received");
    });
    parentPort.postMessage("ready");`);
  await message(one);
  limit(4096);
  one.postMessage("grow");
  console.log(await message(one));
  await one.terminate();
  // Another thread closes them (native/closer.cc).
  const open = await settled(() => [...openFds().keys()].filter((fd) => !before.has(fd)).length);
  process.stdout.write(`${open} left open`);
}

/** The descriptors that are not CLOEXEC. */
function inheritable({ system, constants }: UnixStream["platform"]): number[] {
  return [...openFds().keys()].filter((fd) => {
    const flags = system.fcntl(fd, constants.F_GETFD!, 0);
    return flags >= 0 && (flags & constants.FD_CLOEXEC!) === 0;
  });
}

async function readinessThread(): Promise<void> {
  const [a, b] = UnixStream.pair();
  const before = inheritable(a.platform);
  const open = openFds().size;
  const received = b.recvFds(0);
  assert.ok(openFds().size >= open + 2, "a pipe was made");
  assert.equal(inheritable(a.platform), before);
  a.sendFdsSync("x");
  await received;
}

if (role === undefined) suite.run();
else if (role === "growth") await growth();
else await readinessThread();
