/** Threads that end, processes that exit, sockets that are dropped: at every stage, no descriptor stays open and nothing hangs. */

import { cpSync } from "node:fs";
import net from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import {
  FdChannel,
  notifyBarrier,
  OwnedFd,
  recvmsg,
  SocketAncillary,
  UnixDatagram,
  UnixListener,
  UnixStream,
} from "unix-ancillary";
import * as assert from "uvu/assert";
import { again, codeOf, leakChecked, NEEDS, openFds, role, socketPath, temporaryFolder } from "../support.ts";

const test = leakChecked("lifecycle");

/** A worker that runs `body` with the library. */
function worker(body: string): Worker {
  const library = JSON.stringify(fileURLToPath(import.meta.resolve("unix-ancillary")));
  return new Worker(
    `const { parentPort } = require("node:worker_threads");
     const { FdChannel, OwnedFd, recvmsg, SocketAncillary, UnixListener, UnixStream } = require(${library});
     (async () => { ${body} })();`,
    { eval: true },
  );
}

const exit = (one: Worker): Promise<unknown> => new Promise((resolve) => one.once("exit", resolve));
const message = (one: Worker): Promise<unknown> => new Promise((resolve) => one.once("message", resolve));

test("a worker thread passes descriptors of its own", async () => {
  const one = worker(`
    const [a, b] = UnixStream.pair();
    const waiting = b.recvFds(2);
    await a.sendFds("x", [0, 1]);
    const received = await waiting;
    received[Symbol.dispose]();
    a.close();
    b.close();
    parentPort.postMessage(received.fds.length);
  `);
  const exited = exit(one);
  assert.is(await message(one), 2);
  await exited;
});

test("descriptors that a worker leaves open are closed when it ends", async () => {
  const before = openFds().size;
  const one = worker(`
    const kept = globalThis.kept = UnixStream.pair();
    kept[0].sendFdsSync("x", [0, 1, 2]);
    kept.push(kept[1].recvFdsSync(3), OwnedFd.from(0), OwnedFd.fromRaw(OwnedFd.from(0).release()));
    parentPort.postMessage("open");
    setInterval(() => {}, 1000);
  `);
  await message(one);
  assert.ok(openFds().size >= before + 7);
  await one.terminate();
});

test("a waiting worker can be terminated", async () => {
  const one = worker(`
    const [a, b] = globalThis.pair = UnixStream.pair();
    b.recvFds(1);
    a.recvFds(1);
    parentPort.postMessage("waiting");
  `);
  await message(one);
  await sleep(2);
  await one.terminate();
});

test("a worker blocked in a synchronous receive ends when its peer does", async () => {
  const [ours, theirs] = UnixStream.pair();
  const copy = OwnedFd.from(theirs).release();
  theirs.close();
  const one = worker(`
    const stream = UnixStream.from(OwnedFd.fromRaw(${copy}));
    parentPort.postMessage("blocking");
    parentPort.postMessage(stream.recvFdsSync(1).eof);
    stream.close();
  `);
  const exited = exit(one);
  await message(one);
  const answer = message(one);
  await sleep(20);
  ours.close();
  assert.is(await answer, true);
  await exited;
});

/** The state of a worker when it is terminated. It sends its message just before it enters the state. */
const STAGES: Readonly<Record<string, string>> = {
  "blocked in a receive": `
    const [a, b] = UnixStream.pair();
    parentPort.postMessage("blocking");
    b.recvFdsSync(1);`,
  "blocked in a send": `
    const [a, b] = UnixStream.pair();
    parentPort.postMessage("blocking");
    a.sendFdsAllSync(Buffer.alloc(5_000_000), [0]);`,
  "blocked in an accept": `
    const listener = UnixListener.bind("\\0unix-ancillary-" + process.pid + Math.random());
    parentPort.postMessage("blocking");
    listener.acceptSync();`,
  "blocked in a connect": `
    const path = "\\0unix-ancillary-" + process.pid + Math.random();
    const listener = UnixListener.bind(path, { backlog: 0 });
    const first = UnixStream.connectSync(path);
    parentPort.postMessage("blocking");
    UnixStream.connectSync(path);`,
  "with a waiting send": `
    const [a, b] = globalThis.kept = UnixStream.pair();
    a.sendFdsAll(Buffer.alloc(5_000_000), [0]);
    parentPort.postMessage("waiting");`,
  "with a waiting connect": `
    const path = "\\0unix-ancillary-" + process.pid + Math.random();
    const listener = globalThis.kept = UnixListener.bind(path, { backlog: 0 });
    const first = UnixStream.connectSync(path);
    UnixStream.connect(path);
    parentPort.postMessage("waiting");`,
  "with a channel in the middle of a frame": `
    const [a, b] = UnixStream.pair();
    const channel = FdChannel.over(a);
    globalThis.kept = [b, channel];
    b.sendFdsSync("UANC", [0, 1]);
    channel.recv();
    setImmediate(() => parentPort.postMessage("waiting"));`,
  "with descriptors in an ancillary buffer": `
    const [a, b] = UnixStream.pair();
    const into = globalThis.kept = new SocketAncillary(64);
    a.sendFdsSync("x", [0, 1]);
    recvmsg(b, Buffer.alloc(1), into);
    parentPort.postMessage("received");`,
  "with descriptors and credentials in an ancillary buffer": `
    const [a, b] = UnixStream.pair();
    b.setPassCredentials(true);
    const into = globalThis.kept = new SocketAncillary(128);
    a.sendFdsSync("x", [0, 1]);
    recvmsg(b, Buffer.alloc(1), into);
    parentPort.postMessage("received");`,
  "in a callback of readiness": `
    const [a, b] = UnixStream.pair();
    b.recvFds(1).then(() => { parentPort.postMessage("spinning"); for (;;); });
    setTimeout(() => a.sendFdsSync("x", [0]), 1);`,
  "in a callback of readiness, by itself": `
    const [a, b] = UnixStream.pair();
    b.recvFds(1).then(() => { parentPort.postMessage("exits"); process.exit(); });
    setTimeout(() => a.sendFdsSync("x", [0]), 1);`,
};

for (const [stage, body] of Object.entries(STAGES)) {
  test(`a worker is terminated ${stage}`, async () => {
    const one = worker(body);
    const exited = exit(one);
    await message(one);
    await sleep(2);
    await one.terminate();
    await exited;
  });
}

test("workers that begin and end at the same time", async () => {
  const body = `
    const [a, b] = UnixStream.pair();
    const waiting = b.recvFds(2);
    await a.sendFds("x", [0, 1]);
    globalThis.kept = await waiting;`;
  for (let turn = 0; turn < 4; turn++) {
    await Promise.all(Array.from({ length: 6 }, () => exit(worker(body))));
  }
});

test("60 workers terminated while receiving: every descriptor is closed", async () => {
  for (let i = 0; i < 60; i++) {
    const one = worker(`
      const [a, b] = UnixStream.pair();
      parentPort.postMessage("busy");
      for (;;) {
        a.sendFdsSync("x", [0, 1, 2, 0]);
        b.recvFdsSync(4)[Symbol.dispose]();
      }
    `);
    await message(one);
    await sleep(i % 7);
    await one.terminate();
  }
});

/** Calls in which a number is made or changes hands, again and again: each is met by a termination somewhere in the middle. */
const HANDOVERS: Readonly<Record<string, string>> = {
  "a peer's pidfd is made": "a.peerPidfd().close();",
  "a duplicate is made": "OwnedFd.from(a.fd).close();",
  "a pair is made": "for (const end of UnixStream.pair()) end.close();",
  "a connection is accepted": "const c = UnixStream.connectSync(path); listener.acceptSync().close(); c.close();",
  "surplus is closed": 'a.sendFdsSync("x", [0, 0, 0]); b.recvFdsSync(1)[Symbol.dispose]();',
  "a message brings a pidfd": 'b.setPassPidfd(true); a.sendFdsSync("x", [0]); b.recvFdsSync(1)[Symbol.dispose]();',
  "a socket takes an OwnedFd over": "UnixStream.from(OwnedFd.from(a.fd)).close();",
  "Node takes a socket over": "UnixStream.from(OwnedFd.from(a.fd)).toSocket().destroy();",
};

/** What the kernel must have for some of them. */
const HANDOVER_NEEDS: Readonly<Record<string, readonly [available: boolean, what: string]>> = {
  "a peer's pidfd is made": NEEDS.peerPidfd,
  "a message brings a pidfd": NEEDS.passPidfd,
};

for (const [what, call] of Object.entries(HANDOVERS)) {
  test.needing(
    ...(HANDOVER_NEEDS[what] ?? [true, ""]),
    `a worker is terminated while ${what}: nothing stays open`,
    async () => {
      for (let i = 0; i < 6; i++) {
        const one = worker(`
        const [a, b] = globalThis.kept = UnixStream.pair();
        const path = "\\0unix-ancillary-" + process.pid + Math.random();
        const listener = globalThis.listener = UnixListener.bind(path);
        parentPort.postMessage("busy");
        for (let turn = 1; ; turn++) {
          ${call}
          // Node closes its handles in a later turn.
          if (turn % 50 === 0) await new Promise(setImmediate);
        }
      `);
        await message(one);
        await sleep(i % 7);
        await one.terminate();
      }
    },
  );
}

test("the next owner's constructor throws: the former one keeps the descriptor, a new one is closed", async () => {
  const [a, b] = UnixStream.pair();
  const owned = OwnedFd.from(a.fd);
  const { register } = FinalizationRegistry.prototype;
  const broken = () => {
    throw new Error("of the next owner");
  };
  const before = openFds().size;
  FinalizationRegistry.prototype.register = broken;
  try {
    assert.throws(() => UnixStream.from(owned), /next owner/);
    assert.throws(() => UnixStream.pair(), /next owner/);
    assert.throws(() => UnixDatagram.pair(), /next owner/);
    assert.throws(() => UnixDatagram.unbound(), /next owner/);
    assert.throws(() => UnixListener.bind(`\0${socketPath()}`), /next owner/);
    let registered = 0;
    FinalizationRegistry.prototype.register = function (...given) {
      if (++registered === 2) broken();
      register.apply(this, given);
    };
    assert.throws(() => UnixStream.pair(), /next owner/);
  } finally {
    FinalizationRegistry.prototype.register = register;
  }
  assert.is(openFds().size, before);
  const taken = UnixStream.from(owned);
  assert.ok(owned.closed);
  for (const end of [taken, a, b]) end.close();
});

test("net.Socket's constructor throws: toSocket leaves the connection as it was", async () => {
  const [a, b] = UnixStream.pair();
  const waited = a.recvFds(0);
  b.sendFdsSync("x");
  await waited;
  const { Socket } = net;
  // The first one is made without a descriptor, to see what Node refuses.
  class Broken extends Socket {
    constructor(options: { fd?: number }) {
      super();
      if (options.fd !== undefined) throw new Error("of Node");
    }
    // On Bun, this takes the descriptor.
    override connect(): never {
      throw new Error("of Node");
    }
  }
  net.Socket = Broken as never;
  try {
    assert.throws(() => a.toSocket(), /of Node/);
  } finally {
    net.Socket = Socket;
  }
  a.sendFdsSync("still ours", [0]);
  const received = b.recvFdsSync(1);
  assert.is(received.data.toString(), "still ours");
  received[Symbol.dispose]();
  const again = a.recvFds(0);
  b.sendFdsSync("and it wakes");
  assert.is(await Promise.race([again.then(({ data }) => String(data)), sleep(2000)]), "and it wakes");
  a.close();
  b.close();
});

test("an idle socket that is dropped is collected and closed", async () => {
  const before = openFds().size;
  await (async () => {
    const [a, b] = UnixStream.pair();
    // Both have a watcher, which keeps neither alive.
    const waiting = [a.recvFds(0), b.recvFds(0)];
    a.sendFdsSync("x");
    b.sendFdsSync("x");
    await Promise.all(waiting);
  })();
  for (let turn = 0; turn < 100 && openFds().size > before; turn++) {
    await sleep(10);
    globalThis.gc!();
  }
  assert.is(openFds().size, before);
});

/** Objects that are dropped with descriptors in them. */
const DROPPED: Readonly<Record<string, () => Promise<unknown> | unknown>> = {
  "a received message": () => {
    const [a, b] = pairOf();
    a.sendFdsSync("x", [0, 0]);
    b.recvFdsSync(2);
  },
  "a message in an iterator that nobody goes on with": async () => {
    const [a, b] = pairOf();
    const messages = b.messages(2);
    a.sendFdsSync("x", [0, 0]);
    await messages.next();
  },
  "a reader": async () => {
    const [a, b] = pairOf();
    const reader = b.reader();
    a.sendFdsSync("xy", [0, 0]);
    await reader.read(1);
  },
  "a channel in the middle of a frame": async () => {
    const [a, b] = pairOf();
    const channel = FdChannel.over(b);
    a.sendFdsSync("UANC", [0, 0]);
    await codeOf(channel.recv({ signal: AbortSignal.timeout(20) }));
  },
  "an ancillary buffer": () => {
    const [a, b] = pairOf();
    a.sendFdsSync("x", [0, 0]);
    recvmsg(b, Buffer.alloc(1), new SocketAncillary(SocketAncillary.bufferSizeForRights(2)));
  },
  "a listener, and what it accepted": async () => {
    const listener = UnixListener.bind(`\0${socketPath()}`);
    const client = UnixStream.connectSync(listener.address!);
    await listener.accept();
    client.close();
  },
  datagrams: () => {
    UnixDatagram.pair();
  },
};

function pairOf(): [UnixStream, UnixStream] {
  return UnixStream.pair();
}

test("everything dropped with open descriptors is collected and closed, and warnings count each descriptor", async () => {
  // First collect what earlier tests have dropped.
  for (let turn = 0; turn < 20; turn++) {
    globalThis.gc!();
    await sleep(5);
  }
  const before = openFds().size;
  let opened = 0;
  let warned = 0;
  const onWarning = (warning: Error) => (warned += Number(/^\d+/.exec(warning.message)?.[0]));
  process.on("warning", onWarning);
  try {
    for (const [what, drop] of Object.entries(DROPPED)) {
      await (async () => drop())();
      assert.ok(openFds().size > before, what);
      opened += openFds().size - before;
      for (let turn = 0; turn < 300 && openFds().size > before; turn++) {
        await sleep(10);
        globalThis.gc!();
      }
      assert.is(openFds().size, before, what);
    }
    for (let turn = 0; turn < 300 && warned < opened; turn++) await sleep(10);
  } finally {
    process.off("warning", onWarning);
  }
  assert.is(warned, opened);
});

test("two copies of the library in one process, over one addon: neither closes descriptors of the other", async () => {
  const copies = ["a", "b"].map((name) => join(temporaryFolder(), name));
  const library = dirname(fileURLToPath(import.meta.resolve("unix-ancillary/package.json")));
  for (const copy of copies) {
    cpSync(join(library, "dist"), join(copy, "dist"), { recursive: true });
    cpSync(join(library, "package.json"), join(copy, "package.json"));
  }
  const { target } = await import("../../src/system/target.ts");
  const prebuilt = join(library, "prebuilds", target(), "unix-ancillary.node");
  const ran = await again(import.meta.url, "two-copies", copies, {
    env: { UNIX_ANCILLARY_ADDON: process.env.UNIX_ANCILLARY_ADDON ?? prebuilt },
  });
  assert.is(ran.code, 0, ran.stderr);
});

test("no rejected promise inside the library is unhandled; an unhandled one of the caller is reported", async () => {
  const ran = await again(import.meta.url, "rejections");
  assert.is(ran.code, 0, ran.stderr);
  assert.is(ran.stdout, "handled: none\nunhandled: ERR_SOCKET_CLOSED\n");
});

test("an operation keeps its socket alive: otherwise it would never settle", async () => {
  let left: UnixStream | null;
  const received = (() => {
    const [a, b] = UnixStream.pair();
    left = a;
    return b.recvFds(1);
  })();
  for (let turn = 0; turn < 10; turn++) {
    await sleep(2);
    globalThis.gc!();
  }
  left!.sendFdsSync("still there", [0]);
  const got = await received;
  assert.is(got.data.toString(), "still there");
  got[Symbol.dispose]();
  left!.close();
  left = null;
  for (let turn = 0; turn < 20; turn++) {
    await sleep(10);
    globalThis.gc!();
  }
});

/** Programs that must end by themselves, with this exit code and output. */
const ENDS: Readonly<Record<string, readonly [number, string]>> = {
  "load-only": [0, ""],
  "open-and-return": [0, ""],
  "unreferenced-wait": [0, ""],
  "nothing-waits": [0, "received\n"],
  "wait-then-close": [0, "ERR_SOCKET_CLOSED\n"],
  "exit-while-waiting": [7, ""],
  "exit-while-sending": [7, ""],
  "exit-in-continuation": [7, ""],
  "throw-in-continuation": [1, ""],
  "before-exit": [0, "beforeExit\n"],
  "exit-with-worker": [7, ""],
  "exit-with-blocked-worker": [7, ""],
  "exit-by-a-signal-handler": [7, ""],
  "idle-watchers": [0, ""],
  "waits-again-in-continuation": [0, "second\n"],
  "closes-the-other-in-continuation": [0, "ERR_SOCKET_CLOSED\n"],
  "unreferences-in-continuation": [0, ""],
};

for (const [name, [code, output]] of Object.entries(ENDS)) {
  test(`exit: ${name}`, async () => {
    const run = await again(import.meta.url, name);
    assert.is(run.signal, null, run.stderr);
    assert.is(run.code, code, run.stderr);
    assert.is(run.stdout, output);
  });
}

test("a process with a waiting operation does not end by itself", async () => {
  const run = await again(import.meta.url, "waits", [], { timeout: 700 });
  assert.is(run.signal, "SIGTERM");
});

type Library = typeof import("unix-ancillary");

async function twoCopies(paths: readonly string[]): Promise<void> {
  const copies: Library[] = [];
  for (const path of paths) copies.push((await import(join(path, "dist", "index.js"))) as Library);
  assert.is.not(copies[0]!.UnixStream, copies[1]!.UnixStream);
  // In turns, so that each copy meets what the other left in shared memory.
  const exchange = async () => {
    const pairs = copies.map((copy) => copy.UnixStream.pair());
    const waiting = pairs.map(([, b]) => b.recvFds(2));
    assert.is(new Set(pairs.flat().map(({ fd }) => fd)).size, 4);
    for (const [i, [a]] of pairs.entries()) {
      const others = copies[1 - i]!.OwnedFd.from(0);
      await a.sendFds(`${i}`, [others, 0]);
      others.close();
    }
    const messages = await Promise.all(waiting);
    assert.equal(
      messages.map(({ data, fds }) => [data.toString(), fds.length]),
      [
        ["0", 2],
        ["1", 2],
      ],
    );
    for (const message of messages) message[Symbol.dispose]();
    for (const end of pairs[0]!) end.close();
    pairs[1]![0].sendFdsSync("still", [0]);
    pairs[1]![1].recvFdsSync(1)[Symbol.dispose]();
    for (const end of pairs[1]!) end.close();
  };
  // The first use opens descriptors that each copy keeps.
  await exchange();
  const before = openFds();
  await exchange();
  assert.equal([...openFds()], [...before]);
}

/** Every failure of a waiting operation. Its caller handles it, and no other rejection may be left. */
async function rejections(): Promise<void> {
  const unhandled: unknown[] = [];
  process.on("unhandledRejection", (error) => unhandled.push((error as { code?: string }).code));
  const handled: Promise<unknown>[] = [];
  const handle = (...promises: Promise<unknown>[]) => handled.push(...promises.map((one) => one.catch(() => {})));
  const [a, b] = UnixStream.pair();
  handle(b.recvFds(1), b.recvFds(1), a.sendFdsAll(Buffer.alloc(5_000_000)), a.sendFds("x"));
  a.shutdown("write");
  a.close();
  b.close();
  handle(a.sendFds("x"), b.recvFds(1));
  const [c, d] = UnixStream.pair();
  const reader = d.reader();
  handle(reader.read(1), reader.readUntil("\n", 9), reader.ended());
  handle(reader.read(1, { signal: AbortSignal.abort() }));
  c.close();
  reader.close();
  const iterated = UnixStream.pair();
  const iterator = iterated[0].messages(1);
  handle(iterator.next(), iterator.next());
  iterated[0].close();
  iterated[1].close();
  const listener = UnixListener.bind(`\0${socketPath()}`);
  handle(listener.accept(), listener.accept({ signal: AbortSignal.timeout(1) }));
  const accepted = listener[Symbol.asyncIterator]().next();
  listener.close();
  assert.is((await accepted).done, true);
  const [e, f] = FdChannel.pair({ frameTimeout: 5 });
  handle(e.send(Buffer.alloc(5_000_000)), e.send("x"), e.send("y", [], { signal: AbortSignal.timeout(1) }));
  handle(f.recv({ signal: AbortSignal.abort() }), f.recv(), f.recv());
  await sleep(1);
  f.close();
  e.close();
  const [g, h] = UnixStream.pair();
  const late = FdChannel.over(h, { frameTimeout: 5 });
  g.sendFdsSync("UANC");
  handle(late.recv(), late.recv());
  process.env.NOTIFY_SOCKET = "/nowhere";
  handle(notifyBarrier({ timeout: 1 }));
  await Promise.all(handled);
  g.close();
  late.close();
  await sleep(10);
  console.log(`handled: ${unhandled.join() || "none"}`);
  const [i, j] = UnixStream.pair();
  i.recvFds(1);
  i.close();
  j.close();
  await sleep(10);
  console.log(`unhandled: ${unhandled.join()}`);
}

async function play(program: string): Promise<void> {
  if (program === "load-only") return;
  if (program === "two-copies") return twoCopies(process.argv.slice(2));
  if (program === "rejections") return rejections();
  const [a, b] = UnixStream.pair();
  // Otherwise a wait ends when the peer is garbage-collected.
  Object.assign(globalThis, { kept: [a, b] });
  switch (program) {
    case "waits":
      await b.recvFds(1);
      break;
    case "unreferenced-wait":
      b.unref().recvFds(1);
      break;
    case "nothing-waits": {
      const waiting = b.recvFds(1);
      await a.sendFds("x", [0]);
      (await waiting)[Symbol.dispose]();
      console.log("received");
      break;
    }
    case "wait-then-close": {
      const waiting = codeOf(b.recvFds(1));
      setTimeout(() => b.close(), 5);
      console.log(await waiting);
      break;
    }
    case "exit-while-waiting":
      b.recvFds(1);
      setTimeout(() => process.exit(7), 5);
      break;
    case "exit-while-sending":
      a.sendFdsAll(Buffer.alloc(5_000_000), [0]);
      setTimeout(() => process.exit(7), 5);
      break;
    // Whether the process stays alive changes during the readiness callback, and is checked after it.
    case "waits-again-in-continuation":
      b.recvFds(1).then((first) => {
        first[Symbol.dispose]();
        // Until then only the second wait keeps the process alive.
        setTimeout(() => a.sendFds("second", [0]), 50).unref();
        b.recvFds(1).then((second) => {
          console.log(second.data.toString());
          second[Symbol.dispose]();
        });
      });
      setTimeout(() => a.sendFds("x", [0]), 5);
      break;
    case "closes-the-other-in-continuation":
      codeOf(a.recvFds(1)).then((code) => console.log(code));
      b.recvFds(1).then((message) => {
        message[Symbol.dispose]();
        a.close();
      });
      setTimeout(() => a.sendFds("x", [0]), 5);
      break;
    case "unreferences-in-continuation":
      b.recvFds(1).then((message) => {
        message[Symbol.dispose]();
        b.recvFds(1);
        b.unref();
      });
      setTimeout(() => a.sendFds("x", [0]), 5);
      break;
    case "exit-in-continuation":
      b.recvFds(1).then(() => process.exit(7));
      setTimeout(() => a.sendFds("x", [0]), 5);
      break;
    case "throw-in-continuation":
      b.recvFds(1).then(() => {
        throw new Error("of the program");
      });
      setTimeout(() => a.sendFds("x", [0]), 5);
      break;
    case "before-exit":
      process.once("beforeExit", () => {
        console.log("beforeExit");
        a.close();
        b.close();
      });
      break;
    case "exit-with-worker": {
      const one = worker(`
        const [a, b] = UnixStream.pair();
        b.recvFds(1);
        parentPort.postMessage("waiting");
      `);
      await message(one);
      process.exit(7);
      break;
    }
    case "exit-with-blocked-worker": {
      const one = worker(STAGES["blocked in a receive"]!);
      await message(one);
      await sleep(20);
      process.exit(7);
      break;
    }
    case "exit-by-a-signal-handler":
      b.recvFds(1);
      process.on("SIGUSR2", () => process.exit(7));
      setTimeout(() => process.kill(process.pid, "SIGUSR2"), 5);
      break;
    case "idle-watchers": {
      // Armed once, and again for readiness that no operation waits for.
      const waiting = [a.recvFds(0), b.recvFds(0)];
      a.sendFdsSync("x");
      b.sendFdsSync("x");
      await Promise.all(waiting);
      a.sendFdsSync("unread");
      break;
    }
  }
}

if (role === undefined) test.run();
else await play(role);
